"""A softmax's parameters for integer kernels, such as TFLite's and CMSIS-NN's ``arm_softmax_s8``."""

import math
from typing import NamedTuple

#: Bits of a multiplier, and those of them before the point of what kernels take the exponential of.
_BITS, _INTEGER_BITS = 31, 5


class SoftmaxConstants(NamedTuple):
    """``multiplier * 2**(shift - 31)`` takes differences of codes to steps of ``2**-26``; those below ``diff_min`` have
    an exponential of 0. The result has scale 1/256 and zero point -128.
    """

    multiplier: int
    shift: int
    diff_min: int


def softmax_constants(scale: float) -> SoftmaxConstants:
    """Of 8-bit logits with this scale, as TFLite's ``PreprocessSoftmaxScaling`` and ``CalculateInputRadius`` have them.

    >>> softmax_constants(0.0625)
    SoftmaxConstants(multiplier=1073741824, shift=23, diff_min=-248)
    """
    fraction, shift = math.frexp(min(math.ldexp(scale, _BITS - _INTEGER_BITS), 2.0**_BITS - 1))
    multiplier = math.floor(math.ldexp(fraction, _BITS) + 0.5)
    if multiplier == 2**_BITS:
        multiplier, shift = multiplier // 2, shift + 1
    radius = math.ldexp(2**_INTEGER_BITS - 1, _BITS - _INTEGER_BITS - shift)
    return SoftmaxConstants(multiplier, shift, -math.floor(radius))
