"""Rendering of a widget as SVG.

Qt's generator ignores clipping: the curves of a zoomed plot would extend beyond its axes. So marks are drawn before and
after the items that each plot clips, and the elements between them in the text get a clip path.
"""

import itertools
import re
from typing import Iterator, List, Match, Optional, Tuple

import pyqtgraph as pg
from PyQt5 import QtCore, QtGui, QtSvg, QtWidgets

from qatviz.gui.widgets.scene_painter import CLIP_BEGIN, CLIP_END

#: Stacking order of the group of curves within pyqtgraph's ViewBox.
_CURVES_Z = 0.0


class _Mark(QtWidgets.QGraphicsItem):
    """Item that leaves one element in the text, identified by its colour, which nothing else has."""

    def __init__(self, box: pg.ViewBox, color: str, above: bool):
        super().__init__(box)
        self._box, self._color = box, QtGui.QColor(color)
        self.setZValue(_CURVES_Z + (0.5 if above else -0.5))

    def boundingRect(self) -> QtCore.QRectF:
        return self._box.boundingRect()

    def paint(
        self,
        painter: QtGui.QPainter,
        option: QtWidgets.QStyleOptionGraphicsItem,
        widget: Optional[QtWidgets.QWidget] = None,
    ) -> None:
        painter.fillRect(self.boundingRect(), self._color)


def svg_text(widget: QtWidgets.QWidget, size: QtCore.QSize, title: str) -> str:
    """Return the widget, whose size is ``size``, as the text of an SVG file."""
    boxes = list(_boxes(widget))
    marks: List[QtWidgets.QGraphicsItem] = []
    cache_modes = [(view, view.cacheMode()) for view in _views(widget)]
    try:
        for view, _ in cache_modes:
            view.setCacheMode(QtWidgets.QGraphicsView.CacheNone)  # the cache is an image
        for number, (_, box) in enumerate(boxes):
            marks += [_Mark(box, color, above) for color, above in zip(_colors(number), (False, True))]
        text = _generate(widget, size, title)
    finally:
        for mark in marks:
            mark.scene().removeItem(mark)
        for view, mode in cache_modes:
            view.setCacheMode(mode)
    for number, (rect, _) in enumerate(boxes):
        text = _clipped(text, number, rect)
    return _with_clip_paths(text)


def draw_widget(widget: QtWidgets.QWidget, painter: QtGui.QPainter) -> None:
    """Draw a widget and its children; a graphics view's own ``render`` would draw its scene only."""
    QtWidgets.QWidget.render(widget, painter, QtCore.QPoint())


def _boxes(widget: QtWidgets.QWidget) -> Iterator[Tuple[QtCore.QRectF, pg.ViewBox]]:
    """Yield each plot's clip rectangle, in coordinates of the widget, and its ViewBox."""
    for view in _views(widget):
        for item in view.scene().items() if view.scene() is not None else ():
            if isinstance(item, pg.ViewBox):
                on_view = view.mapFromScene(item.mapRectToScene(item.boundingRect())).boundingRect()
                corner = view.viewport().mapTo(widget, on_view.topLeft())
                yield QtCore.QRectF(corner, QtCore.QSizeF(on_view.size())), item


def _views(widget: QtWidgets.QWidget) -> List[QtWidgets.QGraphicsView]:
    """Return the visible graphics views within the widget, itself included."""
    views = [view for view in widget.findChildren(QtWidgets.QGraphicsView) if view.isVisibleTo(widget)]
    return [widget, *views] if isinstance(widget, QtWidgets.QGraphicsView) else views


def _colors(number: int) -> Tuple[str, str]:
    begin, end = (f"#01{number % 256:02x}{2 * (number // 256) + end:02x}" for end in (0, 1))
    return begin, end


def _generate(widget: QtWidgets.QWidget, size: QtCore.QSize, title: str) -> str:
    buffer = QtCore.QBuffer()
    generator = QtSvg.QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setViewBox(QtCore.QRect(QtCore.QPoint(), size))
    generator.setResolution(widget.logicalDpiX())  # font sizes are in points
    generator.setTitle(title)
    generator.setDescription("drawn by qatviz")
    painter = QtGui.QPainter(generator)
    draw_widget(widget, painter)
    painter.end()
    # The generator declares SVG Tiny, which has no clip paths; and another machine may not have the font.
    text = bytes(buffer.data()).decode("utf-8").replace('version="1.2" baseProfile="tiny"', 'version="1.1"')
    return re.sub('font-family="([^",]+)"', "font-family=\"'\\1', sans-serif\"", text)


def _clipped(text: str, number: int, rect: QtCore.QRectF) -> str:
    """Return the text without the marks of plot ``number``, the elements between them clipped to ``rect``."""
    first, last = (re.search(rf'<g [^>]*fill="{color}"[^>]*>.*?</g>', text, re.DOTALL) for color in _colors(number))
    if first is None or last is None:  # the plot is hidden or outside: Qt drew none of it
        return text
    name = f"plot{number}"
    clip = (
        f'<clipPath id="{name}"><rect x="{rect.x():g}" y="{rect.y():g}" width="{rect.width():g}" '
        f'height="{rect.height():g}"/></clipPath>\n'
    )
    inside = text[first.end() : last.start()]
    group = f'<g clip-path="url(#{name})">{inside}</g>'
    return text[: first.start()] + clip + group + text[last.end() :]


def _with_clip_paths(text: str) -> str:
    """Return the text with a clip path for each pair of marks of :mod:`qatviz.gui.widgets.scene_painter`."""
    numbers = itertools.count()

    def clipped(found: Match[str]) -> str:
        name, rect = f"clip{next(numbers)}", re.search(r"<rect [^>]*/>", found["begin"])
        assert rect is not None, "a mark is a rectangle"
        transform = re.search(r'transform="[^"]*"', found["begin"])
        shape = rect[0].replace("<rect", f"<rect {transform[0]}" if transform else "<rect")
        inside = found["inside"]
        return f'<clipPath id="{name}">{shape}</clipPath>\n<g clip-path="url(#{name})">{inside}</g>'

    begin, end = (rf'<g [^>]*fill="{color}"[^>]*>(?:(?!</g>).)*</g>' for color in (CLIP_BEGIN, CLIP_END))
    return re.sub(f"(?P<begin>{begin})(?P<inside>.*?){end}", clipped, text, flags=re.DOTALL)
