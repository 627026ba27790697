"""Rendering of a widget as SVG.

Qt's generator ignores clipping: the curves of a zoomed plot would cross its axes. So scenes are painted with marker
rectangles before and after clipped shapes, and the text between two markers gets a clip path.
"""

import itertools
import re
from typing import Callable, List, Match

from PyQt5 import QtCore, QtGui, QtSvg, QtWidgets

from qatviz.gui.widgets.scene_painter import CLIP_BEGIN, CLIP_END

#: Property of a widget that is drawn as a figure of its own, not as a part of a larger one.
IS_FIGURE = "is_figure"


def svg_text(widget: QtWidgets.QWidget, draw: Callable[[QtGui.QPainter], None], size: QtCore.QSize, title: str) -> str:
    """Return the text of an SVG file of ``size``, on which ``draw`` draws ``widget``."""
    cache_modes = [(view, view.cacheMode()) for view in _views(widget)]
    try:
        for view, _ in cache_modes:
            view.setCacheMode(QtWidgets.QGraphicsView.CacheNone)  # the cache is an image
        text = _generate(draw, size, title, widget.logicalDpiX())
    finally:
        for view, mode in cache_modes:
            view.setCacheMode(mode)
    return _with_clip_paths(text)


def draw_widget(widget: QtWidgets.QWidget, painter: QtGui.QPainter) -> None:
    """Draw a widget and its children; a graphics view's own ``render`` draws only its scene.

    While it is drawn, the widget has the property :data:`IS_FIGURE`.
    """
    widget.setProperty(IS_FIGURE, True)
    try:
        QtWidgets.QWidget.render(widget, painter, QtCore.QPoint())
    finally:
        widget.setProperty(IS_FIGURE, False)


def _views(widget: QtWidgets.QWidget) -> List[QtWidgets.QGraphicsView]:
    """Return the visible graphics views within the widget, itself included."""
    views = [view for view in widget.findChildren(QtWidgets.QGraphicsView) if view.isVisibleTo(widget)]
    return [widget, *views] if isinstance(widget, QtWidgets.QGraphicsView) else views


def _generate(draw: Callable[[QtGui.QPainter], None], size: QtCore.QSize, title: str, dpi: int) -> str:
    buffer = QtCore.QBuffer()
    generator = QtSvg.QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setViewBox(QtCore.QRect(QtCore.QPoint(), size))
    generator.setResolution(dpi)  # font sizes are in points
    generator.setTitle(title)
    generator.setDescription("drawn by qatviz")
    painter = QtGui.QPainter(generator)
    draw(painter)
    painter.end()
    # The generator declares SVG Tiny, which has no clip paths; and another machine may not have the font.
    text = bytes(buffer.data()).decode("utf-8").replace('version="1.2" baseProfile="tiny"', 'version="1.1"')
    return re.sub('font-family="([^",]+)"', "font-family=\"'\\1', sans-serif\"", text)


def _with_clip_paths(text: str) -> str:
    """Return the text with a clip path for each pair of markers of :mod:`qatviz.gui.widgets.scene_painter`."""
    numbers = itertools.count()

    def clipped(found: Match[str]) -> str:
        name, rect = f"clip{next(numbers)}", re.search(r"<rect [^>]*/>", found["begin"])
        assert rect is not None, "a marker is a rectangle"
        transform = re.search(r'transform="[^"]*"', found["begin"])
        shape = rect[0].replace("<rect", f"<rect {transform[0]}" if transform else "<rect")
        inside = found["inside"]
        return f'<clipPath id="{name}">{shape}</clipPath>\n<g clip-path="url(#{name})">{inside}</g>'

    begin, end = (rf'<g [^>]*fill="{color}"[^>]*>(?:(?!</g>).)*</g>' for color in (CLIP_BEGIN, CLIP_END))
    return re.sub(f"(?P<begin>{begin})(?P<inside>.*?){end}", clipped, text, flags=re.DOTALL)
