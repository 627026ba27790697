"""Scrolling grid of tiles, each cached as a picture that is repainted only when its contents change."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.histograms.grid import FIT, GAP_PX, TileGrid, arrange, picked
from qatviz.gui.panels.histograms.reading import columns, reading, sentence
from qatviz.gui.panels.histograms.tile import Tile, TileContent, plot_area, smallest_height
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.figure_caption import Caption, LegendItem
from qatviz.presentation.histogram import FROZEN, PENDING, HistogramView, legend_entries, sample

Qt = QtCore.Qt


class HistogramCanvas(QtWidgets.QAbstractScrollArea):
    """Area that paints, arranges and selects tiles, which are identified by name.

    Parameters
    ----------
    theme : Theme
    source : callable
        Returns the contents and the axes of a tile by its name; called by :meth:`draw`, and when a tile becomes
        visible.
    """

    #: Emitted with the names that the user selects, and the current one among them.
    picked = QtCore.pyqtSignal(tuple, str)
    #: Emitted with the name of a tile that was double-clicked, or on which Enter was pressed.
    tensor_opened = QtCore.pyqtSignal(str)
    #: Emitted when other tiles become visible, or tiles have another size.
    moved = QtCore.pyqtSignal()

    def __init__(
        self,
        theme: Theme,
        source: Callable[[str], Tuple[TileContent, HistogramView]],
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self.theme, self._source = theme, source
        self._names: List[str] = []
        self._index: Dict[str, int] = {}
        self._tiles: Dict[str, Tile] = {}
        self._selected: Tuple[str, ...] = ()
        self.current: str = ""
        self._anchor: str = ""
        self._hover: Optional[Tuple[str, QtCore.QPoint]] = None
        self._size, self._grid = FIT, TileGrid(0, 1, 100, 100)
        self._count = 0  # of paintings of tiles
        self.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.StrongFocus)
        self.setAccessibleName("Histograms")
        self.viewport().setMouseTracking(True)
        self.viewport().setAttribute(Qt.WA_OpaquePaintEvent)  # nothing behind it has to be painted
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.menu = FigureMenu(self)
        self.apply_theme()

    def apply_theme(self) -> None:
        """Apply colours and fonts; all pictures are then out of date."""
        self._scenes = scene_painter(self.theme, self.font())
        self._forget_pictures()
        for tile in self._tiles.values():
            tile.picture = None  # repainted with the next paint event, not when its turn comes
        self.viewport().update()
        self._arrange()  # the smallest tiles depend on the font

    # Contents

    def set_names(self, names: Iterable[str]) -> None:
        """Set the names of all tiles, in order."""
        names = list(names)
        if names != self._names:
            self._names = names
            self._index = {name: index for index, name in enumerate(names)}
            self._tiles = {name: self._tiles.get(name, Tile()) for name in names}
            self._hover = None
            self._arrange()

    def set_size(self, size: str) -> None:
        """Set the size of tiles: one of :mod:`qatviz.gui.panels.histograms.grid`."""
        if size != self._size:
            self._size = size
            self._arrange()

    def set_selected(self, names: Tuple[str, ...], current: str) -> None:
        """Set the selected tiles and the current one, which get borders."""
        if (names, current) != (self._selected, self.current):
            self._selected, self.current = names, current
            self._describe()
            self.viewport().update()

    def names(self) -> List[str]:
        return list(self._names)

    def visible_names(self) -> List[str]:
        """Return the names of the tiles that are at least partly visible."""
        top = self.verticalScrollBar().value()
        return [self._names[i] for i in self._grid.indices_between(top, top + self.viewport().height())]

    def tile(self, name: str) -> Tile:
        return self._tiles[name]

    def draw(self, name: str, key: Any) -> None:
        """Repaint a tile; ``key``, which identifies the painted data, is stored in it."""
        self._paint_tile(name, key)
        self.viewport().update(self.rect_of(name))
        if name == self.current:
            self._describe()
        if self._hover is not None and self._hover[0] == name and QtWidgets.QToolTip.isVisible():
            self._read()

    def _paint_tile(self, name: str, key: Any) -> None:
        tile = self._tiles[name]
        tile.paint(*self._source(name), self._scenes, self._grid.size, self.devicePixelRatioF())
        self._count += 1
        tile.key, tile.drawn = key, self._count

    def rect_of(self, name: str) -> QtCore.QRect:
        """Return the rectangle of a tile in the viewport."""
        x, y = self._grid.place(self._index[name])
        return QtCore.QRect(x, y - self.verticalScrollBar().value(), self._grid.width, self._grid.height)

    # As a figure

    @property
    def figure_name(self) -> str:
        return f"histogram-{self.current}" if self._current_content() else "histograms"

    def caption(self) -> Caption:
        """Return the title and the legend of a saved figure."""
        contents = [self._tiles[name].content for name in self.visible_names()]
        has_pending = any(content is not None and content.pending is not None for content in contents)
        has_frozen = any(content is not None and content.shown.frozen is not None for content in contents)
        shown = legend_entries([*[PENDING] * has_pending, *[FROZEN] * has_frozen])
        return Caption("Histograms", (), [LegendItem(sample(entry.key), entry.label) for entry in shown])

    def table(self) -> Dict[str, Any]:
        """Return the numbers of the current tile, by column."""
        content = self._current_content()
        return columns(content) if content else {}

    def _current_content(self) -> Optional[TileContent]:
        tile = self._tiles.get(self.current)
        return tile.content if tile is not None else None

    # Places

    @property
    def smallest_height(self) -> int:
        """Height of the smallest tile with the present font, px."""
        return smallest_height(self._scenes.metrics)

    def _arrange(self) -> None:
        room = self.maximumViewportSize() if self._size == FIT else self.viewport().size()
        smallest = self.smallest_height
        grid = arrange(len(self._names), self._size, room.width(), room.height(), smallest)
        if grid.total_height > room.height() and self._size == FIT:
            grid = arrange(len(self._names), self._size, self.viewport().width(), room.height(), smallest)
        if grid != self._grid:
            if (grid.width, grid.height) != (self._grid.width, self._grid.height):
                self._forget_pictures()
            self._grid = grid
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, grid.total_height - self.viewport().height()))
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep((grid.height + GAP_PX) // 3)
        self.viewport().update()
        self.moved.emit()

    def _forget_pictures(self) -> None:
        for tile in self._tiles.values():
            tile.key = None

    def _at(self, point: QtCore.QPoint) -> str:
        index = self._grid.index_at(point.x(), point.y() + self.verticalScrollBar().value())
        return self._names[index] if index is not None else ""

    def _describe(self) -> None:
        content = self._current_content()
        self.setAccessibleDescription(sentence(content) if content else "")

    # Qt's events

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self.apply_theme()
            self.moved.emit()

    def _on_scrolled(self) -> None:
        self._set_hover(None)
        self.viewport().update()
        self.moved.emit()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self.viewport())
        painter.fillRect(event.rect(), self.theme.color("window"))
        # For files, which may be larger or SVG, tiles are drawn, not copied from the cached pictures.
        is_plain = painter.paintEngine().type() == QtGui.QPaintEngine.Raster and painter.deviceTransform().m11() == 1.0
        for name in self.visible_names():
            rect, tile = self.rect_of(name), self._tiles[name]
            if not rect.intersects(event.rect()):
                continue
            if tile.content is None or (tile.picture is None and is_plain):
                self._paint_tile(name, None)
            if is_plain and tile.fits(self._grid.size, self.devicePixelRatioF()):
                painter.drawPixmap(rect, tile.picture)
            else:
                tile.paint_shapes(painter, self._scenes, rect)
            self._paint_border(painter, rect, name)

    def _paint_border(self, painter: QtGui.QPainter, rect: QtCore.QRect, name: str) -> None:
        if self._hover is not None and self._hover[0] == name:
            left, top, right, bottom = self._plot_area(rect)
            x = min(max(self._hover[1].x(), left), right)
            painter.setPen(self.theme.color("muted"))
            painter.drawLine(QtCore.QLineF(x, top, x, bottom))
        if name in self._selected or name == self.current:
            width = 2 if name == self.current else 1
            painter.setPen(QtGui.QPen(self.theme.color("accent"), width, join=Qt.MiterJoin))
            painter.setBrush(Qt.NoBrush)
            painter.drawRect(rect.adjusted(width // 2, width // 2, -1, -1))

    # Mouse and keyboard

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        name = self._at(event.pos())
        if not name:
            return
        if event.button() == Qt.RightButton:
            if name not in self._selected:
                self._pick(name, Qt.NoModifier)
        elif event.button() == Qt.LeftButton:
            self._pick(name, event.modifiers())

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        name = self._at(event.pos())
        if name and event.button() == Qt.LeftButton:
            self.tensor_opened.emit(name)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        name = self._at(event.pos())
        tile = self._tiles.get(name)
        if tile is None or tile.content is None:
            self._set_hover(None)
            QtWidgets.QToolTip.hideText()
            return
        self._set_hover((name, event.pos()))
        self._read()

    def _read(self) -> None:
        """Show a tooltip for the bin under the mouse."""
        if self._hover is None:
            return
        name, point = self._hover
        rect, content, view = self.rect_of(name), self._tiles[name].content, self._tiles[name].view
        if content is None or view is None:
            return
        left, _, right, _ = self._plot_area(rect)
        fraction = (point.x() + 0.5 - left) / max(right - left, 1.0)
        text = reading(content, view.low + fraction * (view.high - view.low))
        place = self.viewport().mapToGlobal(point) + QtCore.QPoint(14, 10)
        QtWidgets.QToolTip.showText(place, text, self.viewport(), rect)

    def viewportEvent(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip:  # Qt asks for one when the mouse rests: the reading stays
            self._read()
            return True
        return super().viewportEvent(event)

    def _plot_area(self, rect: QtCore.QRect) -> Tuple[float, float, float, float]:
        left, top, right, bottom = plot_area((rect.width(), rect.height()), self._scenes.metrics)
        return rect.left() + left, rect.top() + top, rect.left() + right, rect.top() + bottom

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self._set_hover(None)
        super().leaveEvent(event)

    def _set_hover(self, hover: Optional[Tuple[str, QtCore.QPoint]]) -> None:
        for place in (self._hover, hover):
            if place is not None and place[0] in self._tiles:
                self.viewport().update(self.rect_of(place[0]))
        self._hover = hover

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        columns_, last = self._grid.columns, len(self._names) - 1
        index = self._names.index(self.current) if self.current in self._names else 0
        steps = {
            Qt.Key_Left: -1,
            Qt.Key_Right: 1,
            Qt.Key_Up: -columns_,
            Qt.Key_Down: columns_,
            Qt.Key_Home: -index,
            Qt.Key_End: last - index,
        }
        if event.key() in steps and self._names:
            target = index + steps[event.key()]
            if 0 <= target <= last:
                self._pick(self._names[target], event.modifiers() & Qt.ShiftModifier)
        elif event.key() in (Qt.Key_Return, Qt.Key_Enter) and self.current in self._tiles:
            self.tensor_opened.emit(self.current)
        elif event.matches(QtGui.QKeySequence.SelectAll) and self._names:
            self.picked.emit(tuple(self._names), self.current if self.current in self._names else self._names[0])
        else:
            super().keyPressEvent(event)

    def _pick(self, name: str, modifiers: Any) -> None:
        is_range, is_addition = bool(modifiers & Qt.ShiftModifier), bool(modifiers & Qt.ControlModifier)
        if not is_range:
            self._anchor = name
        start = self._anchor if self._anchor in self._names else self.current
        wanted, current = picked(self._names, self._selected, start, name, is_range, is_addition)
        self.picked.emit(wanted, current)
        self.show_tile(current)

    def show_tile(self, name: str) -> None:
        """Scroll so that a tile is visible."""
        if name not in self._names:
            return
        rect, bar = self.rect_of(name), self.verticalScrollBar()
        if rect.top() < 0:
            bar.setValue(bar.value() + rect.top() - GAP_PX)
        elif rect.bottom() > self.viewport().height():
            bar.setValue(bar.value() + rect.bottom() - self.viewport().height() + GAP_PX)
