"""Icons of the toolbar: bundled SVG files in the colours of the theme."""

# Separate from the main window, which refers to icons by name only.

from functools import lru_cache

from PyQt5 import QtCore, QtGui, QtSvg

from qatviz.asset_files import asset_path

#: Names of the icons; an action has the icon of its name.
NAMES = (
    "play",
    "pause",
    "step",
    "stop",
    "undo",
    "redo",
    "go_back",
    "evaluate",
    "checkpoint",
    "fork",
    "new_run",
    "open_run",
    "runs",
    "export",
)
#: Sizes of the pixmaps, px: a toolbar of 16 px on screens of up to four times the density.
_EDGES = (16, 32, 64)
#: Placeholder for the colour in the files.
_INK = b"currentColor"


def icon(name: str, color: QtGui.QColor, disabled: QtGui.QColor) -> QtGui.QIcon:
    """Return the icon ``name`` (one of :data:`NAMES`)."""
    made = QtGui.QIcon()
    for mode, ink in ((QtGui.QIcon.Normal, color), (QtGui.QIcon.Disabled, disabled)):
        picture = QtSvg.QSvgRenderer(_svg(name).replace(_INK, ink.name().encode()))
        for edge in _EDGES:
            made.addPixmap(_pixmap(picture, edge), mode)
    return made


@lru_cache(maxsize=None)
def _svg(name: str) -> bytes:
    with open(asset_path(f"icons/{name}.svg"), "rb") as file:
        return file.read()


def _pixmap(picture: QtSvg.QSvgRenderer, edge: int) -> QtGui.QPixmap:
    pixmap = QtGui.QPixmap(edge, edge)
    pixmap.fill(QtCore.Qt.transparent)
    painter = QtGui.QPainter(pixmap)
    picture.render(painter)
    painter.end()
    return pixmap
