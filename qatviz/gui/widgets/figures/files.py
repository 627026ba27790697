"""Write figures to files: a widget's picture as PNG or SVG, its data as CSV. Errors name the file and the reason."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.atomic_files import AnyPath, check_writable, write_file
from qatviz.errors import QatvizError
from qatviz.gui.widgets.figures.colors import in_colors, theme_of
from qatviz.gui.widgets.figures.svg import draw_widget, svg_text
from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.presentation.csv_text import csv_text
from qatviz.presentation.figure_caption import Caption, Strips, caption_strips

#: Resolution stored in the file, which sets the size on paper: 96 pixels per inch, in pixels per metre.
_DOTS_PER_METRE = 96 / 0.0254
#: Maximum width and height of a picture: one of this size needs 1 GB (Qt's image formats allow 32767).
MAX_PIXELS = 16384


class FigureError(QatvizError):
    """A figure could not be written."""


class FigureStyle(NamedTuple):
    """Style of a saved figure.

    Attributes
    ----------
    theme : str
        Name of the theme of its colours; empty for that of the window.
    caption : callable () -> Caption, optional
        Returns title and legend, which are above and below the figure; called while the figure has the colours.
    """

    theme: str = ""
    caption: Optional[Callable[[], Caption]] = None


AS_SHOWN = FigureStyle()


def picture(
    widget: QtWidgets.QWidget,
    size: Optional[QtCore.QSize] = None,
    scale: float = 1.0,
    style: FigureStyle = AS_SHOWN,
) -> QtGui.QImage:
    """Return an image of the widget.

    Parameters
    ----------
    widget : QWidget
        It may be hidden.
    size : QSize, optional
        Size in screen pixels for which the widget is laid out; by default its present size.
    scale : float
        Image pixels per screen pixel: 2 gives the same layout twice as sharp.
    style : FigureStyle

    Raises
    ------
    FigureError
        If the image would be empty, or larger than ``MAX_PIXELS`` on a side.
    """
    with _drawn(widget, size, style) as (size, draw):
        pixels = QtCore.QSize(round(size.width() * scale), round(size.height() * scale))
        if not 1 <= min(pixels.width(), pixels.height()) <= max(pixels.width(), pixels.height()) <= MAX_PIXELS:
            raise FigureError(
                f"a picture of {pixels.width()} × {pixels.height()} pixels: expected 1 to {MAX_PIXELS} on each side"
            )
        image = QtGui.QImage(pixels, QtGui.QImage.Format_ARGB32)
        image.setDevicePixelRatio(scale)
        image.fill(widget.palette().color(QtGui.QPalette.Window))
        painter = QtGui.QPainter(image)
        draw(painter)
        painter.end()
    image.setDevicePixelRatio(1.0)
    for set_dots in (image.setDotsPerMeterX, image.setDotsPerMeterY):
        set_dots(round(_DOTS_PER_METRE * scale))
    return image


def save_png(
    widget: QtWidgets.QWidget,
    path: AnyPath,
    size: Optional[QtCore.QSize] = None,
    scale: float = 1.0,
    style: FigureStyle = AS_SHOWN,
) -> None:
    """Save :func:`picture` as PNG.

    Raises
    ------
    FigureError
        If it can't be written.
    """
    buffer = QtCore.QBuffer()
    buffer.open(QtCore.QIODevice.WriteOnly)
    if not picture(widget, size, scale, style).save(buffer, "PNG"):
        raise FigureError(f"{path}: the picture can't be encoded as PNG")
    write_whole(path, bytes(buffer.data()))


def save_svg(
    widget: QtWidgets.QWidget, path: AnyPath, size: Optional[QtCore.QSize] = None, style: FigureStyle = AS_SHOWN
) -> None:
    """Save the widget as SVG, in which text stays text; ``size`` and ``style`` as in :func:`picture`.

    Raises
    ------
    FigureError
        If it can't be written.
    """
    with _drawn(widget, size, style) as (size, draw):
        text = svg_text(widget, draw, size, style.caption().title if style.caption else title_of(widget))
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def save_csv(table: Dict[str, Any], path: AnyPath) -> None:
    """Save columns of numbers or texts, as :func:`qatviz.presentation.csv_text.csv_text` returns them, in UTF-8.

    Parameters
    ----------
    table : dict of str to array_like
        One-dimensional columns by name.
    path : str or Path

    Raises
    ------
    FigureError
        If there is no column, one is not one-dimensional, or the file can't be written.
    """
    if not table:
        raise FigureError(f"{path}: there is no data to save yet")
    try:
        text = csv_text(table)
    except ValueError as error:
        raise FigureError(f"{path}: {error}") from error
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def write_whole(path: AnyPath, content: bytes) -> None:
    """Write a file atomically; an existing one is replaced.

    Raises
    ------
    FigureError
        If it can't be written, or belongs to the record of a run; an existing file is unchanged.
    """
    with _as_figure_errors(path):
        write_file(path, content)


def check_writable_figure(path: AnyPath) -> None:
    """Raise the FigureError that :func:`write_whole` would, before the work that leads to the picture."""
    with _as_figure_errors(path):
        check_writable(path)


@contextmanager
def _as_figure_errors(path: AnyPath) -> Iterator[None]:
    from qatviz.telemetry.record.own_files import refusal_to_replace  # imported late, so that the window opens sooner

    refusal = refusal_to_replace(Path(path))
    if refusal is not None:
        raise FigureError(f"{path}: {refusal}")
    try:
        yield
    except OSError as error:
        raise FigureError(f"{path}: can't be written: {error.strerror or error}") from error


def title_of(figure: QtWidgets.QWidget) -> str:
    """Return the name of a figure: its ``figure_name``, else the window's title or the object's name."""
    return getattr(figure, "figure_name", "") or figure.windowTitle() or figure.objectName() or "figure"


_Draw = Callable[[QtGui.QPainter], None]


@contextmanager
def _drawn(
    widget: QtWidgets.QWidget, size: Optional[QtCore.QSize], style: FigureStyle
) -> Iterator[Tuple[QtCore.QSize, _Draw]]:
    """Yield the size of the picture, and the function that draws it for the duration of the block."""
    with in_colors(widget, style.theme), laid_out(widget, size) as inner:
        ground = getattr(widget, "ground", "window")
        scenes = scene_painter(theme_of(widget), widget.font(), ground)
        strips = Strips(0, 0, [], [])
        if style.caption is not None:
            strips = caption_strips(style.caption(), inner.width(), scenes.metrics)
        whole = QtCore.QSize(inner.width(), strips.top + inner.height() + strips.bottom)

        def draw(painter: QtGui.QPainter) -> None:
            if style.caption is not None:
                painter.fillRect(QtCore.QRect(QtCore.QPoint(), whole), theme_of(widget).color(ground))
            below = strips.top + inner.height()
            for x, y, shapes in [*strips.above, *((x, y + below, shapes) for x, y, shapes in strips.below)]:
                painter.save()
                painter.translate(x, y)
                scenes.paint(painter, shapes)
                painter.restore()
            painter.translate(0, strips.top)
            draw_widget(widget, painter)

        yield whole, draw


def caption_height(widget: QtWidgets.QWidget, caption: Caption, width: int) -> int:
    """Return the height of title and legend of a figure of ``width`` pixels."""
    strips = caption_strips(caption, width, scene_painter(theme_of(widget), widget.font()).metrics)
    return strips.top + strips.bottom


@contextmanager
def laid_out(widget: QtWidgets.QWidget, size: Optional[QtCore.QSize]) -> Iterator[QtCore.QSize]:
    """Resize the widget for the duration of the block and yield the size.

    The screen does not change meanwhile, because only the event loop repaints it.
    """
    before = widget.size()
    if size is None or size == before:
        yield before
        return
    smallest, largest = widget.minimumSize(), widget.maximumSize()
    try:
        widget.setMinimumSize(0, 0)
        widget.setMaximumSize(QtWidgets.QWIDGETSIZE_MAX, QtWidgets.QWIDGETSIZE_MAX)
        _resize(widget, size)
        yield widget.size()
    finally:
        widget.setMinimumSize(smallest)
        widget.setMaximumSize(largest)
        _resize(widget, before)


def _resize(widget: QtWidgets.QWidget, size: QtCore.QSize) -> None:
    widget.resize(size)
    if widget.layout() is not None:
        widget.layout().activate()
    if hasattr(widget, "refresh"):  # a panel arranges its contents for its size
        widget.refresh()
