// Golden vectors of @name@, in the types of its inputs and outputs; several are one after the other.
#ifndef @PREFIX@_GOLDEN_H_
#define @PREFIX@_GOLDEN_H_

#include "@name@_model.h"

namespace @space@ {

constexpr int kGoldenCount = @count@;
constexpr int kInputCodes = @input_codes@;
constexpr int kOutputCodes = @output_codes@;

extern const @input_code@ kGoldenInput[kGoldenCount][kInputCodes];

// If TFLITE_SINGLE_ROUNDING is 1, outputs of kernels that round each result once.
// @default_origin@
extern const Code kGoldenOutput[kGoldenCount][kOutputCodes];

// Number of outputs that agree at least, and the largest difference of those that do.
#if TFLITE_SINGLE_ROUNDING
constexpr int kGoldenLeastEqual = @least_once@;
constexpr int kGoldenTolerance = @tolerance@;
#else
constexpr int kGoldenLeastEqual = @least@;
constexpr int kGoldenTolerance = 0;
#endif

}  // namespace @space@

#endif  // @PREFIX@_GOLDEN_H_
