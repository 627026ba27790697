"""Frozen first columns of a table, which stay visible when it is scrolled horizontally."""

from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtCore import Qt

from qatviz.gui.widgets.tables import set_up_table

#: Fraction of the table's width above which the columns are not frozen, because they would hide the others.
_MAX_FRACTION = 0.6


class FrozenColumns(QtWidgets.QTableView):
    """Second view of the first ``count`` columns of ``table``, placed over them; it takes no focus.

    ``table`` must have its model, delegate and sorting; its owner calls :meth:`fit` when the theme changes.
    """

    def __init__(self, table: QtWidgets.QTableView, count: int):
        super().__init__(table)
        self._table, self._count = table, count
        self.setModel(table.model())
        self.setSelectionModel(table.selectionModel())
        self.setItemDelegate(table.itemDelegate())
        set_up_table(self)
        self.setSelectionMode(table.selectionMode())
        self.setFocusPolicy(Qt.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        header, own = table.horizontalHeader(), self.horizontalHeader()
        own.setDefaultAlignment(header.defaultAlignment())
        own.setMinimumSectionSize(header.minimumSectionSize())
        own.setSortIndicator(header.sortIndicatorSection(), header.sortIndicatorOrder())
        own.setSortIndicatorShown(True)
        own.setSectionsClickable(True)
        own.setContextMenuPolicy(header.contextMenuPolicy())
        for column in range(count, self.model().columnCount()):
            self.setColumnHidden(column, True)
        header.sectionResized.connect(self._on_table_resized)
        header.sortIndicatorChanged.connect(own.setSortIndicator)
        header.sectionMoved.connect(self._on_moved)
        own.sectionClicked.connect(self._on_clicked)
        own.sectionResized.connect(self._on_resized)
        own.customContextMenuRequested.connect(header.customContextMenuRequested)
        self.verticalScrollBar().valueChanged.connect(table.verticalScrollBar().setValue)
        table.verticalScrollBar().valueChanged.connect(self.verticalScrollBar().setValue)
        self.activated.connect(table.activated)
        self.setContextMenuPolicy(Qt.CustomContextMenu)
        self.customContextMenuRequested.connect(
            lambda point: table.customContextMenuRequested.emit(table.mapFromGlobal(self.mapToGlobal(point)))
        )
        table.installEventFilter(self)
        table.viewport().installEventFilter(self)
        self.fit()

    def fit(self) -> None:
        """Copy widths and position of the frozen columns."""
        table = self._table
        for column in range(self._count):
            self.setColumnWidth(column, table.columnWidth(column))
        self.verticalHeader().setDefaultSectionSize(table.verticalHeader().defaultSectionSize())
        self.horizontalHeader().setFixedHeight(table.horizontalHeader().height())
        width = sum(table.columnWidth(column) for column in range(self._count))
        viewport = table.viewport()
        self.setGeometry(
            viewport.x(),
            viewport.y() - table.horizontalHeader().height(),
            width,
            viewport.height() + table.horizontalHeader().height(),
        )
        self.setVisible(width <= _MAX_FRACTION * viewport.width())

    def _on_table_resized(self, column: int, _old: int, _new: int) -> None:
        if column < self._count:
            self.fit()

    def _on_resized(self, column: int, _old: int, new: int) -> None:
        if column < self._count and self._table.columnWidth(column) != new:
            self._table.setColumnWidth(column, new)

    def _on_clicked(self, column: int) -> None:
        header = self._table.horizontalHeader()
        is_same = header.sortIndicatorSection() == column
        descending = is_same and header.sortIndicatorOrder() == Qt.AscendingOrder
        self._table.sortByColumn(column, Qt.DescendingOrder if descending else Qt.AscendingOrder)

    def _on_moved(self, *_: int) -> None:
        """Move the frozen columns back to the front."""
        header = self._table.horizontalHeader()
        for column in range(self._count):
            if header.visualIndex(column) != column:
                header.moveSection(header.visualIndex(column), column)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        # A style sheet replaces the palette when the widget is first shown.
        palette = QtGui.QPalette()
        for role in (QtGui.QPalette.Highlight, QtGui.QPalette.HighlightedText):
            palette.setColor(role, self._table.palette().color(role))
        self.setPalette(palette)
        super().showEvent(event)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() in (QtCore.QEvent.Resize, QtCore.QEvent.Show, QtCore.QEvent.FontChange):
            self.fit()
        return False
