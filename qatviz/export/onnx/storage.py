"""Storage of the codes of an integer model in ONNX's 8-bit types."""

from dataclasses import dataclass
from typing import Dict, NamedTuple, Optional

import numpy as np

from qatviz import __version__
from qatviz.errors import refused
from qatviz.export.integers.model import FEWER_BITS, IntegerModel, IntegerOp
from qatviz.export.onnx.file import properties
from qatviz.export.onnx.limits import UINT8

#: Number of bits of stored codes, and the range of the model's codes in them.
BITS, LIMITS = 8, (-128, 127)
#: Most bits of INT4 weights.
INT4_BITS = 4
#: Bits of the accumulators of runtimes.
_ACCUMULATOR_BITS = 32


class StoredWeights(NamedTuple):
    """Weights and bias of an operation as stored in a file: ``(codes - zero_point) * scale * channel_scales``.

    Attributes
    ----------
    codes : np.ndarray
        Codes in the file's type and the model's shape.
    scale : np.ndarray
        float32 ``[]`` or ``[out]``.
    zero_point : np.ndarray
        Zero points in the file's type and the shape of ``scale``.
    channel_scales : np.ndarray or None
        float32 ``[out]``, if the scales are not in ``scale``, which then is 1; None if they are.
    bias : np.ndarray
        int32 ``[out]``.
    bias_scale : np.ndarray
        float32 ``[]`` or ``[out]``: input scale times weight scale.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    channel_scales: Optional[np.ndarray]
    bias: np.ndarray
    bias_scale: np.ndarray


@dataclass(frozen=True)
class Storage:
    """Type of all codes of up to 8 bits in a file.

    With uint8, onnxruntime never saturates. With int8 weights, it adds pairs of products in 16 bits on x86 processors
    without VNNI instructions.

    Attributes
    ----------
    name : str
        `UINT8` or `INT8`.
    """

    name: str

    @property
    def dtype(self) -> np.dtype:
        """Type of stored codes."""
        return np.dtype(self.name)

    @property
    def offset(self) -> int:
        """Difference between stored codes and the model's."""
        return 128 if self.name == UINT8 else 0

    def stored(self, codes: np.ndarray) -> np.ndarray:
        """Return the model's codes in this type."""
        return (np.asarray(codes, np.int64) + self.offset).astype(self.dtype)

    def weights(self, model: IntegerModel, op: IntegerOp) -> StoredWeights:
        """Return the stored weights of ``op``, which have up to 8 bits, as does its input."""
        weights = op.require_weights()
        scale = np.asarray(weights.scale)
        bias_scale = (np.float64(model.tensor(op.inputs[0]).scale) * scale.astype(np.float64)).astype(np.float32)
        bias = weights.bias.astype(np.int32)
        lowest, highest = LIMITS
        centred = weights.centred
        if centred.min() >= lowest and centred.max() <= highest:
            zero = self.stored(np.zeros(scale.shape))
            return StoredWeights(self.stored(centred), scale, zero, None, bias, bias_scale)
        codes, zero = self.stored(weights.codes), self.stored(weights.zero_point)
        if not zero.ndim or (zero == zero[0]).all():
            return StoredWeights(codes, scale, zero, None, bias, bias_scale)
        # onnxruntime (1.14, not 1.32) would fuse these to an integer convolution, which refuses their zero points.
        return StoredWeights(codes, np.ones_like(scale), zero, scale, bias, bias_scale)


def check_accumulators(model: IntegerModel) -> None:
    """Raise :class:`ExportError` if an accumulator of an integer operation needs more bits than ONNX's have."""
    for op in model.ops:
        if op.weights is None or computed_in_float(model, op):
            continue
        if op.accumulator_bits > _ACCUMULATOR_BITS:
            raise refused(
                f"layer {op.name!r}: its accumulator needs up to {op.accumulator_bits} bits; those of ONNX's integer "
                f"convolutions have {_ACCUMULATOR_BITS}",
                FEWER_BITS,
            )


def computed_in_float(model: IntegerModel, op: IntegerOp) -> bool:
    """Return whether an operation with weights is computed in float, because weights or input have more than 8 bits."""
    return max(op.require_weights().num_bits, model.tensor(op.inputs[0]).num_bits) > BITS


def about(model: IntegerModel) -> Dict[str, str]:
    """Return the metadata of a file: its source, and the settings of its codes."""
    grids = {
        tensor.quantizer: {"num_bits": tensor.num_bits, "narrow_range": tensor.narrow_range} for tensor in model.tensors
    }
    for weights in (op.weights for op in model.ops if op.weights is not None):
        grids[weights.name] = {
            "num_bits": weights.num_bits,
            "narrow_range": weights.narrow_range,
            "per_channel": weights.per_channel,
            "symmetric": not np.any(weights.zero_point),
        }
    return properties(dict(model.metadata, network=model.name, version=__version__, quantizers=grids))
