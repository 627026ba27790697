"""Offsets of values in an ONNX file that make QuantizeLinear, which rounds ties to even, round them up."""

# A separate module, because the lowering would be too long with it.

from typing import Optional

import numpy as np

from qatviz.export.integers.bounds import requantization_multipliers
from qatviz.export.integers.model import IntegerModel, IntegerOp
from qatviz.network.elementwise import Sum

#: Ties are broken if results are multiples of this fraction of a quantization step or of a larger one; with finer
#: multipliers, at most one result of 2,048 is a tie.
_FINEST = 2.0**-12


def tie_breaker(model: IntegerModel, op: IntegerOp) -> Optional[np.ndarray]:
    """Return the offset that makes ties round up, for an operation with weights, a sum or a product.

    It is float32, ``[out]`` or ``[]``; None if no ties have to be broken.

    Ties are rare unless multipliers are powers of two: with ``2**-n``, each ``2**n``-th result is a tie. The offset is
    smaller than the distance of any other result from a tie.
    """
    scale = model.tensor(op.output).scale
    tensors = [model.tensor(name) for name in op.inputs]
    sources = np.array([tensor.scale for tensor in tensors], np.float64)
    if op.weights is not None:
        multipliers = sources[0] * op.weights.channel_scales.astype(np.float64) / scale
        tied = _may_tie(multipliers)
    elif op.kind in ("Multiply", "MatMul"):
        tied = _may_tie(requantization_multipliers(op.layer, None, tensors, model.tensor(op.output))[0])
    else:
        multipliers = sources / (scale * (op.layer.divisor if isinstance(op.layer, Sum) else 1))
        tied = _may_tie(multipliers).any() & (multipliers % _FINEST == 0).all()
    if not np.any(tied):
        return None
    return np.where(tied, np.float32(scale * _FINEST / 2), np.float32(0))


def _may_tie(multipliers: np.ndarray) -> np.ndarray:
    """Return a mask of multipliers whose multiples are often ties, that is, halfway between two integers."""
    return (multipliers % _FINEST == 0) & (multipliers % 1 != 0)
