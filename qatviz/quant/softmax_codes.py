"""Softmax of codes along the last axis: the definition of a quantized softmax, in NumPy.

Codes of up to 8 bits have the probabilities that LiteRT's int8 kernel computes, on the grid that it demands: scale
1/256 and zero point -128, so that the largest probability is 255/256. LiteRT has two such kernels. That of x86-64 and
most other builds, which is the one here, reads exponentials from a table of float32 numbers, adds them in order, and
rounds each quotient, all in float32. (Builds for 64-bit ARM with clang read them from tables of bytes; TFLite Micro,
CMSIS-NN and TensorFlow 1.15 compute them in fixed point. Some codes differ by one.) On other grids, a probability has
the nearest code.
"""

import numpy as np

from qatviz.quant.affine import AffineGrid

SCALE, ZERO_POINT = 1 / 256, -128
_BITS = 8
#: Differences of codes of up to 8 bits.
DIFFERENCES = 256


def exponentials(scale: float) -> np.ndarray:
    """Return ``exp(-scale * d)`` for the differences ``d`` of a code from the largest one, float32 ``[256]``."""
    steps = np.float32(-scale) * np.arange(DIFFERENCES, dtype=np.float32)
    return np.exp(steps.astype(np.float64)).astype(np.float32)


def softmax_codes(logits: np.ndarray, scale: float) -> np.ndarray:
    """Return LiteRT's codes of the probabilities, int32 ``[..., classes]``, for codes of logits of up to 8 bits."""
    found = exponentials(scale)[logits.max(axis=-1, keepdims=True) - logits]
    # One after the other: `sum` would add them in pairs, and round otherwise.
    sums = np.add.accumulate(found, axis=-1)[..., -1:]
    steps = found * (np.float32(1) / (sums * np.float32(SCALE)))
    codes = np.floor(steps.astype(np.float64) + 0.5).astype(np.int32) + ZERO_POINT
    return np.minimum(codes, -ZERO_POINT - 1)


def follows_kernel(source: AffineGrid, output: AffineGrid) -> bool:
    """Return whether a softmax between these grids is LiteRT's."""
    grid = (float(output.scale), int(output.zero_point), output.num_bits)
    return source.num_bits <= _BITS and grid == (SCALE, ZERO_POINT, _BITS)


def probability_codes(codes: np.ndarray, source: AffineGrid, output: AffineGrid) -> np.ndarray:
    """Return the codes of the probabilities of ``codes``, integers ``[..., classes]``, on their grid.

    They are not limited to its bounds.
    """
    if follows_kernel(source, output):
        return softmax_codes(codes, float(source.scale))
    distances = (codes.max(axis=-1, keepdims=True) - codes) * np.float64(source.scale)
    powers = np.exp(-distances)
    steps = powers / powers.sum(axis=-1, keepdims=True) / np.float64(output.scale)
    return np.floor(steps + 0.5).astype(np.int64) + int(output.zero_point)
