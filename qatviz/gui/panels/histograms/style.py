"""What a tile of the histograms is given, and how it looks: its content, axes, fonts and colours."""

from typing import NamedTuple, Optional, Tuple

from PyQt5 import QtCore, QtGui

from qatviz.analysis.distribution import Distribution
from qatviz.gui.widgets.theme import Theme

#: A tile less high than this many lines of text has a header of one line.
COMPACT_LINES = 8


class GhostWindow(NamedTuple):
    """The pending grid: its window and step as values (NaN in float), and what is said of it, long and short."""

    low: float
    high: float
    scale: float
    text: str
    brief: str


class TileContent(NamedTuple):
    """What a tile says of its tensor."""

    name: str
    badge: str
    readout: Tuple[str, ...]  # the most important first: the rest is left out where there is no room
    shown: Distribution
    ghost: Optional[GhostWindow] = None


class TileView(NamedTuple):
    """The axes: range of x, counts at the top of y, and whether counts are logarithmic."""

    low: float
    high: float
    top: float
    is_log: bool


class TileStyle:
    """Fonts and colours of tiles, made once for a theme."""

    def __init__(self, theme: Theme, font: QtGui.QFont):
        self.title, self.small = QtGui.QFont(font), QtGui.QFont(font)
        self.title.setWeight(QtGui.QFont.DemiBold)
        self.small.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        self.title_metrics, self.small_metrics = QtGui.QFontMetrics(self.title), QtGui.QFontMetrics(self.small)
        color = theme.color
        self.base, self.line, self.text, self.muted = color("base"), color("line"), color("text"), color("muted")
        self.raised, self.edge, self.ghost = color("raised"), color("window_edge"), color("ghost")
        self.float_fill, self.float_line = color("float_values", 95), color("float_values", 170)
        self.clipped, self.flushed = color("clipped", 235), color("flushed", 175)
        self.outside, self.grid_line = color("clipped", 26 if theme.is_dark else 16), color("line", 150)
        self.level, self.level_fill, self.unused = color("in_range"), color("in_range", 45), color("in_range", 150)

    def is_compact(self, rect: QtCore.QRectF) -> bool:
        """Whether a tile has no room for a second line in its header."""
        return rect.height() < COMPACT_LINES * self.title_metrics.height()

    def plot_area(self, rect: QtCore.QRectF) -> QtCore.QRectF:
        """Where in the rectangle of a tile its histogram is."""
        header = self.title_metrics.height() + 5 + (0 if self.is_compact(rect) else self.small_metrics.height())
        return rect.adjusted(7, header, -7, -self.small_metrics.height() - 4)
