// @name@ for TFLite Micro: the model, its operators and the size of its arena.
//
//     alignas(16) uint8_t arena[@space@::kArenaBytes];
//     @space@::OpResolver operators;
//     @space@::RegisterOperators(operators);
//     tflite::MicroInterpreter interpreter(tflite::GetModel(@space@::kModel), operators, arena, sizeof(arena));
#ifndef @PREFIX@_MODEL_H_
#define @PREFIX@_MODEL_H_

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace @space@ {

// Type of the codes of inputs and outputs.
using Code = @code@;

// The file @name@.tflite: @model_bytes@ bytes.
extern const uint8_t kModel[@model_bytes@];

// Bytes of the arena:
// @arena_origin@.
constexpr std::size_t kArenaBytes = @arena@;

// Resolver with room for the operators of the model, and for no others.
using OpResolver = tflite::MicroMutableOpResolver<@operator_count@>;

inline TfLiteStatus RegisterOperators(OpResolver& operators) {
@registrations@
  return kTfLiteOk;
}

}  // namespace @space@

#endif  // @PREFIX@_MODEL_H_
