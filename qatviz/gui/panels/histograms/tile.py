"""Tile of the histograms: its scene, and its picture, which is cached until its contents change."""

from typing import Any, List, NamedTuple, Optional, Tuple

from PyQt5 import QtCore, QtGui

from qatviz.analysis.distribution import Distribution
from qatviz.gui.widgets.scene_painter import ScenePainter
from qatviz.presentation.histogram import HistogramScene, HistogramView, PendingGrid
from qatviz.presentation.scene import END, SMALL, TITLE, Fill, Fonts, Shape, Text, rects

#: Height in lines of text below which a tile has a header of one line.
_COMPACT_LINES = 8
#: Least height of a histogram, px.
_LEAST_PLOT = 24
#: Sample of the readout for which a compact tile leaves room between name and badge.
_ROOM_FOR = "88.8 dB"
#: Maximum fractions of a tile's width for the badge with all its flags, and for the pending badge in its long form.
_BADGE_PART, _PENDING_PART = 0.4, 0.6
#: Space between the tile's edge and its contents, around the text of a badge, and between two texts, px.
_MARGIN, _PADDING, _GAP = 7.0, 4.0, 6.0


class Pending(NamedTuple):
    """Effect of pending settings: the grid (NaN in float), a text, and a shorter one."""

    grid: PendingGrid
    text: str
    brief: str


