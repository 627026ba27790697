"""What tables have in common: a selection that leaves the colours of the text as they are, rows of even height."""

from PyQt5 import QtGui, QtWidgets

from qatviz.gui.widgets.theme import Theme

_SELECTED_ALPHA = 64
_ROW_PADDING = 7


def set_up_table(view: QtWidgets.QTableView) -> None:
    """Whole rows are selected, nothing is edited, rows are of one height, so length costs nothing."""
    view.setSelectionBehavior(view.SelectRows)
    view.setEditTriggers(view.NoEditTriggers)
    view.setShowGrid(False)
    view.setTabKeyNavigation(False)
    view.setWordWrap(False)
    view.verticalHeader().hide()
    view.verticalHeader().setSectionResizeMode(QtWidgets.QHeaderView.Fixed)
    view.horizontalHeader().setHighlightSections(False)


def dress_table(view: QtWidgets.QTableView, theme: Theme) -> None:
    """Take the theme's colours and the height of the font."""
    dress_selection(view, theme)
    view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + _ROW_PADDING)


def dress_selection(view: QtWidgets.QAbstractItemView, theme: Theme) -> None:
    """Mark what is selected in the theme's colour, behind text whose colour stays."""
    palette = QtGui.QPalette()
    palette.setColor(QtGui.QPalette.Highlight, theme.color("accent", _SELECTED_ALPHA))
    palette.setColor(QtGui.QPalette.HighlightedText, theme.color("text"))
    view.setPalette(palette)
