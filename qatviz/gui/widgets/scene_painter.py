"""Paint scenes with QPainter, directly from NumPy arrays."""

from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np
from PyQt5 import QtCore, QtGui

from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.palette import Palette, color_of
from qatviz.presentation.scene import (
    END,
    MIDDLE,
    SMALL,
    TITLE,
    Area,
    Band,
    Curves,
    Fill,
    Fonts,
    Group,
    Image,
    Line,
    Metrics,
    Picture,
    Rects,
    Segments,
    Shape,
    Stroke,
    Text,
)

#: Diameter of the dots at the points of a line, px.
_DOT = 4.0
#: Size of the small font: this much smaller than the font of a widget, but at least this large, points.
_SMALLER, _MIN_POINTS = 1.5, 6.5
#: Colours of marker rectangles before and after clipped shapes, used for nothing else. Qt's SVG generator ignores
#: clipping; :mod:`qatviz.gui.widgets.figures.svg` replaces the markers by clip paths.
CLIP_BEGIN, CLIP_END = "#02c11b", "#02c11e"
_NO_PEN, _NO_BRUSH = QtCore.Qt.NoPen, QtCore.Qt.NoBrush


def small_font(font: QtGui.QFont) -> QtGui.QFont:
    """Return the font of labels of axes and of secondary texts, for a widget whose own font is ``font``."""
    small = QtGui.QFont(font)
    small.setPointSizeF(max(_MIN_POINTS, font.pointSizeF() - _SMALLER))
    return small


def scene_fonts(font: QtGui.QFont) -> Dict[str, QtGui.QFont]:
    """Return the fonts of scenes by their roles."""
    title = QtGui.QFont(font)
    title.setWeight(QtGui.QFont.DemiBold)
    return {SMALL: small_font(font), TITLE: title}


def font_metrics(font: QtGui.QFont) -> Metrics:
    """Return the sizes of text in ``font``. Widths are cached, as measuring is most of the cost of drawing text."""
    metrics = QtGui.QFontMetrics(font)
    return Metrics(metrics.height(), metrics.ascent(), lru_cache(maxsize=2000)(metrics.horizontalAdvance))


def polygon(x: np.ndarray, y: np.ndarray) -> QtGui.QPolygonF:
    """Return the points as a polygon, written to Qt's memory: a Python object for each takes longer than painting."""
    points = QtGui.QPolygonF(len(x))
    if len(x):
        memory = points.data()
        memory.setsize(16 * len(x))
        array = np.frombuffer(memory, np.float64).reshape(-1, 2)
        array[:, 0], array[:, 1] = x, y
    return points


