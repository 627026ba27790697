"""Present values and texts of the measures in the network's nodes and tooltips."""

import math
from typing import Any, Dict, List

from qatviz.analysis.chip.estimate import CHIP_MEASURES
from qatviz.gui.model.run_model import RunModel
from qatviz.measures import CHANGE_MEASURES, ERROR_MEASURES, MEASURES, size_bytes
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import Quantity, shape_text

#: Measures of a run.
_MEASURED = (*ERROR_MEASURES, *CHANGE_MEASURES, "effective_bits")
#: Measures that can colour the nodes.
SHOWN = (*_MEASURED, "num_bits", "size", "cycles", "buffers")
DEFAULT_MEASURE = "sqnr_db"
#: Measures in a tooltip, besides the settings.
_IN_TOOLTIP = (*_MEASURED, "size", *CHIP_MEASURES)


def value_of(model: RunModel, tensor: QuantizedTensor, key: str) -> float:
    """Return the present value; NaN if there is none (yet), or the tensor is in float."""
    if key in CHIP_MEASURES:
        return math.nan if model.chip is None or model.plan is None else model.chip.measure(tensor, model.plan, key)
    is_quantized = model.is_shown_active(tensor.name)
    if key == "size":
        return size_bytes(element_count(tensor.shape), model.shown_settings_of(tensor.name), is_quantized)
    if not is_quantized:
        return math.nan
    if key == "num_bits":
        return float(model.shown_settings_of(tensor.name).num_bits)
    return model.measure(tensor.name, key)


def quantity_of(model: RunModel, tensor: QuantizedTensor, key: str) -> Quantity:
    """Return number and unit of the present value."""
    return MEASURES[key].quantity(value_of(model, tensor, key), model.is_shown_active(tensor.name))


def badge_quantity(model: RunModel, tensor: QuantizedTensor, key: str) -> Quantity:
    """Return the text in a node: ``float`` for a tensor that is not quantized, ``…`` before the first snapshot."""
    if math.isnan(value_of(model, tensor, key)):
        if key in CHIP_MEASURES:
            return Quantity("")  # that of the layer's weights
        if not model.is_shown_active(tensor.name):
            return Quantity("float")
        if model.shown is None:
            return Quantity("…")
    return quantity_of(model, tensor, key)


def tooltip(model: RunModel, tensor: QuantizedTensor) -> str:
    """Return a tensor's settings and measures as rich text."""
    settings = model.shown_settings_of(tensor.name)
    if model.is_shown_active(tensor.name):
        how = ", ".join(settings.phrases(tensor.kind))
    elif settings.enabled:
        how = f"in float until step {settings.quant_delay:,}"
    else:
        how = "in float: quantization is off"
    rows = [("Shape", shape_text(tensor.shown_shape)), ("Quantized", how)]
    shown = [key for key in _IN_TOOLTIP if key not in CHIP_MEASURES or not math.isnan(value_of(model, tensor, key))]
    rows += [(MEASURES[key].label, quantity_of(model, tensor, key).text) for key in shown]
    table = "".join("<tr><td>{}&nbsp;&nbsp;</td><td>{}</td></tr>".format(*row) for row in rows)
    return f"<b>{tensor.name}</b><table>{table}</table>"


def table_of(model: RunModel) -> Dict[str, List[Any]]:
    """Return all measures of all tensors, by column."""
    columns: Dict[str, List[Any]] = {"tensor": [tensor.name for tensor in model.tensors]}
    for key in SHOWN:
        columns[key] = [value_of(model, tensor, key) for tensor in model.tensors]
    return columns
