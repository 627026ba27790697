"""Constants for rounding float sums to the codes of the exact sums, common to evaluation and exports.

See :mod:`qatviz.training.lowering.exact`.
"""

#: The mean of ``n`` codes is computed as ``(MEAN_WEIGHT * sum + MEAN_BIAS) / (MEAN_WEIGHT * n)``: a third is added to
#: the sum, so that ties round up. With an output scale of ``1/r`` of the input scale, ties are the sums
#: ``(2j + 1) * n / (2r)``. For power-of-two scales these are multiples of 1/2, 1/4, 1/8, ..., never a third above an
#: integer, so that no other sum becomes a tie. Adding 1/4 would not do: for ``n = 49`` and ``r = 2``, it would turn
#: integer sums into ties.
MEAN_WEIGHT, MEAN_BIAS = 3, 1
#: Largest distance of a snapped value from its code, in quantization steps: 0.001 less than that of a tie.
SNAP_REACH = 0.499
#: Accumulator unit, in quantization steps of the output, for channels whose weights are all zero: fine enough to
#: represent every bias as a whole number of units.
FINE_UNIT = 2.0**-20
