"""Codes of up to four bits, two per byte: TFLite's and ONNX's type INT4, and packed weights in C."""

import numpy as np


def packed_nibbles(codes: np.ndarray) -> np.ndarray:
    """Return the lower four bits of integers, two per byte: uint8 ``[(size + 1) // 2]``.

    They are in the order of the axes, the first of two in the low nibble.

    >>> packed_nibbles(np.array([1, -1, 7]))
    array([241,   7], dtype=uint8)
    """
    nibbles = codes.reshape(-1).astype(np.uint8) & 15
    pairs = np.append(nibbles, np.zeros(len(nibbles) % 2, np.uint8)).reshape(-1, 2)
    return pairs[:, 0] | pairs[:, 1] << 4
