"""Softmax of real logits; that of codes is :mod:`qatviz.quant.softmax_codes`."""

import numpy as np


def softmax_of(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of real logits along the last axis, in their type and shape."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
