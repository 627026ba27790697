"""Softmax of int8 logits, as LiteRT computes it: codes of probabilities from codes of logits.

LiteRT has two kernels. That of x86-64 and most other builds reads exponentials from a table of float32 numbers, adds
them in order, and rounds each quotient, all in float32; this is the one here. (Builds for 64-bit ARM with clang read
them from tables of bytes; TFLite Micro, CMSIS-NN and TensorFlow 1.15 compute them in fixed point. Some codes differ by
one.)

The result has scale 1/256 and zero point -128, so that the largest probability that it holds is 255/256.
"""

import numpy as np

SCALE, ZERO_POINT = 1 / 256, -128
#: Differences of codes of up to 8 bits.
DIFFERENCES = 256


def exponentials(scale: float) -> np.ndarray:
    """Return ``exp(-scale * d)`` for the differences ``d`` of a code from the largest one, float32 ``[256]``."""
    steps = np.float32(-scale) * np.arange(DIFFERENCES, dtype=np.float32)
    return np.exp(steps.astype(np.float64)).astype(np.float32)


def softmax_codes(logits: np.ndarray, scale: float) -> np.ndarray:
    """Return the codes of the probabilities, int32 ``[n, classes]``, for codes of up to 8 bits of logits."""
    found = exponentials(scale)[logits.max(axis=1, keepdims=True) - logits]
    # One after the other: `sum` would add them in pairs, and round otherwise.
    sums = np.add.accumulate(found, axis=1)[:, -1:]
    steps = found * (np.float32(1) / (sums * np.float32(SCALE)))
    codes = np.floor(steps.astype(np.float64) + 0.5).astype(np.int32) + ZERO_POINT
    return np.minimum(codes, -ZERO_POINT - 1)
