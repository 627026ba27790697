"""Constants of the arithmetic by which float sums are rounded as exact sums are.

Evaluation and exports use the same; see :mod:`qatviz.training.lowering.exact`.
"""

#: A mean of ``n`` codes is ``(MEAN_WEIGHT * sum + MEAN_BIAS) / (MEAN_WEIGHT * n)``: the sum gets a third of a unit
#: more, so that ties go up. In quantization steps that are ``1/r`` of the input's, the mean is a tie if the sum is
#: ``(2j + 1) * n / 2r``. For a power of two ``r``, as with power-of-two scales, these are halves, quarters, eighths
#: ..., and a third is none of them. A quarter is: 49 codes and steps of half the size have ties a quarter above whole
#: sums, and a sum that is raised to a tie is rounded by chance.
MEAN_WEIGHT, MEAN_BIAS = 3, 1
#: Largest distance from a code, in quantization steps, of a value that is rounded to it: a thousandth before the tie.
SNAP_REACH = 0.499
#: Unit, in quantization steps of the output, for channels whose weights are all zero: every bias is a whole number of
#: units this fine.
FINE_UNIT = 2.0**-20
