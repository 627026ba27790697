"""What ONNX can't hold, told from the settings alone; see :mod:`qatviz.export.limits`."""

from importlib.util import find_spec
from typing import Any, List, Mapping, Optional

from qatviz.export.limits import left_in_float
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook

#: Types of the codes of a file; orders of the axes of the images that it takes.
UINT8, INT8 = "uint8", "int8"
NHWC, NCHW = "nhwc", "nchw"
#: What writes a file, and what proves it; how to get them.
PACKAGES, INSTALL = ("onnx", "onnxruntime"), 'pip install "qatviz[onnx]"'


def onnx(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of what there is to write and to prove a file with; ONNX itself holds up to 16 bits."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    reasons = (
        [
            f"exports to ONNX need {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not "
            f"installed; possible after: {INSTALL}"
        ]
        if absent
        else []
    )
    if options.get("exact") and options.get("storage") != UINT8:
        reasons.append(only_uint8(options["storage"]))
    return reasons + left_in_float(book.plan, book, step)


def only_uint8(storage: str) -> str:
    """Why there is no exact file of another type."""
    return (
        f"codes are {storage}, and onnxruntime has the integer operators of the option exact for uint8 only; "
        "possible with "
        "the option storage=uint8, or without exact"
    )
