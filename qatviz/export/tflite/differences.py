"""Layers of a TFLite file that runtimes compute differently, or that only some have kernels for."""

from dataclasses import dataclass, field, fields
from typing import Any, List, Tuple

from qatviz.export.tflite.moves import MOST_AXES
from qatviz.number_format import names_text

#: Largest number of codes that TensorFlow 1.15's AVERAGE_POOL_2D can sum up: its accumulators have 16 bits.
MOST_AVERAGED = 256


def _layers(what: str, only_litert: bool = True) -> Any:
    """Return a field for the names of layers, with the text of their note."""
    return field(default_factory=list, metadata={"what": what, "only_litert": only_litert})


@dataclass
class Differences:
    """Names of layers by the kind of difference; with ``only_litert`` ones, TensorFlow 1.15 can't run the file."""

    half_ties_down: List[str] = _layers(
        "with requantization multipliers that are powers of two and results below 0, LiteRT rounds every second tie "
        "down",
        only_litert=False,
    )
    large_averages: List[str] = _layers(
        f"means of more than {MOST_AVERAGED} elements, whose sums overflow in TensorFlow 1.15's interpreter, but not "
        "in LiteRT"
    )
    many_axes: List[str] = _layers(
        f"more than {MOST_AXES} axes with that of the batch, which LiteRT has kernels for, but TensorFlow 1.15 has none"
    )
    gathered: List[str] = _layers(
        "a table and GATHER, because TFLite has no kernel that computes exactly these codes", only_litert=False
    )
    not_micro: List[str] = _layers(
        "an operation on int16 codes that LiteRT has a kernel for, but TFLite Micro has none; the format tflm writes "
        "others for tables"
    )
    grouped: List[str] = _layers(
        "convolutions of groups of channels, which LiteRT and TFLite Micro have kernels for, but TensorFlow 1.15 has "
        "none"
    )
    matrices: List[str] = _layers(
        "BATCH_MATMUL, for which LiteRT and TFLite Micro have integer kernels, but TensorFlow 1.15 has none"
    )
    interpolated: List[str] = _layers(
        "RESIZE_BILINEAR between the centers of pixels, which TensorFlow 1.15 does not have; kernels of 8 bits other "
        "than XNNPACK's round some codes otherwise"
    )
    single: List[str] = _layers(
        "TRANSPOSE_CONV, for which LiteRT and TFLite Micro have integer kernels, but TensorFlow 1.15 has none; the "
        "file takes one example at a time"
    )

    @property
    def only_litert(self) -> bool:
        """True if TensorFlow 1.15 can't run the file."""
        return any(part.metadata["only_litert"] and getattr(self, part.name) for part in fields(self))

    @property
    def notes(self) -> Tuple[str, ...]:
        """One text for each kind of difference."""
        found = ((getattr(self, part.name), part.metadata["what"]) for part in fields(self))
        return tuple(f"{names_text(names)}: {what}" for names, what in found if names)
