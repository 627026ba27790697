"""qatviz: see and steer quantization-aware training while it runs."""

__version__ = "0.1.0"
