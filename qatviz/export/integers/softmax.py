"""Softmax: of real logits, and of codes of up to 8 bits as LiteRT's int8 kernel computes it.

LiteRT has two such kernels. That of x86-64 and most other builds, which is the one here, reads exponentials from a
table of float32 numbers, adds them in order, and rounds each quotient, all in float32. (Builds for 64-bit ARM with
clang read them from tables of bytes; TFLite Micro, CMSIS-NN and TensorFlow 1.15 compute them in fixed point. Some codes
differ by one.)

Its codes have scale 1/256 and zero point -128, so that the largest probability is 255/256.
"""

import numpy as np

SCALE, ZERO_POINT = 1 / 256, -128
#: Differences of codes of up to 8 bits.
DIFFERENCES = 256


def softmax_of(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of real logits along the last axis, in their type and shape."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def exponentials(scale: float) -> np.ndarray:
    """Return ``exp(-scale * d)`` for the differences ``d`` of a code from the largest one, float32 ``[256]``."""
    steps = np.float32(-scale) * np.arange(DIFFERENCES, dtype=np.float32)
    return np.exp(steps.astype(np.float64)).astype(np.float32)


def softmax_codes(logits: np.ndarray, scale: float) -> np.ndarray:
    """Return LiteRT's codes of the probabilities, int32 ``[n, classes]``, for codes of logits of up to 8 bits."""
    found = exponentials(scale)[logits.max(axis=1, keepdims=True) - logits]
    # One after the other: `sum` would add them in pairs, and round otherwise.
    sums = np.add.accumulate(found, axis=1)[:, -1:]
    steps = found * (np.float32(1) / (sums * np.float32(SCALE)))
    codes = np.floor(steps.astype(np.float64) + 0.5).astype(np.int32) + ZERO_POINT
    return np.minimum(codes, -ZERO_POINT - 1)
