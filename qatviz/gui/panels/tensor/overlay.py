"""Plot of a tensor's float values and quantized levels, overlaid, with its grid in effect and pending."""

from typing import Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtWidgets

from qatviz.analysis.distribution import Distribution, distribution
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.panels.tensor.words import span
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.number_format import percent_text, sampled, signed
from qatviz.presentation.axes import Area
from qatviz.presentation.figure_caption import LegendItem
from qatviz.presentation.histogram import (
    FROZEN,
    PENDING,
    HistogramScene,
    HistogramView,
    PendingGrid,
    frozen_text,
    legend_entries,
    sample,
    top_count,
)
from qatviz.presentation.scene import Metrics, Shape


class OverlayPlot(TensorPlot):
    """Distribution of a tensor, drawn as in a tile of the histograms.

    Attributes
    ----------
    shown : Distribution or None
    pending : PendingGrid or None
    """

    figure_title = "distribution"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        self.shown: Optional[Distribution] = None
        self.pending: Optional[PendingGrid] = None
        accessible = "Distribution of float and quantized values"
        super().__init__(theme, "tensor-distribution", accessible, ("value", "values per bin"), self._columns, parent)

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        found = self.shown = distribution(
            view.histogram,
            view.num_bits,
            view.is_active,
            (view.measure("range_min"), view.measure("range_max")),
            view.measure("clipped"),
            view.measure("flushed"),
        )
        ghost = view.ghost if view.ghost is not None and view.ghost.active else None
        self.pending = PendingGrid(ghost.low, ghost.high, ghost.scale) if ghost is not None else None
        ends = [found.edges[0], found.edges[-1], *(found.representable or ()), *(self.pending or ())[:2]]
        ends = [end for end in ends if np.isfinite(end)]
        self.show_extent(min(ends), max(ends))
        self.show_top(top_count(found, self.is_log))
        self.changed()

    def content(self, area: Area, metrics: Metrics) -> List[Shape]:
        if self.shown is None:
            return []
        view = HistogramView(*self.x_range, self.scale.top, self.scale.is_log)
        scene = HistogramScene(area, self.shown, view, self.pending)
        return [*scene.count_axis(metrics), scene.content(metrics)]

    def legend_items(self) -> Sequence[LegendItem]:
        has_frozen = self.shown is not None and self.shown.frozen is not None
        present = [*[PENDING] * (self.pending is not None), *[FROZEN] * has_frozen]
        return [LegendItem(sample(entry.key), entry.label) for entry in legend_entries(present)]

    def read(self, x: float, y: float) -> str:
        found = self.shown
        if found is None or not found.edges[0] <= x <= found.edges[-1]:
            return f"value {signed(x)}" if found is not None else ""
        index = min(int(np.searchsorted(found.edges, x, side="right")) - 1, len(found.counts) - 1)
        total = max(found.counts.sum(), 1.0)
        number = sampled(f"{found.counts[index]:,.0f}", found.sample)
        fraction = percent_text(found.counts[index] / total)
        text = f"{span(found.edges[index], found.edges[index + 1])}: {number} ({fraction})"
        for key, counts in (("clipped", found.clipped), ("flushed", found.flushed)):
            if counts[index] >= 0.5:
                text += f", {counts[index]:,.0f} {MEASURES[key].name}"
        if found.levels is not None and found.level_counts is not None:
            near = int(np.argmin(np.abs(found.levels - x)))
            level = f"level {signed(found.levels[near])}"
            if found.level_bands is not None:
                level = f"levels {span(*found.level_bands[near])} by channel"
            text += f"\n{level}: {found.level_counts[near]:,.0f} values{frozen_text(found, near)}"
        return text

    def _columns(self) -> Dict[str, np.ndarray]:
        found = self.shown
        if found is None:
            return {}
        columns = {
            "bin_low": found.edges[:-1],
            "bin_high": found.edges[1:],
            "float_count": found.counts,
            "clipped": found.clipped,
            "flushed": found.flushed,
            "quantized_count": found.quantized,
        }
        if found.levels is not None:
            columns.update(level=found.levels, level_count=found.level_counts)
        if found.level_frozen is not None:
            columns.update(level_frozen=found.level_frozen)
        return columns
