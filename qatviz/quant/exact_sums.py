"""Rounding of sums and means of codes, common to evaluation and exports.

See :mod:`qatviz.training.lowering.exact`.
"""

import numpy as np

#: A GlobalAveragePool computes the mean of ``n`` codes as ``(MEAN_WEIGHT * sum + MEAN_BIAS) / (MEAN_WEIGHT * n)``: a
#: third is added to the sum, so that ties round up. With an output scale of ``1/r`` of the input scale, ties are the
#: sums ``(2j + 1) * n / (2r)``. For power-of-two scales these are multiples of 1/2, 1/4, 1/8, ..., never a third above
#: an integer, so that no other sum becomes a tie. Adding 1/4 would not do: for ``n = 49`` and ``r = 2``, it would turn
#: integer sums into ties.
MEAN_WEIGHT, MEAN_BIAS = 3, 1
#: Largest distance of a snapped value from its code, in quantization steps: 0.001 less than that of a tie.
SNAP_REACH = 0.499
#: Bits of an accumulator, without the sign, up to which its sum in float32 determines the whole number.
EXACT_SUM_BITS = 22
#: Accumulator unit, in quantization steps of the output, for channels whose weights are all zero: fine enough to
#: represent every bias as a whole number of units. In networks with activations of more than 8 bits, biases of 16-bit
#: outputs fit int32, and a multiplier of 15 bits represents it.
FINE_UNIT, WIDE_FINE_UNIT = 2.0**-20, 2.0**-14


def tie_center(zero_point: int, wide: bool) -> int:
    """Return the code from which an AveragePool rounds ties away: the one that TFLite stores as 0.

    TFLite's AVERAGE_POOL_2D rounds ties of stored codes away from 0. A file stores codes unchanged in int8; if any
    activation of the network has more than 8 bits (``wide``), it stores all activations minus their zero points in
    int16.
    """
    return int(zero_point) if wide else 0


def rounded_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``sums / counts`` (integers), rounded with ties away from 0, int64: TFLite's AVERAGE_POOL_2D.

    >>> rounded_means(np.array([-6, -2, 2, 6, 3]), np.array([4]))
    array([-2, -1,  1,  2,  1])
    """
    return np.sign(sums) * ((2 * np.abs(sums) + counts) // (2 * counts))