class TileBadge(NamedTuple):
    """Badge of a tile: ``w8`` for 8-bit weights, and flags of their grid, such as ``sym``."""

    bits: str
    flags: Tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of the badge."""
        return " ".join((self.bits, *self.flags))


class TileContent(NamedTuple):
    """Contents of a tile."""

    name: str
    badge: TileBadge
    readout: Tuple[str, ...]  # most important first; the last are omitted if there is no room
    shown: Distribution
    pending: Optional[Pending] = None


class TileScene:
    """Shapes of one tile; those that stay the same from snapshot to snapshot are separate, to be cached.

    Parameters
    ----------
    size : (float, float)
    content : TileContent
    view : HistogramView
    fonts : Fonts
    """

    def __init__(self, size: Tuple[float, float], content: TileContent, view: HistogramView, fonts: Fonts):
        self._width, self._height = size
        self._content, self._small, self._title = content, fonts[SMALL], fonts[TITLE]
        pending = content.pending.grid if content.pending is not None else None
        self._histogram = HistogramScene(plot_area(size, fonts), content.shown, view, pending)

    def lasting(self) -> List[Shape]:
        """Return background, axis, name and badge, which depend only on :func:`lasting_key`."""
        shapes: List[Shape] = [rects(0, 0, self._width, self._height, Fill("base"))]
        if self._histogram.is_drawn:
            shapes += self._histogram.axis(self._small, (0.0, self._width))
        return shapes + self._header()

    def changing(self) -> List[Shape]:
        """Return the histogram, the pending badge and the measures."""
        shapes: List[Shape] = [self._histogram.content(self._small)] if self._histogram.is_drawn else []
        return shapes + self._measures()

    # The header

    @property
    def _is_compact(self) -> bool:
        return self._height < _COMPACT_LINES * self._title.height

    @property
    def _right(self) -> float:
        return self._width - _MARGIN + 1

    @property
    def _badge(self) -> str:
        """The badge, without its flags if the name needs their room."""
        badge = self._content.badge
        is_long = self._small.width(badge.text) > self._width * _BADGE_PART
        return badge.bits if is_long or self._is_compact else badge.text

    def _badge_width(self) -> float:
        return self._small.width(self._badge) + 2 * _PADDING

    def _header(self) -> List[Shape]:
        content, width, baseline = self._content, self._badge_width(), 3 + self._title.ascent
        is_quantized = content.shown.representable is not None
        right = self._right
        shapes: List[Shape] = [
            rects(right - width, 4, right, 3 + self._title.height, Fill("raised")),
            Text(right - width + _PADDING, baseline, self._badge, "text" if is_quantized else "muted"),
        ]
        room = right - _MARGIN - width - _GAP - self._readout_room()
        layer, _, kind = content.name.rpartition(".")
        layer = self._title.elided(layer, room, True)
        used = self._title.width(layer)
        shapes.append(Text(_MARGIN, baseline, layer, "text", font=TITLE))
        if used + self._small.width("." + kind) <= room:
            shapes.append(Text(_MARGIN + used, baseline, "." + kind))
        return shapes

    def _readout_room(self) -> float:
        """Return the width for a readout beside the name; 0 if it has its own line, or the name needs the room."""
        if not self._is_compact or not self._content.readout:
            return 0.0
        needed = self._small.width(_ROOM_FOR) + _GAP + 2
        name = self._title.width(self._content.name.rpartition(".")[0])
        return needed if name + needed + self._badge_width() + _GAP <= self._right - _MARGIN else 0.0

    def _measures(self) -> List[Shape]:
        """Return the pending badge and the measures, on a second line unless the tile is compact."""
        top = 3 + self._title.height + (4 if self._is_compact else 0)
        shapes, used = self._pending(top)
        if self._is_compact:
            if self._readout_room():
                right = self._right - self._badge_width() - _GAP
                shapes.append(Text(right, 3 + self._title.ascent, self._content.readout[0], anchor=END))
            return shapes
        readout = self._content.readout
        while readout and self._small.width(" · ".join(readout)) > self._right - _MARGIN - used:
            readout = readout[:-1]
        if readout:
            shapes.append(Text(self._right, top + self._small.ascent, " · ".join(readout), anchor=END))
        return shapes

    def _pending(self, top: float) -> Tuple[List[Shape], float]:
        """Return the pending badge and its width."""
        pending, room = self._content.pending, self._right - _MARGIN
        if pending is None:
            return [], 0.0
        is_brief = self._is_compact or self._small.width(pending.text) > room * _PENDING_PART
        text = self._small.elided(pending.brief if is_brief else pending.text, room)
        width = self._small.width(text)
        ground = rects(_MARGIN - 1, top, _MARGIN + width + 2, top + self._small.height, Fill("base"))
        return [ground, Text(_MARGIN, top + self._small.ascent, text, "ghost")], width + _GAP + 2


def plot_area(size: Tuple[float, float], fonts: Fonts) -> Tuple[float, float, float, float]:
    """Return the edges of the histogram in a tile: left, top, right, bottom."""
    width, height = size
    title, small = fonts[TITLE].height, fonts[SMALL].height
    header = title + 5 + (0 if height < _COMPACT_LINES * title else small)
    return _MARGIN, header, width - _MARGIN, height - small - 4


def smallest_height(fonts: Fonts) -> int:
    """Return the height of a tile with a header of one line in which the histogram is still of use."""
    return int(fonts[TITLE].height + 5 + _LEAST_PLOT + fonts[SMALL].height + 4)


def lasting_key(content: TileContent, view: HistogramView) -> Tuple[Any, ...]:
    """Return the values that :meth:`TileScene.lasting` depends on, besides size and painter."""
    rest = tuple(content.shown.edges[:2]) if content.shown.is_log2 else ()
    quantized = content.shown.representable is not None
    return content.name, content.badge, quantized, bool(content.readout), view.low, view.high, rest


class Tile:
    """Picture of a tensor as it was last painted.

    Attributes
    ----------
    picture : QPixmap or None
    content, view
        Contents and axes of the picture; None before it is first painted.
    key : object
        Identifies the data that it was painted from; None if it is out of date.
    drawn : int
        Number of the painting, counted over all tiles.
    """

    def __init__(self) -> None:
        self.picture: Optional[QtGui.QPixmap] = None
        self.content: Optional[TileContent] = None
        self.view: Optional[HistogramView] = None
        self.key: Any = None
        self.drawn = 0
        self._lasting: Optional[QtGui.QPixmap] = None
        self._lasting_key: Any = None

    def fits(self, size: QtCore.QSize, ratio: float) -> bool:
        """Return whether the picture has this size; ``ratio`` is the number of device pixels per layout pixel."""
        return _fits(self.picture, size, ratio)

    def paint(
        self, content: TileContent, view: HistogramView, scenes: ScenePainter, size: QtCore.QSize, ratio: float
    ) -> None:
        """Repaint the picture."""
        self.content, self.view = content, view
        scene = TileScene((size.width(), size.height()), content, view, scenes.metrics)
        lasting = scenes, lasting_key(content, view)
        if lasting != self._lasting_key or not _fits(self._lasting, size, ratio):
            self._lasting, self._lasting_key = _pixmap(self._lasting, size, ratio), lasting
            _paint(self._lasting, scenes, scene.lasting())
        self.picture = _pixmap(self.picture, size, ratio)
        _paint(self.picture, scenes, scene.changing(), self._lasting)

    def paint_shapes(self, painter: QtGui.QPainter, scenes: ScenePainter, rect: QtCore.QRect) -> None:
        """Paint the tile directly into ``rect``, for files, which may be larger or SVG."""
        if self.content is None or self.view is None:
            return
        scene = TileScene((rect.width(), rect.height()), self.content, self.view, scenes.metrics)
        painter.save()
        painter.translate(rect.topLeft())
        scenes.paint(painter, scene.lasting() + scene.changing())
        painter.restore()


def _paint(
    onto: QtGui.QPixmap, scenes: ScenePainter, shapes: List[Shape], ground: Optional[QtGui.QPixmap] = None
) -> None:
    painter = QtGui.QPainter(onto)
    try:  # a painter that is left open crashes Qt
        if ground is not None:
            painter.drawPixmap(0, 0, ground)
        scenes.paint(painter, shapes)
    finally:
        painter.end()


def _fits(picture: Optional[QtGui.QPixmap], size: QtCore.QSize, ratio: float) -> bool:
    return picture is not None and picture.size() == size * ratio


def _pixmap(old: Optional[QtGui.QPixmap], size: QtCore.QSize, ratio: float) -> QtGui.QPixmap:
    """Return a pixmap of this size, reusing ``old`` if it fits."""
    if _fits(old, size, ratio):
        return old
    new = QtGui.QPixmap(size * ratio)
    new.setDevicePixelRatio(ratio)
    return new
