"""Taking a figure along: any widget's picture to the clipboard or a file, its numbers as CSV."""


from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import QatvizError


class FigureError(QatvizError):
    """A figure could not be written."""


class FigureMenu(QtWidgets.QMenu):
    """The context menu of a figure: a widget with ``figure_name`` and ``table()`` (columns by name)."""

    def __init__(self, figure: QtWidgets.QWidget):
        super().__init__(figure)
        self._figure = figure
        self.addAction("Copy picture", self._copy)
        self.addAction("Save picture…", self._save_picture)
        self.addAction("Save data as CSV…", self._save_table)
        figure.setContextMenuPolicy(QtCore.Qt.CustomContextMenu)
        figure.customContextMenuRequested.connect(lambda point: self.popup(figure.mapToGlobal(point)))

    def _copy(self) -> None:
        QtWidgets.QApplication.clipboard().setImage(picture(self._figure, self._figure.size()))

    def _save_picture(self) -> None:
        raise NotImplementedError

    def _save_table(self) -> None:
        raise NotImplementedError


def picture(widget: QtWidgets.QWidget, size: QtCore.QSize) -> QtGui.QImage:
    """The widget drawn at ``size`` pixels (its own layout, scaled)."""
    image = QtGui.QImage(size, QtGui.QImage.Format_ARGB32)
    image.fill(widget.palette().color(QtGui.QPalette.Window))
    painter = QtGui.QPainter(image)
    painter.scale(size.width() / widget.width(), size.height() / widget.height())
    widget.render(painter)
    painter.end()
    return image
