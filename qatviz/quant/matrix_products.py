"""Requantization of products of two activations as matrices: in the integers of TFLite's BATCH_MATMUL.

With codes of up to 8 bits, LiteRT has two kernels. XNNPACK's, which rounds once, takes products whose second tensor has
the zero point 0. All others have LiteRT's own kernel (that of x86-64), and TFLite Micro's: it multiplies an accumulator
by 31 bits and rounds it twice (:func:`qatviz.quant.int16_kernels.rounded_twice`). With activations of more than 8 bits,
products are rounded once, by a multiplier of 15 bits, as by all int16 kernels.
"""

from typing import Tuple

import numpy as np

from qatviz.quant.int16_kernels import LARGEST_PRODUCT, in_q31

#: Largest distance of a code of 8 bits from a zero point.
_REACH = 255


def can_round_twice(terms: int, wide: bool) -> bool:
    """Return whether sums of ``terms`` products are rounded twice if the second tensor has a zero point other than 0.

    ``wide`` with activations of more than 8 bits. Larger sums do not fit TFLite's accumulators.
    """
    return not wide and terms * _REACH**2 < LARGEST_PRODUCT


def matrix_constants(
    first_scale: float, second_scale: float, output_scale: float, factor: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Return multiplier and right shift of a product times ``factor``, int64 ``[1]``, as BATCH_MATMUL computes them.

    The scales are values of float32, above 0. The output of the kernel has the scale ``output_scale / factor``.
    """
    product = np.float64(np.float32(first_scale) * np.float32(second_scale))
    return in_q31(np.float64([product / np.float64(np.float32(output_scale) / np.float32(factor))]))
