"""Base class of the plots of the Tensor panel: steady axes, logarithmic counts, a readout under the mouse."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import Label, note_style
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.axes import (
    TICK_PX,
    Area,
    CountScale,
    axis_titles,
    bottom_axis,
    plot_area,
    top_without_outlier,
)
from qatviz.presentation.axis_range import Range, steady_extent, steady_top
from qatviz.presentation.figure_caption import Caption, LegendItem
from qatviz.presentation.scene import Metrics, Shape
from qatviz.presentation.ticks import Tick, fitting_ticks, linear_ticks

#: Ratio of the count axis to the largest count.
HEADROOM = 1.12
#: Fraction in use below which the count axis shrinks.
MIN_USED = 0.4
#: Minimum width and height of a plot with titles of axes, px.
TITLED_WIDTH, TITLED_HEIGHT = 220, 170
#: Narrowest and widest part of the axis to zoom to, relative to all of it.
NARROWEST, WIDEST = 1e-6, 4.0
_ZOOM_PER_NOTCH = 0.8
#: Minimum fraction of the plot that stays visible when it is moved.
_MIN_IN_VIEW = 0.1

Columns = Callable[[], Dict[str, np.ndarray]]


class TensorPlot(SceneWidget):
    """Plot with a zoomable horizontal axis and a readout under the mouse.

    The wheel zooms, a drag pans, and a double click shows everything again.

    Parameters
    ----------
    theme : Theme
    name : str
        Name of a saved file.
    accessible : str
        Accessible name.
    titles : (str, str)
        Titles of the horizontal and the vertical axis.
    table : callable
        Returns the plotted data by column.

    Attributes
    ----------
    has_x_grid : bool
        Whether the ticks of the horizontal axis are lines through the plot.
    is_log : bool
        Whether counts are on a logarithmic scale.
    figure_title : str
        Contents of the plot, for the title of a saved figure.
    summary : str
        Summary of the plot in one line.
    subject, details : str
        Title and details of a saved figure: the tensor; run, step and settings.
    x_range : (float, float)
        Visible part of the horizontal axis.
    scale : CountScale
    """

    has_x_grid = True
    figure_title: str
    _extent: Optional[Range]
    _whole: Range
    _top: float
    _zoomed: bool

    def __init__(
        self,
        theme: Theme,
        name: str,
        accessible: str,
        titles: Tuple[str, str],
        table: Columns,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(theme, parent)
        self.figure_name, self.table, self._titles = name, table, titles
        self.setAccessibleName(accessible)
        self.is_log, self.summary = False, ""
        self.subject = ""
        self.details: Sequence[str] = ()
        self.x_range: Range = (0.0, 1.0)
        self.scale = CountScale(1.0)
        self._pressed: Optional[QtCore.QPoint] = None
        self._crosshair: Optional[int] = None
        self.forget_ranges()
        self._readout = Label(self)
        self._readout.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        self._readout.hide()
        self._empty = EmptyText(self)
        self.setMinimumSize(80, 60)
        self.setMouseTracking(True)
        self.menu = FigureMenu(self)
        self.apply_theme()

    # For subclasses

    def content(self, area: Area, metrics: Metrics) -> Sequence[Shape]:
        """Return the shapes within the plot and its vertical axis."""
        raise NotImplementedError

    def x_ticks(self, area: Area, metrics: Metrics) -> List[Tick]:
        """Return the ticks of the horizontal axis."""
        width, (low, high) = area[2] - area[0], self.x_range
        return fitting_ticks(
            lambda at_most: linear_ticks(low, high, at_most, at_least=3),
            int(width / TICK_PX),
            width / (high - low),
            metrics.width,
        )

    def read(self, x: float, y: float) -> str:
        """Return the readout at ``x`` and the height ``y`` (0..1 of the plot); empty if nothing is there."""
        return ""

    def empty_text(self, text: str) -> None:
        """Show ``text`` instead of the plot; show the plot if ``text`` is empty."""
        self._empty.show_text(text)
        self.changed()

    def show_extent(self, low: float, high: float) -> None:
        """Show the range ``low .. high``, changing the axis only if needed."""
        self._extent = steady_extent(self._extent, low, high)
        self.show_x(*self._extent)

    def show_x(self, low: float, high: float) -> None:
        """Show the range ``low .. high``, unless the user has zoomed."""
        self._whole = (low, high)
        if not self._zoomed:
            self.x_range = self._whole

    def show_counts(self, *counts: np.ndarray) -> None:
        """Fit the axis to ``counts``; on a linear scale, an outlier far above all others is cut off."""
        self.show_top(max(float(part.max()) if self.is_log else top_without_outlier(part) for part in counts))

    def show_top(self, largest: float) -> None:
        """Fit the axis to counts up to ``largest``."""
        wanted = max(largest, 1.0) * HEADROOM
        # Counts of a few hundred values fluctuate, so the axis shrinks only if it is far too high.
        if not MIN_USED <= wanted / self._top <= 1.0:
            self._top = steady_top(0.0, wanted)
        self.scale = CountScale(self._top, self.is_log)

    def forget_ranges(self) -> None:
        """Reset the axes for another tensor."""
        self._extent, self._whole = None, self.x_range
        self._top, self._zoomed = 1e-9, False

    # As a figure

    def caption(self) -> Caption:
        """Return the title and the legend of a saved figure."""
        return Caption(f"{self.subject}: {self.figure_title}", self.details, self.legend_items())

    def legend_items(self) -> Sequence[LegendItem]:
        """Return the entries of the legend of a saved figure."""
        raise NotImplementedError

    # Drawing

    @property
    def area(self) -> Area:
        """Edges of the plot in the widget."""
        has_titles = self.width() >= TITLED_WIDTH and self.height() >= TITLED_HEIGHT
        return plot_area((self.width(), self.height()), self.metrics, has_titles)

    @property
    def is_empty(self) -> bool:
        """True if a text is shown instead of the plot."""
        return not self._empty.isHidden()

    def shapes(self, is_figure: bool) -> List[Shape]:
        if self.is_empty:
            return []
        area, metrics = self.area, self.metrics
        ticks, edges = self.x_ticks(area, metrics), (area[0] - 10, self.width())
        shapes = bottom_axis(area, self.x_range, ticks, metrics, edges, self.has_x_grid)
        if self.height() - area[3] > 2 * metrics.height:
            shapes += axis_titles(area, self.height(), metrics, *self._titles)
        return [*shapes, *self.content(area, metrics)]

    def paint_over(self, painter: QtGui.QPainter) -> None:
        if self._crosshair is not None:
            _, top, _, bottom = self.area
            painter.setPen(self.theme.color("muted", 160))
            painter.drawLine(self._crosshair, int(top), self._crosshair, int(bottom))

    def apply_theme(self) -> None:
        """Apply the theme's colours."""
        self._readout.setStyleSheet(note_style(self.theme))
        self.changed()

    # The mouse

    def x_at(self, pixel: float) -> float:
        """Return the value at a pixel."""
        left, _, right, _ = self.area
        return self.x_range[0] + (pixel - left) * (self.x_range[1] - self.x_range[0]) / (right - left)

    def pixel_of(self, x: float) -> float:
        """Return the pixel of a value."""
        left, _, right, _ = self.area
        return left + (x - self.x_range[0]) * (right - left) / (self.x_range[1] - self.x_range[0])

    def readout(self) -> str:
        """Return the text of the readout; empty if it is hidden."""
        return "" if self._readout.isHidden() else self._readout.text()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        factor = _ZOOM_PER_NOTCH ** (event.angleDelta().y() / 120.0)
        at, (low, high) = self.x_at(event.pos().x()), self.x_range
        whole = self._whole[1] - self._whole[0]
        factor = min(max(factor, NARROWEST * whole / (high - low)), WIDEST * whole / (high - low))
        self._zoom_to(at - (at - low) * factor, at + (high - at) * factor)
        event.accept()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton:
            self._pressed = event.pos()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        if self._pressed is not None and event.buttons() & QtCore.Qt.LeftButton:
            distance = self.x_at(self._pressed.x()) - self.x_at(event.pos().x())
            self._pressed = event.pos()
            low, high = self.x_range
            room = (high - low) * (1 - _MIN_IN_VIEW)
            distance = min(max(distance, self._whole[0] - room - low), self._whole[1] + room - high)
            self._zoom_to(low + distance, high + distance)
        self._place_readout(event.pos())

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._zoomed, self.x_range, self._pressed = False, self._whole, None
        self.changed()

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        super().leaveEvent(event)
        self._hide_readout()

    def _zoom_to(self, low: float, high: float) -> None:
        self.x_range, self._zoomed = (low, high), True
        self.changed()

    def _hide_readout(self) -> None:
        self._readout.hide()
        self._crosshair = None
        self.update()

    def _place_readout(self, pos: QtCore.QPoint) -> None:
        left, top, right, bottom = self.area
        is_inside = left <= pos.x() <= right and top <= pos.y() <= bottom and not self.is_empty
        text = self.read(self.x_at(pos.x()), (bottom - pos.y()) / (bottom - top)) if is_inside else ""
        if not text:
            self._hide_readout()
            return
        self._crosshair = pos.x()
        readout, room = self._readout, int(right - left) - 8
        readout.setText(text)
        readout.setWordWrap(False)
        readout.adjustSize()
        if readout.width() > room:
            readout.setWordWrap(True)
            readout.resize(room, readout.heightForWidth(room))
        # At the side where the mouse is not.
        at = left + 4 if pos.x() > (left + right) / 2 else max(left, right - readout.width() - 4)
        readout.move(int(at), int(top) + 4)
        readout.show()
        self.update()
