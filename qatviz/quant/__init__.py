"""Quantization: the NumPy reference (``affine``), error measures, and their TensorFlow counterparts.

The TensorFlow functions are imported when they are first used, so that the reference can be used without TensorFlow.
"""

import importlib
from typing import Any, Callable

_TENSORFLOW = {
    "quantize_tensor": "qatviz.quant.operations",
    "quantize_activation": "qatviz.quant.operations",
    "quantize_conv2d": "qatviz.quant.operations",
    "quantize_depthwise_conv2d": "qatviz.quant.operations",
    "quantize_dense": "qatviz.quant.operations",
}
__all__ = list(_TENSORFLOW)


def __getattr__(name: str) -> Callable[..., Any]:  # PEP 562
    if name not in _TENSORFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function: Callable[..., Any] = getattr(importlib.import_module(_TENSORFLOW[name]), name)
    return function
