"""qatviz: see and steer quantization-aware training while it runs."""

from typing import Any

__version__ = "0.2.0"
__all__ = [
    "ab",
    "advise",
    "channels",
    "chip",
    "compare",
    "drift",
    "evaluate",
    "launch",
    "predictions",
    "sensitivity",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the functions of :mod:`qatviz.api` on first use, since they are slow to import."""
    if name in __all__:
        from qatviz import api

        return getattr(api, name)
    raise AttributeError(f"module 'qatviz' has no attribute {name!r}")
