"""Short texts about a tensor and its settings in the Tensor panel."""

from typing import Dict, List, Optional, Tuple

import numpy as np

from qatviz.analysis.one_channel import OneChannel
from qatviz.gui.model.ghost import Ghost
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import Quantity, shape_text, si, signed
from qatviz.settings import QuantizerSettings

#: Space at which lines don't break, so that they break between settings only.
_NO_BREAK = "\u00a0"
_SEPARATOR = " · "
#: Measures in the header.
SHOWN = ("sqnr_db", "rmse_over_scale", "scale", "zero_point", "clipped", "flushed", "used_codes", "size")


def describe_tensor(tensor: QuantizedTensor) -> str:
    """Return layer, shape, number of weights, and whether the range is fixed."""
    count = f" · {si(tensor.parameters)} weights" if tensor.parameters else ""
    fixed = f" · range fixed by TFLite's {tensor.fixed_range}" if tensor.fixed_range else ""
    return f"{tensor.shown_kind} · {shape_text(tensor.shown_shape) or 'scalar'}{count}{fixed}"


def describe_channel(channel: OneChannel) -> str:
    """Return which channel is shown alone, and its number of weights."""
    text = f"Channel {channel.index} of {channel.count} alone"
    return f"{text} · {si(channel.values.size)} weights".replace(" ", _NO_BREAK)


def describe_now(view: TensorView) -> str:
    """Return the settings of a view; before the end of the delay, also when quantization begins."""
    return _SEPARATOR.join(phrases_now(view))


def phrases_now(view: TensorView) -> List[str]:
    """Return the phrases of :func:`describe_now`."""
    is_delayed = view.is_live and not view.is_active and view.settings.enabled
    first, *others = _phrases(view.settings, view.tensor.kind, view.is_active or is_delayed)
    phrases = [f"float until step {view.settings.quant_delay:,}, then {first}" if is_delayed else first, *others]
    return phrases if view.is_live else [*phrases[:-1], f"{phrases[-1]} at this step"]


def describe(settings: QuantizerSettings, kind: str, active: bool, than: Optional[QuantizerSettings] = None) -> str:
    """Return a short text of the settings; if ``than`` is given, only of those that differ from it."""
    return _SEPARATOR.join(_phrases(settings, kind, active, than))


def _phrases(
    settings: QuantizerSettings, kind: str, active: bool, than: Optional[QuantizerSettings] = None
) -> List[str]:
    if not active:
        return ["float"]
    phrases = settings.phrases(kind, than if than is not None and than.enabled else None)
    return [phrase.replace(" ", _NO_BREAK) for phrase in phrases]


def measured(view: TensorView) -> Dict[str, Tuple[Quantity, float]]:
    """Return text and value of each measure of the header."""
    return {key: (view.quantity(key), view.measure(key)) for key in SHOWN}


def measured_pending(ghost: Ghost) -> Dict[str, Tuple[Quantity, float, float]]:
    """Return text, value and standard error of each measure of the header under the pending settings."""
    values = dict(ghost.measures._asdict(), size=ghost.size, scale=ghost.scale, zero_point=np.nan)
    if ghost.grid is not None:
        coarsest = np.argmax(np.broadcast_to(ghost.grid.scale, ghost.grid.zero_point.shape))
        values["zero_point"] = float(ghost.grid.zero_point.flat[coarsest])
    return {
        key: (ghost.quantity(key, values[key]), float(values[key]), ghost.sqnr_db_error if key == "sqnr_db" else 0.0)
        for key in SHOWN
    }


def span(low: float, high: float) -> str:
    """Return the text of a range in few characters."""
    return f"{signed(low)} … {signed(high)}"
