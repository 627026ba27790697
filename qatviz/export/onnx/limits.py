"""Limits of the exports to ONNX; see :mod:`qatviz.export.limits`."""

from importlib.util import find_spec
from typing import Any, List, Mapping, Optional

from qatviz.errors import Advice, OptionChange, Refusal
from qatviz.export.limits import left_in_float
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook

#: Types of the codes in a file; layouts of its input images.
UINT8, INT8 = "uint8", "int8"
NHWC, NCHW = "nhwc", "nchw"
#: Operator sets: the first in which QuantizeLinear and DequantizeLinear support channels; a later one of the same
#: types; and the first in which they support INT4 and INT16.
OPSET_13, OPSET_19, OPSET_21 = OPSETS = ("13", "19", "21")
#: Packages that write and run a file, and the command that installs them.
PACKAGES, INSTALL = ("onnx", "onnxruntime"), 'pip install "qatviz[onnx]"'


def onnx(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of a file of codes: as :func:`onnx_float`, and for tensors that are not quantized."""
    refusals = onnx_float(network, book, step, options)
    if options.get("exact") and options.get("storage") != UINT8:
        refusals.append(exact_needs_uint8(options["storage"]))
    return refusals + left_in_float(book, step)


def onnx_float(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusal of a float file if packages are missing that write and run it."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if not absent:
        return []
    return [needs_packages(" and ".join(absent), f"{'is' if len(absent) == 1 else 'are'} not installed")]


def needs_packages(names: str, problem: str) -> Refusal:
    """Return the refusal for packages that can't be used."""
    return Refusal(f"exports to ONNX need {names}, which {problem}", (Advice(f"after: {INSTALL}"),))


def exact_needs_uint8(storage: str) -> Refusal:
    """Return the refusal of an exact file with codes of another type."""
    return Refusal(
        f"codes are {storage}, but onnxruntime has the integer operators that the option exact needs for uint8 only",
        (OptionChange("storage", UINT8), OptionChange("exact", False)),
    )