class ScenePainter:
    """Painter of shapes in one palette and one set of fonts (see :func:`scene_painter`).

    Parameters
    ----------
    palette : Palette
    fonts : dict of str to QFont
        Fonts by their roles.
    ground : str
        Role of the background colour. Translucent lines and bands are painted in the opaque blend with it, which is
        several times faster.

    Attributes
    ----------
    fonts : dict of str to QFont
        The fonts by their roles.
    metrics : dict of str to Metrics
        Text sizes in these fonts, for the layout of scenes.
    """

    def __init__(self, palette: Palette, fonts: Dict[str, QtGui.QFont], ground: str = "base"):
        self._palette, self.fonts = palette, fonts
        self.metrics: Fonts = {role: font_metrics(found) for role, found in self.fonts.items()}
        self._ground = self._color(ground)
        self._pens: Dict[Stroke, QtGui.QPen] = {}
        self._brushes: Dict[Fill, QtGui.QColor] = {}
        self._inks: Dict[str, QtGui.QColor] = {}
        # Each method accepts shapes of its own type only, which the type of a dict can't express.
        self._paint: Dict[type, Callable[[QtGui.QPainter, Any], None]] = {
            Area: self._paint_area,
            Line: self._paint_line,
            Band: self._paint_band,
            Segments: self._paint_segments,
            Rects: self._paint_rects,
            Curves: self._paint_curves,
            Text: self._paint_text,
            Image: self._paint_image,
            Picture: self._paint_picture,
            Group: self._paint_group,
        }

    def paint(self, painter: QtGui.QPainter, shapes: Iterable[Shape]) -> None:
        """Paint shapes in their order."""
        for shape in shapes:
            self._paint[type(shape)](painter, shape)

    def pen(self, stroke: Optional[Stroke]) -> Union[QtGui.QPen, QtCore.Qt.PenStyle]:
        """Return the pen of a line; ``Qt.NoPen`` for None."""
        if stroke is None:
            return _NO_PEN
        pen = self._pens.get(stroke)
        if pen is None:
            pen = QtGui.QPen(self._opaque(stroke.role, stroke.opacity), stroke.width)
            pen.setJoinStyle(QtCore.Qt.MiterJoin)
            pen.setCapStyle(QtCore.Qt.FlatCap)
            if stroke.dash:
                pen.setDashPattern([length / stroke.width for length in stroke.dash])
            self._pens[stroke] = pen
        return pen

    def _brush(self, fill: Optional[Fill]) -> Union[QtGui.QColor, QtCore.Qt.BrushStyle]:
        if fill is None:
            return _NO_BRUSH
        if fill not in self._brushes:
            color = self._color(fill.role)
            color.setAlphaF(fill.opacity)
            self._brushes[fill] = color
        return self._brushes[fill]

    def _color(self, role: str) -> QtGui.QColor:
        return QtGui.QColor(color_of(self._palette, role))

    def _opaque(self, role: str, opacity: float) -> QtGui.QColor:
        color = self._color(role)
        return color if opacity == 1 else blend(color, self._ground, opacity)

    # One shape

    def _paint_area(self, painter: QtGui.QPainter, area: Area) -> None:
        painter.setPen(self.pen(area.stroke))
        painter.setBrush(self._brush(area.fill))
        if area.smooth:
            painter.save()
            painter.setRenderHint(QtGui.QPainter.Antialiasing)
            painter.drawPolygon(polygon(area.x, area.y))
            painter.restore()
        else:
            painter.drawPolygon(polygon(np.rint(area.x), np.rint(area.y)))

    def _paint_line(self, painter: QtGui.QPainter, line: Line) -> None:
        x, y = line.x, line.y
        stroke = line.stroke._replace(width=1.0)
        painter.setPen(self.pen(stroke))
        single: List[int] = []
        for begin, end in _runs(y):
            if end - begin == 1:
                single.append(begin)
                continue
            # Lines of one pixel have a fast path in QPainter; a wider one is painted as several of them.
            for offset in range(round(line.stroke.width)):
                painter.drawPolyline(polygon(x[begin:end], y[begin:end] + offset))
        marked = np.flatnonzero(~np.isnan(y)) if line.dots else np.array(single, np.intp)
        if len(marked):
            dot = QtGui.QPen(self._opaque(stroke.role, stroke.opacity), _DOT, cap=QtCore.Qt.RoundCap)
            painter.setPen(dot)
            painter.drawPoints(polygon(x[marked], y[marked]))

    def _paint_band(self, painter: QtGui.QPainter, band: Band) -> None:
        painter.setPen(self._opaque(band.fill.role, band.fill.opacity))
        for begin, end in _runs(band.top + band.bottom):
            x, top, bottom = band.x[begin:end], band.top[begin:end], band.bottom[begin:end]
            # A vertical line in every pixel column is several times faster than filling a jagged polygon.
            columns = np.arange(np.ceil(x[0]), x[-1] + 1)
            y = np.stack([np.interp(columns, x, top), np.interp(columns, x, bottom)], axis=1)
            y[1::2] = y[1::2, ::-1].copy()
            painter.drawPolyline(polygon(np.repeat(columns, 2), y.ravel()))

    def _paint_segments(self, painter: QtGui.QPainter, lines: Segments) -> None:
        painter.setPen(self.pen(lines.stroke))
        corners = [np.rint(part).tolist() for part in (lines.x0, lines.y0, lines.x1, lines.y1)]
        painter.drawLines(list(map(QtCore.QLineF, *corners)))

    def _paint_rects(self, painter: QtGui.QPainter, rects: Rects) -> None:
        painter.setPen(self.pen(rects.stroke))
        painter.setBrush(self._brush(rects.fill))
        if rects.radius:
            painter.save()
            painter.setRenderHint(QtGui.QPainter.Antialiasing)
            for rect in _rectangles(rects.left, rects.top, rects.right, rects.bottom):
                painter.drawRoundedRect(rect, rects.radius, rects.radius)
            painter.restore()
        else:
            edges = (np.rint(part) for part in (rects.left, rects.top, rects.right, rects.bottom))
            painter.drawRects(list(_rectangles(*edges)))

    def _paint_curves(self, painter: QtGui.QPainter, curves: Curves) -> None:
        path = QtGui.QPainterPath()
        for points in curves.routes:
            path.moveTo(*points[0])
            for (x0, y0), (x1, y1) in zip(points[:-1], points[1:]):
                if x0 == x1 or y0 == y1:
                    path.lineTo(x1, y1)
                elif curves.flow_down:
                    path.cubicTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1)
                else:
                    path.cubicTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1)
        painter.save()
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.strokePath(path, self.pen(curves.stroke))
        painter.restore()

    def _paint_text(self, painter: QtGui.QPainter, text: Text) -> None:
        if text.role not in self._inks:
            self._inks[text.role] = self._color(text.role)
        x = text.x
        if text.anchor in (MIDDLE, END):
            x -= self.metrics[text.font].width(text.text) * (0.5 if text.anchor == MIDDLE else 1.0)
        painter.setFont(self.fonts[text.font])
        painter.setPen(self._inks[text.role])
        painter.drawText(QtCore.QPointF(x, text.y), text.text)

    def _paint_image(self, painter: QtGui.QPainter, image: Image) -> None:
        pixels = np.ascontiguousarray(image.colors[image.pixels])
        height, width = image.pixels.shape
        found = QtGui.QImage(pixels.data, width, height, 4 * width, QtGui.QImage.Format_RGBA8888)
        corner = QtCore.QPointF(image.left, image.top)
        painter.drawImage(QtCore.QRectF(corner, QtCore.QPointF(image.right, image.bottom)), found)

    def _paint_picture(self, painter: QtGui.QPainter, picture: Picture) -> None:
        pixels = np.ascontiguousarray(picture.pixels)
        height, width = pixels.shape[:2]
        form = QtGui.QImage.Format_Grayscale8 if pixels.ndim == 2 else QtGui.QImage.Format_RGB888
        found = QtGui.QImage(pixels.data, width, height, pixels.strides[0], form)
        corner = QtCore.QPointF(picture.left, picture.top)
        place = QtCore.QRectF(corner, QtCore.QPointF(picture.right, picture.bottom))
        painter.save()
        painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform, place.width() < width)
        painter.drawImage(place, found)
        painter.restore()

    def _paint_group(self, painter: QtGui.QPainter, group: Group) -> None:
        if group.clip is None:
            self.paint(painter, group.shapes)
            return
        left, top, right, bottom = group.clip
        rect = QtCore.QRectF(left, top, right - left, bottom - top)
        is_svg = painter.paintEngine().type() == QtGui.QPaintEngine.SVG
        painter.save()
        if is_svg:
            painter.fillRect(rect, QtGui.QColor(CLIP_BEGIN))
        painter.setClipRect(rect, QtCore.Qt.IntersectClip)
        self.paint(painter, group.shapes)
        if is_svg:
            painter.fillRect(rect, QtGui.QColor(CLIP_END))
        painter.restore()


