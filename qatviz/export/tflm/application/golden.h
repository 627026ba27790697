// Golden vectors of @name@, in the types of its input and output.
#ifndef @PREFIX@_GOLDEN_H_
#define @PREFIX@_GOLDEN_H_

#include "@name@_model.h"

namespace @space@ {

constexpr int kGoldenCount = @count@;
constexpr int kInputCodes = @input_codes@;
constexpr int kOutputCodes = @output_codes@;

extern const Code kGoldenInput[kGoldenCount][kInputCodes];

// @golden_origin@
extern const Code kGoldenOutput[kGoldenCount][kOutputCodes];

// Number of codes that are equal at least: @least_origin@.
constexpr int kGoldenLeastEqual = @least@;

}  // namespace @space@

#endif  // @PREFIX@_GOLDEN_H_
