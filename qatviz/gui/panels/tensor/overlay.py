"""Float values and quantized levels of a tensor over each other, with the representable window and the ghost's."""

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore

from qatviz.analysis.distribution import Distribution, distribution
from qatviz.gui.panels.tensor.bars import Bars, lines
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.view import TensorView, levels_of
from qatviz.gui.panels.tensor.words import signed, span
from qatviz.gui.widgets.plot import outline
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.number_format import percent_text

#: Up to this many levels are drawn broad enough to be counted.
BROAD_LEVELS = 32
#: Ghost levels are drawn one by one up to this number.
MOST_GHOST_LEVELS = 256
#: Part of the height that the ghost's levels take, at the top.
GHOST_RUG = 0.07


class OverlayPlot(TensorPlot):
    """Distribution of the float values (filled; clipped and flushed parts coloured) and the quantized levels."""

    def __init__(self, theme: Theme, parent=None):
        self._floats, self._clipped, self._flushed = Bars(), Bars(), Bars()
        self._float_outline, self._quantized, self._levels = [pg.PlotCurveItem() for _ in range(3)]
        self._window, self._ghost_window, self._ghost_levels = [pg.PlotCurveItem(connect="pairs") for _ in range(3)]
        self._shown: Distribution = None
        super().__init__(theme, "tensor-distribution", "Distribution of float and quantized values", parent)
        for z, item in enumerate(self._items()):
            item.setZValue(z)
            self.addItem(item, ignoreBounds=True)
        self.set_labels(bottom="value", left="values per bin")
        self.set_table(self._columns)

    def _items(self):
        return (
            self._floats,
            self._flushed,
            self._clipped,
            self._quantized,
            self._levels,
            self._float_outline,
            self._window,
            self._ghost_window,
            self._ghost_levels,
        )

    def dress(self) -> None:
        super().dress()
        theme = self.theme
        self._floats.set_brush(theme.color("float_values", 110))
        self._clipped.set_brush(theme.color("clipped", 230))
        self._flushed.set_brush(theme.color("flushed", 190))
        self._float_outline.setPen(pg.mkPen(theme.color("float_values")))
        self._quantized.setPen(pg.mkPen(theme.color("in_range")))
        self._window.setPen(pg.mkPen(theme.color("window_edge"), width=2))
        self._ghost_window.setPen(pg.mkPen(theme.color("ghost"), width=2, style=QtCore.Qt.DashLine))
        self._ghost_levels.setPen(pg.mkPen(theme.color("ghost")))

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        found = distribution(
            view.histogram,
            view.num_bits,
            view.is_active,
            (view.measure("range_min"), view.measure("range_max")),
            view.measure("clipped"),
            view.measure("flushed"),
        )
        self._shown = found
        ghost = view.ghost if view.ghost is not None and view.ghost.active else None
        ends = [found.edges[0], found.edges[-1], *list(found.representable or ())]
        if ghost is not None:
            ends += [ghost.low, ghost.high]
        ends = [end for end in ends if np.isfinite(end)]
        self.show_x(min(ends), max(ends))
        counts = [found.counts]
        if found.level_heights is not None:
            counts.append(found.level_heights)
        elif view.is_active:
            counts.append(found.quantized)
        self.show_counts(*counts)
        self.tell_tower((found.edges[:-1] + found.edges[1:]) / 2, found.counts)
        self._draw_counts(found, view.is_active)
        self._draw_windows(found, ghost)

    def _draw_counts(self, found: Distribution, is_active: bool) -> None:
        heights = self.heights(found.counts)
        self._floats.set_histogram(found.edges, heights)
        self._float_outline.setData(*outline(found.edges, heights))
        for bars, part in ((self._clipped, found.clipped), (self._flushed, found.flushed)):
            bars.set_histogram(found.edges, self.heights(part))
        has_levels = found.levels is not None
        self._levels.setVisible(has_levels)
        self._quantized.setVisible(is_active and not has_levels)
        if has_levels:
            used = found.level_counts > 0
            width = 3 if len(found.levels) <= BROAD_LEVELS else 1
            self._levels.setPen(pg.mkPen(self.theme.color("in_range"), width=width))
            x, y = lines(0.0, self.heights(found.level_heights[used]), found.levels[used])
            self._levels.setData(x, y, connect="pairs")
        elif is_active:
            self._quantized.setData(*outline(found.edges, self.heights(found.quantized)))

    def _draw_windows(self, found: Distribution, ghost) -> None:
        top = self.count_top
        self._window.setVisible(found.representable is not None)
        if found.representable is not None:
            x, y = lines(0.0, top, np.array(found.representable))
            self._window.setData(x, y, connect="pairs")
        self._ghost_window.setVisible(ghost is not None)
        self._ghost_levels.setVisible(ghost is not None)
        if ghost is not None:
            x, y = lines(0.0, top, np.array([ghost.low, ghost.high]))
            self._ghost_window.setData(x, y, connect="pairs")
            x, y = lines((1 - GHOST_RUG) * top, top, levels_of(ghost.grid, MOST_GHOST_LEVELS))
            self._ghost_levels.setData(x, y, connect="pairs")

    def read(self, x: float, y: float) -> str:
        found = self._shown
        if found is None or not found.edges[0] <= x <= found.edges[-1]:
            return f"value {signed(x)}" if found is not None else ""
        index = min(int(np.searchsorted(found.edges, x, side="right")) - 1, len(found.counts) - 1)
        total = max(found.counts.sum(), 1.0)
        text = (
            f"{span(found.edges[index], found.edges[index + 1])}: {found.counts[index]:,.0f} values "
            f"({percent_text(found.counts[index] / total)})"
        )
        for key, counts in (("clipped", found.clipped), ("flushed", found.flushed)):
            if counts[index] >= 0.5:
                text += f", {counts[index]:,.0f} {MEASURES[key].name}"
        if found.levels is not None:
            near = int(np.argmin(np.abs(found.levels - x)))
            text += f"\nlevel {signed(found.levels[near])}: {found.level_counts[near]:,.0f} values"
        return text

    def _columns(self):
        found = self._shown
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
        return columns
