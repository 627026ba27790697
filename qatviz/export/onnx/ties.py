"""Results that are in the middle of two codes: QuantizeLinear rounds them to even, the network in training up.

They are rare, but where factors are powers of two: with such scales, each 2**n-th result of a factor 2**-n is a tie.
There a little is added before the rounding, less than the distance of any other result from a tie.
"""

from typing import Optional

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp

#: Ties are broken where results are multiples of this share of a step or of a larger one; of finer ones, at most one in
#: 2,048 is a tie.
_FINEST = 2.0**-12


def tie_breaker(model: IntegerModel, op: IntegerOp) -> Optional[np.ndarray]:
    """What is to be added to the real result of an operation with weights or of an Add: float32 ``[out]`` or ``[]``.

    None where no ties are to be broken.
    """
    scale = model.tensor(op.output).scale
    sources = np.array([model.tensor(name).scale for name in op.inputs], np.float64)
    if op.weights is not None:
        factors = sources[0] * op.weights.channel_scales.astype(np.float64) / scale
        tied = _tied(factors)
    else:
        factors = sources / scale
        tied = _tied(factors).any() & (factors % _FINEST == 0).all()
    if not np.any(tied):
        return None
    return np.where(tied, np.float32(scale * _FINEST / 2), np.float32(0))


def _tied(factors: np.ndarray) -> np.ndarray:
    """bool: whether multiples of the factors can be in the middle of two integers, and often are."""
    return (factors % _FINEST == 0) & (factors % 1 != 0)
