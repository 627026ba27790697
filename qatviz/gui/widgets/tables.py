"""Set-up and theme that all tables share."""

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.theme import Theme

_SELECTED_ALPHA = 64
_ROW_PADDING = 7


class Table(QtWidgets.QTableView):
    """Table that leaves keys with a character, which Qt's tables use to search for a row, to its window."""

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.text().isprintable() and event.text() and not event.modifiers() & QtCore.Qt.ControlModifier:
            event.ignore()
        else:
            super().keyPressEvent(event)


def set_up_table(view: QtWidgets.QTableView) -> None:
    """Select whole rows, forbid editing, and fix the row height so that long tables stay fast."""
    view.setSelectionBehavior(view.SelectRows)
    view.setEditTriggers(view.NoEditTriggers)
    view.setShowGrid(False)
    view.setTabKeyNavigation(False)
    view.setWordWrap(False)
    view.verticalHeader().hide()
    view.verticalHeader().setSectionResizeMode(QtWidgets.QHeaderView.Fixed)
    view.horizontalHeader().setHighlightSections(False)


def style_table(view: QtWidgets.QTableView, theme: Theme) -> None:
    """Apply the theme's colours and the font's row height."""
    style_selection(view, theme)
    view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + _ROW_PADDING)


def style_selection(view: QtWidgets.QAbstractItemView, theme: Theme) -> None:
    """Paint the selection in a translucent accent colour that leaves the colour of the text."""
    palette = view.palette()  # other roles stay inherited, or those of a figure that is saved in other colours
    palette.setColor(QtGui.QPalette.Highlight, theme.color("accent", _SELECTED_ALPHA))
    palette.setColor(QtGui.QPalette.HighlightedText, theme.color("text"))
    view.setPalette(palette)
