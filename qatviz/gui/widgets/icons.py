"""Icons of the toolbar: bundled pictures in the colours of the theme."""

# Apart from the main window, which asks for icons by name only and does not know how they are painted.

from functools import lru_cache

from PyQt5 import QtCore, QtGui, QtSvg

from qatviz.asset_files import asset_path

#: Names of the icons, which are those of actions where they have one.
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
    "export",
)
#: Edges of the pixmaps in px: toolbars of 16 px on screens of up to four times the density.
_EDGES = (16, 32, 64)
#: Placeholder of the colour in the files.
_INK = b"currentColor"


def icon(name: str, color: QtGui.QColor, disabled: QtGui.QColor) -> QtGui.QIcon:
    """Return the icon of this name (one of :data:`NAMES`)."""
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
