// Golden vectors of shapes, in the types of its input and output.
#ifndef SHAPES_GOLDEN_H_
#define SHAPES_GOLDEN_H_

#include "shapes_model.h"

namespace shapes_tflm {

constexpr int kGoldenCount = 8;
constexpr int kInputCodes = 128;
constexpr int kOutputCodes = 3;

extern const Code kGoldenInput[kGoldenCount][kInputCodes];

// Outputs of kernels that round each result twice, as by default; if TFLITE_SINGLE_ROUNDING is 1, once.
extern const Code kGoldenOutput[kGoldenCount][kOutputCodes];

// Number of codes that are equal at least: all, as kernels are specified; not run in tflite-micro.
constexpr int kGoldenLeastEqual = 24;

}  // namespace shapes_tflm

#endif  // SHAPES_GOLDEN_H_
