// shapes for TFLite Micro: the model, its operators and the size of its arena.
//
//     alignas(16) uint8_t arena[shapes_tflm::kArenaBytes];
//     shapes_tflm::OpResolver operators;
//     shapes_tflm::RegisterOperators(operators);
//     tflite::MicroInterpreter interpreter(tflite::GetModel(shapes_tflm::kModel), operators, arena, sizeof(arena));
#ifndef SHAPES_MODEL_H_
#define SHAPES_MODEL_H_

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace shapes_tflm {

// Type of the codes of inputs and outputs.
using Code = int8_t;

// The file shapes.tflite: 5232 bytes.
extern const uint8_t kModel[5232];

// Bytes of the arena:
// computed, not measured: an upper bound for TFLite Micro's reference kernels.
constexpr std::size_t kArenaBytes = 14480;

// Resolver with room for the operators of the model, and for no others.
using OpResolver = tflite::MicroMutableOpResolver<8>;

inline TfLiteStatus RegisterOperators(OpResolver& operators) {
  TF_LITE_ENSURE_STATUS(operators.AddAdd());
  TF_LITE_ENSURE_STATUS(operators.AddAveragePool2D());
  TF_LITE_ENSURE_STATUS(operators.AddConcatenation());
  TF_LITE_ENSURE_STATUS(operators.AddConv2D());
  TF_LITE_ENSURE_STATUS(operators.AddDepthwiseConv2D());
  TF_LITE_ENSURE_STATUS(operators.AddFullyConnected());
  TF_LITE_ENSURE_STATUS(operators.AddMaximum());
  TF_LITE_ENSURE_STATUS(operators.AddReshape());
  return kTfLiteOk;
}

}  // namespace shapes_tflm

#endif  // SHAPES_MODEL_H_