_PAINTERS: Dict[Tuple[Palette, str, str], ScenePainter] = {}
#: Maximum number of painters in the cache: the theme and the font change rarely.
_MAX_PAINTERS = 8


def scene_painter(theme: Theme, font: QtGui.QFont, ground: str = "base") -> ScenePainter:
    """Return the painter for the present colours of a theme and the font of a widget."""
    key = theme.colors, font.key(), ground
    if key not in _PAINTERS:
        if len(_PAINTERS) >= _MAX_PAINTERS:
            _PAINTERS.clear()
        _PAINTERS[key] = ScenePainter(theme.colors, scene_fonts(font), ground)
    return _PAINTERS[key]


def blend(color: QtGui.QColor, onto: QtGui.QColor, opacity: float) -> QtGui.QColor:
    """Return the opaque blend of ``color`` with ``opacity`` 0..1 over ``onto``: faster to paint than translucency."""
    mixed = (round(opacity * a + (1 - opacity) * b) for a, b in zip(color.getRgb()[:3], onto.getRgb()[:3]))
    return QtGui.QColor(*mixed)


def _runs(values: np.ndarray) -> List[Tuple[int, int]]:
    """Return (begin, end) of each run of values without a NaN."""
    known = ~np.isnan(values)
    if known.all():
        return [(0, len(values))] if len(values) else []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _rectangles(left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray) -> Iterator[QtCore.QRectF]:
    sizes = (left, top, right - left, bottom - top)
    return map(QtCore.QRectF, *(part.tolist() for part in sizes))
