"""View of the table of layers: columns can be chosen, moved and resized, and are remembered."""

import json
from typing import Any, Dict, List, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtCore import Qt

from qatviz.gui.model.context import Context
from qatviz.gui.panels.layers.bits import BitsDelegate
from qatviz.gui.panels.layers.columns import COLUMNS, INDEX, KEYS
from qatviz.gui.panels.layers.delegate import LayersDelegate
from qatviz.gui.panels.layers.model import LayersFilter, LayersModel
from qatviz.gui.panels.layers.rows import Cell
from qatviz.gui.panels.layers.sparkline import Sparklines
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.frozen_columns import FrozenColumns
from qatviz.gui.widgets.panel import keys_text
from qatviz.gui.widgets.tables import Table, set_up_table, style_table

_KEY = "layers/columns"
#: Columns that are always shown, because they identify a row.
_FIXED = ("verdict", "name")
#: Padding of a cell and room for the sort arrow, px.
_EXTRA_WIDTH = 16
#: Largest part of the table that the names have, unless the user has chosen a width: the measures are beside them.
_NAMES_PART = 0.5
#: Largest width of a column that is restored, px.
_WIDEST = 4000


class LayersView(Table):
    """Table of the rows of ``source``, filtered and sorted by ``shown``.

    Attributes
    ----------
    context : Context
    figure_name : str
        Name of a saved table.
    """

    figure_name = "layers"

    #: Emitted with the name of a tensor to show in full.
    tensor_opened = QtCore.pyqtSignal(str)

    def __init__(
        self,
        context: Context,
        source: LayersModel,
        shown: LayersFilter,
        sparklines: Sparklines,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self.context, self._source, self._shown = context, source, shown
        self._widths: Dict[str, int] = {}
        self._drawn: Dict[int, Tuple[List[int], List[Cell]]] = {}
        self._longest_name = 0  # width of the names' column at which none is cut
        self._arranging = True
        self.setModel(shown)
        self.delegate = LayersDelegate(source.rows, shown, sparklines, context.theme, self)
        self.setItemDelegate(self.delegate)
        set_up_table(self)
        self._bits_delegate = BitsDelegate(self.delegate, shown, context.edits, self)
        self.setItemDelegateForColumn(INDEX["num_bits"], self._bits_delegate)
        self.setEditTriggers(self.DoubleClicked)  # F2 and digits: see keyPressEvent
        self.activated.connect(lambda index: self.tensor_opened.emit(shown.tensor(index.row())))
        self.setSelectionMode(self.ExtendedSelection)
        self.setHorizontalScrollMode(self.ScrollPerPixel)
        self.setAccessibleName("Quantized tensors")
        header = self.horizontalHeader()
        header.setSectionsMovable(True)
        header.setDefaultAlignment(Qt.AlignLeft | Qt.AlignVCenter)
        header.setMinimumSectionSize(20)
        header.setSortIndicator(-1, Qt.AscendingOrder)
        self.setSortingEnabled(True)
        header.setContextMenuPolicy(Qt.CustomContextMenu)
        header.sectionResized.connect(self._on_resized)
        header.sectionMoved.connect(self._save)
        header.sortIndicatorChanged.connect(self._save)
        self.frozen = FrozenColumns(self, len(_FIXED))
        self.menu = self._make_menu()
        self.columns_menu = self._make_columns_menu()
        header.customContextMenuRequested.connect(lambda point: self.columns_menu.popup(header.mapToGlobal(point)))
        self._restore()

    def _make_menu(self) -> FigureMenu:
        """Return the context menu: what can be done with the selected tensors, and with the table as a figure."""
        menu, edits = FigureMenu(self), self.context.edits
        first = menu.actions()[0]
        self.tensor_actions = []
        for text, key, tip, slot in (
            ("Show tensor", "Return", "Show the tensor in the Tensor panel", self._show_current),
            ("Edit bits", "F2", "Type the bit width of this tensor, in its cell", self.edit_bits),
            ("More bits", "+", "One bit more for each selected tensor", lambda: edits.change_bits(self.selected(), 1)),
            (
                "Fewer bits",
                "-",
                "One bit less for each selected tensor",
                lambda: edits.change_bits(self.selected(), -1),
            ),
        ):
            action = QtWidgets.QAction(f"{text}\t{keys_text([key])}", menu)
            action.setToolTip(tip)
            action.triggered.connect(lambda _, slot=slot: slot())
            menu.insertAction(first, action)
            self.tensor_actions.append(action)
        menu.insertSeparator(first)
        menu.aboutToShow.connect(self._enable_actions)
        return menu

    def _enable_actions(self) -> None:
        for action in self.tensor_actions:
            action.setEnabled(self.currentIndex().isValid())

    def selected(self) -> List[str]:
        """Return the tensors of the selected rows."""
        return [self._shown.tensor(index.row()) for index in self.selectionModel().selectedRows()]

    def edit_bits(self) -> None:
        """Open the editor of the current row's bit width."""
        index = self.currentIndex()
        if index.isValid():
            bits = self._shown.index(index.row(), INDEX["num_bits"])
            self.scrollTo(bits)
            self.edit(bits)

    def is_editing(self) -> bool:
        """Return whether the editor of a cell is open."""
        return self.state() == self.EditingState

    def _show_current(self) -> None:
        if self.currentIndex().isValid():
            self.tensor_opened.emit(self._shown.tensor(self.currentIndex().row()))

    def table(self) -> Dict[str, List[Any]]:
        """Return all columns of the shown rows, in their order, as values by key."""
        return self._source.rows.table(self._shown.source_rows())

    def visible_rows(self) -> Tuple[int, int]:
        """Return the first and the last visible row; the last is less than the first if there is none."""
        last = self._shown.rowCount() - 1
        top, bottom = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        return (top if top >= 0 else 0), (bottom if bottom >= 0 else last)

    def redraw(self, with_trend: bool) -> None:
        """Repaint columns whose visible cells have changed; ``with_trend``: the sparklines, too.

        Most columns stay the same from snapshot to snapshot, and cells are slow to paint.
        """
        first, last = self.visible_rows()
        shown, rows, viewport = self._shown, self._source.rows, self.viewport()
        seen = [shown.mapToSource(shown.index(row, 0)).row() for row in range(first, last + 1)]
        for index, column in enumerate(COLUMNS):
            left, width = self.columnViewportPosition(index), self.columnWidth(index)
            is_frozen = index < len(_FIXED)
            if self.isColumnHidden(index) or (not is_frozen and not -width < left < viewport.width()):
                self._drawn.pop(index, None)
                continue
            cells = (seen, [rows.cell(row, column) for row in seen])
            if self._drawn.get(index) != cells or (column.key == "trend" and with_trend):
                self._drawn[index] = cells
                viewport.update(left, 0, width, viewport.height())
                if is_frozen:
                    self.frozen.viewport().update()

    def redraw_all(self) -> None:
        """Repaint all cells."""
        self.viewport().update()
        self.frozen.viewport().update()

    def fit(self) -> None:
        """Fit each column to its longest expected text, unless the user has chosen a width; long names are cut."""
        self._arranging = True
        metrics, bold = QtGui.QFontMetrics(self.font()), QtGui.QFont(self.font())
        bold.setBold(True)
        bold_metrics = QtGui.QFontMetrics(bold)
        names = [tensor.name for tensor in self._source.rows.tensors]
        for index, column in enumerate(COLUMNS):
            texts = names if column.key == "name" and names else [column.sample]
            widths = [bold_metrics.horizontalAdvance(text) for text in texts]
            widths.append(metrics.horizontalAdvance(column.header))
            width = max(widths) + _EXTRA_WIDTH
            if column.key == "name":
                self._longest_name = width
                width = self._name_width()
            self.setColumnWidth(index, self._widths.get(column.key, width))
        self.frozen.fit()
        self._arranging = False

    def _name_width(self) -> int:
        return min(self._longest_name, int(_NAMES_PART * self.viewport().width()))

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        for view in (self, self.frozen):
            style_table(view, self.context.theme)
        self.delegate.apply_theme()
        self.fit()

    def sort_by_network(self) -> None:
        """Restore the order of the network."""
        self.horizontalHeader().setSortIndicator(-1, Qt.AscendingOrder)
        self._shown.sort(-1)

    # Columns

    def show_column(self, key: str, is_shown: bool) -> None:
        """Show or hide a column."""
        self.setColumnHidden(INDEX[key], not is_shown)
        self.column_actions[key].setChecked(is_shown)
        self._save()

    def reset_columns(self) -> None:
        """Restore the default columns, widths and order."""
        self._widths.clear()
        header = self.horizontalHeader()
        self._arranging = True
        for index, column in enumerate(COLUMNS):
            header.moveSection(header.visualIndex(index), index)
            self.setColumnHidden(index, not column.by_default)
            if column.key in self.column_actions:
                self.column_actions[column.key].setChecked(column.by_default)
        self.fit()
        self._save()

    def _make_columns_menu(self) -> QtWidgets.QMenu:
        menu = QtWidgets.QMenu("Columns", self)
        menu.setToolTipsVisible(True)
        self.column_actions: Dict[str, QtWidgets.QAction] = {}
        for column in COLUMNS:
            if column.key in _FIXED:
                continue
            action = menu.addAction(column.header)
            action.setToolTip(column.help)
            action.setCheckable(True)
            action.triggered.connect(lambda checked, key=column.key: self.show_column(key, checked))
            self.column_actions[column.key] = action
        menu.addSeparator()
        menu.addAction("Sort rows by position in the network", self.sort_by_network)
        menu.addAction("Reset columns", self.reset_columns)
        return menu

    # Remembered columns

    def _restore(self) -> None:
        self._arranging = True
        try:
            kept = _parsed(self.context.settings.value(_KEY, "{}"))
        except (ValueError, TypeError, AttributeError, RecursionError):
            kept = _parsed("{}")  # edited, or written by another version
        hidden, order, self._widths, (sorted_by, descending) = kept
        header = self.horizontalHeader()
        for place, key in enumerate(order + [key for key in KEYS if key not in order]):
            header.moveSection(header.visualIndex(INDEX[key]), place)
        for column in COLUMNS:
            is_hidden = column.key in hidden and column.key not in _FIXED
            self.setColumnHidden(INDEX[column.key], is_hidden)
            if column.key in self.column_actions:
                self.column_actions[column.key].setChecked(not is_hidden)
        if sorted_by in INDEX:
            self.sortByColumn(INDEX[sorted_by], Qt.DescendingOrder if descending else Qt.AscendingOrder)
        self._arranging = False

    def _save(self, *_: Any) -> None:
        if self._arranging:
            return
        header = self.horizontalHeader()
        sorted_by = header.sortIndicatorSection()
        self.context.settings.setValue(
            _KEY,
            json.dumps(
                {
                    "hidden": [key for key in KEYS if self.isColumnHidden(INDEX[key])],
                    "order": [KEYS[header.logicalIndex(place)] for place in range(len(KEYS))],
                    "widths": self._widths,
                    "sort": [
                        KEYS[sorted_by] if 0 <= sorted_by < len(KEYS) else "",
                        header.sortIndicatorOrder() == Qt.DescendingOrder,
                    ],
                }
            ),
        )

    def _on_resized(self, index: int, _old: int, new: int) -> None:
        if not self._arranging and new > 0 and not self.isColumnHidden(index):
            self._widths[KEYS[index]] = new
            self._save()

    # Qt

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        is_digit = event.text().isdigit() and not event.modifiers() & ~Qt.KeypadModifier
        if event.key() == Qt.Key_F2 or is_digit:
            self.edit_bits()
            editor = QtWidgets.QApplication.focusWidget()
            if is_digit and self.is_editing() and editor is not None:
                QtWidgets.QApplication.sendEvent(editor, event)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        if "name" not in self._widths:
            self._arranging = True
            self.setColumnWidth(INDEX["name"], self._name_width())
            self._arranging = False

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange and hasattr(self, "frozen"):
            self.apply_theme()


def _parsed(text: str) -> Tuple[List[str], List[str], Dict[str, int], Tuple[str, bool]]:
    """Return the remembered hidden columns, order, widths and sorting.

    Text of another form raises one of the exceptions that :meth:`LayersView._restore` catches.
    """
    kept = json.loads(text)
    hidden = list(kept.get("hidden", [column.key for column in COLUMNS if not column.by_default]))
    order = list(dict.fromkeys(key for key in kept.get("order", KEYS) if key in INDEX))
    widths = {key: min(max(int(width), 0), _WIDEST) for key, width in kept.get("widths", {}).items() if key in INDEX}
    key, descending = kept.get("sort", ("", False))
    return hidden, order, widths, (str(key), bool(descending))
