// Golden vectors of shapes, in the types of its inputs and outputs; several are one after the other.
#ifndef SHAPES_GOLDEN_H_
#define SHAPES_GOLDEN_H_

#include "shapes_model.h"

namespace shapes_tflm {

constexpr int kGoldenCount = 8;
constexpr int kInputCodes = 128;
constexpr int kOutputCodes = 3;

extern const Code kGoldenInput[kGoldenCount][kInputCodes];

// If TFLITE_SINGLE_ROUNDING is 1, outputs of kernels that round each result once.
// Otherwise, those of TensorFlow 1.15, whose kernels round alike.
extern const Code kGoldenOutput[kGoldenCount][kOutputCodes];

// Number of outputs that agree at least, and the largest difference of those that do.
#if TFLITE_SINGLE_ROUNDING
constexpr int kGoldenLeastEqual = 24;
constexpr int kGoldenTolerance = 0;
#else
constexpr int kGoldenLeastEqual = 24;
constexpr int kGoldenTolerance = 0;
#endif

}  // namespace shapes_tflm

#endif  // SHAPES_GOLDEN_H_
