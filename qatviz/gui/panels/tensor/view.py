"""Data of all plots of the Tensor panel, gathered once from the model."""

from dataclasses import dataclass, replace
from typing import Optional

from qatviz.analysis.distribution import grid_of
from qatviz.analysis.one_channel import OneChannel, grid_of_channel, one_channel
from qatviz.analysis.pending import after_map
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.ghost import Ghost, ghost_of
from qatviz.gui.model.run_model import RunModel
from qatviz.measures import MEASURES, size_bytes
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import Quantity
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorHistogram, TensorValues
from qatviz.quant.affine import AffineGrid
from qatviz.settings import QuantizerSettings

_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}


@dataclass(frozen=True)
class TensorView:
    """Tensor at one snapshot.

    Attributes
    ----------
    tensor : QuantizedTensor
    settings : QuantizerSettings
        Settings in effect now; in the past, those of the snapshot.
    measured_with : QuantizerSettings
        Settings of the snapshot.
    snapshot : Snapshot
        The shown snapshot.
    is_live : bool
        Whether ``snapshot`` is the newest.
    index : int
        Index of the tensor in the plan.
    ghost : Ghost or None
        Ghost of the pending settings; None in the past.
    channel : OneChannel or None
        The channel that is shown alone; None for all.
    """

    tensor: QuantizedTensor
    settings: QuantizerSettings
    measured_with: QuantizerSettings
    snapshot: Snapshot
    is_live: bool
    index: int
    ghost: Optional[Ghost] = None
    channel: Optional[OneChannel] = None

    @property
    def histogram(self) -> TensorHistogram:
        return self.whole if self.channel is None else self.channel.histogram

    @property
    def whole(self) -> TensorHistogram:
        """Histogram of all channels."""
        return self.snapshot.histograms[self.tensor.name]

    @property
    def is_active(self) -> bool:
        """True if the tensor was quantized at the snapshot."""
        return self.snapshot.enabled[self.index]

    @property
    def num_bits(self) -> int:
        return self.snapshot.num_bits[self.index]

    @property
    def grid(self) -> Optional[AffineGrid]:
        """Grid at the snapshot; None in float."""
        return grid_of(self.histogram, self.num_bits, self.measure("range_min")) if self.is_active else None

    def measure(self, key: str) -> float:
        """Return a measure of the snapshot (of the channel, if one is shown alone), or the size."""
        if key == "size":
            count = element_count(self.tensor.shape) if self.channel is None else self.channel.values.size
            return size_bytes(count, self.measured_with, self.is_active)
        if self.channel is not None and self.is_active:
            return self.channel.measures[key]
        return float(self.snapshot.values[_ROW[key], self.index])

    def quantity(self, key: str) -> Quantity:
        """Return number and unit of a measure."""
        codes = self.measured_with.num_codes if key == "used_codes" else None
        return MEASURES[key].quantity(self.measure(key), self.is_active, codes)


def view_of(model: RunModel, edits: Edits) -> Optional[TensorView]:
    """Return the view of the current tensor at the shown snapshot; None before there is one."""
    snapshot = model.shown
    if model.plan is None or snapshot is None or model.current not in snapshot.histograms:
        return None
    name = model.current
    is_live, measured_with = model.moment is None, model.settings_at(snapshot, name)
    ghost = ghost_of(model, edits, name) if is_live else None
    settings = model.shown_settings_of(name)
    return TensorView(
        model.plan.tensor(name), settings, measured_with, snapshot, is_live, model.plan.index(name), ghost
    )


def channel_view(view: TensorView, index: int, values: TensorValues, snapshot: Snapshot) -> TensorView:
    """Return the view of one channel.

    Parameters
    ----------
    view : TensorView
        View of all channels at the newest snapshot.
    index : int
        Index of the channel.
    values : TensorValues
        Values of the tensor.
    snapshot : Snapshot
        The snapshot at the step of ``values``, or the nearest.
    """
    whole = replace(view, snapshot=snapshot)
    mapped = after_map(values.values, view.measured_with, view.tensor)
    channel = one_channel(index, values.values, whole.whole, whole.grid, view.tensor, mapped)
    ghost = view.ghost
    if ghost is not None:
        ghost = ghost.of_channel(index, channel.values, ghost.grid and grid_of_channel(ghost.grid, index))
    return replace(whole, ghost=ghost, channel=channel)
