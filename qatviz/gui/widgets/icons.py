"""Icons of the toolbar, drawn in the colours of the theme; on a square of 16 by 16."""

from typing import Callable, Dict

from PyQt5 import QtCore, QtGui

_SIZE, _SCALE = 16, 4
Path = QtGui.QPainterPath


def _polygon(*points) -> Path:
    path = Path()
    path.addPolygon(QtGui.QPolygonF([QtCore.QPointF(x, y) for x, y in points]))
    path.closeSubpath()
    return path


def _bars(*rects) -> Path:
    path = Path()
    for rect in rects:
        path.addRect(QtCore.QRectF(*rect))
    return path


def _stroke(width: float, draw: Callable[[Path], None]) -> Path:
    path = Path()
    draw(path)
    stroker = QtGui.QPainterPathStroker()
    stroker.setWidth(width)
    stroker.setCapStyle(QtCore.Qt.RoundCap)
    stroker.setJoinStyle(QtCore.Qt.RoundJoin)
    return stroker.createStroke(path)


def _arrow_back(path: Path) -> None:
    path.moveTo(4, 6)
    path.lineTo(10, 6)
    path.cubicTo(15, 6, 15, 13, 10, 13)
    path.lineTo(6, 13)
    path.moveTo(7, 3)
    path.lineTo(4, 6)
    path.lineTo(7, 9)


def _rewind(path: Path) -> None:
    path.moveTo(3, 8)
    path.arcTo(QtCore.QRectF(3, 3, 10, 10), 180, -290)
    path.moveTo(3, 3.5)
    path.lineTo(3, 8)
    path.lineTo(7.2, 8)


def _target(path: Path) -> None:
    path.addEllipse(QtCore.QRectF(2, 2, 12, 12))
    path.addEllipse(QtCore.QRectF(6.5, 6.5, 3, 3))


def _flag(path: Path) -> None:
    path.moveTo(4, 14)
    path.lineTo(4, 3)
    path.lineTo(12.5, 5.5)
    path.lineTo(4, 9)


def _fork(path: Path) -> None:
    path.moveTo(4, 14)
    path.lineTo(4, 2.5)
    path.moveTo(4, 11)
    path.cubicTo(4, 7, 12, 9, 12, 3)


def _plus(path: Path) -> None:
    path.moveTo(8, 3)
    path.lineTo(8, 13)
    path.moveTo(3, 8)
    path.lineTo(13, 8)


def _folder(path: Path) -> None:
    path.moveTo(2, 13)
    path.lineTo(2, 4)
    path.lineTo(6, 4)
    path.lineTo(7.5, 5.5)
    path.lineTo(14, 5.5)
    path.lineTo(14, 13)
    path.closeSubpath()


def _export(path: Path) -> None:
    path.moveTo(3, 9)
    path.lineTo(3, 13.5)
    path.lineTo(13, 13.5)
    path.lineTo(13, 9)
    path.moveTo(8, 10.5)
    path.lineTo(8, 2.5)
    path.moveTo(5, 5.5)
    path.lineTo(8, 2.5)
    path.lineTo(11, 5.5)


_MIRRORED = QtGui.QTransform(-1, 0, 0, 1, _SIZE, 0)
_PATHS: Dict[str, Callable[[], Path]] = {
    "play": lambda: _polygon((4, 2.5), (13.5, 8), (4, 13.5)),
    "pause": lambda: _bars((3.5, 3, 3.2, 10), (9.3, 3, 3.2, 10)),
    "step": lambda: _polygon((3, 3), (10, 8), (3, 13)).united(_bars((11, 3, 2, 10))),
    "stop": lambda: _bars((3.5, 3.5, 9, 9)),
    "undo": lambda: _stroke(1.6, _arrow_back),
    "redo": lambda: _MIRRORED.map(_stroke(1.6, _arrow_back)),
    "go_back": lambda: _stroke(1.6, _rewind),
    "evaluate": lambda: _stroke(1.6, _target),
    "checkpoint": lambda: _stroke(1.6, _flag),
    "fork": lambda: _stroke(1.6, _fork),
    "new_run": lambda: _stroke(1.8, _plus),
    "open_run": lambda: _stroke(1.5, _folder),
    "export": lambda: _stroke(1.5, _export),
}
NAMES = tuple(_PATHS)


def icon(name: str, color: QtGui.QColor, disabled: QtGui.QColor) -> QtGui.QIcon:
    """The icon of this name (one of :data:`NAMES`)."""
    made = QtGui.QIcon()
    for mode, ink in ((QtGui.QIcon.Normal, color), (QtGui.QIcon.Disabled, disabled)):
        pixmap = QtGui.QPixmap(_SIZE * _SCALE, _SIZE * _SCALE)
        pixmap.fill(QtCore.Qt.transparent)
        painter = QtGui.QPainter(pixmap)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.scale(_SCALE, _SCALE)
        painter.fillPath(_PATHS[name](), ink)
        painter.end()
        made.addPixmap(pixmap, mode)
    return made
