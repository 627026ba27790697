"""Panel with the table of all quantized tensors: settings, error measures, verdicts."""

from typing import Any, Callable, Dict, List, Optional

from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtCore import Qt

from qatviz.analysis.causes import facts_of
from qatviz.gui.model.edits import Key
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import CHIP, EVENTS, SELECTION, SETTINGS, SNAPSHOT
from qatviz.gui.panels import declarations
from qatviz.gui.panels.layers.columns import INDEX
from qatviz.gui.panels.layers.model import LayersFilter, LayersModel
from qatviz.gui.panels.layers.rows import Totals
from qatviz.gui.panels.layers.sparkline import Sparklines
from qatviz.gui.panels.layers.view import LayersView
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import RichLabel
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.toggles import toggles
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizationPlan
from qatviz.number_format import bytes_text, percent_text
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.settings import ACTIVATIONS, WEIGHTS

_KIND_KEY = "layers/kind"
_KINDS = (
    ("", "All", "Show weights and activations."),
    (WEIGHTS, "Weights", "Show only weights, which are trained and stored."),
    (ACTIVATIONS, "Activations", "Show only activations: the input of the network and the outputs of its layers."),
)


class LayersPanel(Panel):
    """Table with a row for each quantized tensor; its selection is the model's."""

    declaration = declarations.LAYERS
    topics = (SNAPSHOT, SETTINGS, EVENTS, SELECTION, CHIP, MOMENT)

    #: Emitted with the name of a tensor to show in full.
    tensor_opened = QtCore.pyqtSignal(str)

    def _setup_ui(self) -> None:
        self.sparklines = Sparklines("snapshot:{}/sqnr_db")
        self.source = LayersModel(self.theme, self)
        self.shown = LayersFilter(self)
        self.shown.setSourceModel(self.source)
        self.filter = QtWidgets.QLineEdit(placeholderText="Filter by name", clearButtonEnabled=True)
        self.filter.setToolTip("Show tensors with these words in their name; * and ? are wildcards (Ctrl+F, Esc)")
        self.filter.setAccessibleName("Filter tensors by name")
        self._kind_group = QtWidgets.QButtonGroup(self)
        self.kinds = toggles(self._kind_group, _KINDS)
        self.view = LayersView(self.context, self.source, self.shown, self.sparklines)
        self.columns = QtWidgets.QToolButton(text="☰", toolTip="Choose which columns are shown", autoRaise=True)
        self.columns.setAccessibleName("Columns")
        self.columns.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.columns.setFocusPolicy(Qt.TabFocus)
        self.columns.setPopupMode(QtWidgets.QToolButton.InstantPopup)
        self.columns.setMenu(self.view.columns_menu)
        self.empty = EmptyText(self.view.viewport())
        self.summary = RichLabel(wordWrap=True)
        self.summary.setToolTip("Weights only; activations are computed for every input and not stored.")
        self.figure_name = self.view.figure_name
        self._plan: Optional[QuantizationPlan] = None
        self._snapshot: Optional[Snapshot] = None
        self._book: Optional[SettingsBook] = None
        self._pending: Dict[Key, Any] = {}
        self._syncing = False
        kind = self.context.settings.value(_KIND_KEY, "")
        self.kinds[kind if kind in self.kinds else ""].setChecked(True)
        self.shown.set_kind(kind if kind in self.kinds else "")

    def _layout(self) -> None:
        bar = QtWidgets.QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 2)
        bar.addWidget(self.filter, 1)
        for button in self.kinds.values():
            bar.addWidget(button)
        bar.addWidget(self.columns)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.summary)
        self.summary.setContentsMargins(8, 2, 8, 4)
        self.setFocusProxy(self.view)

    def _connect(self) -> None:
        self.filter.textChanged.connect(self._on_filter)
        self._kind_group.buttonClicked.connect(self._on_kind)
        self.view.selectionModel().selectionChanged.connect(self._on_selected)
        self.view.selectionModel().currentChanged.connect(self._on_selected)
        self.view.tensor_opened.connect(self.tensor_opened)
        self.edits.changed.connect(self.mark_due)
        for keys, parent, handler in (
            (QtGui.QKeySequence.Find, self, self._on_find),
            ("Esc", self.filter, self._on_escape),
        ):
            shortcut = QtWidgets.QShortcut(QtGui.QKeySequence(keys), parent)
            shortcut.setContext(Qt.WidgetWithChildrenShortcut)
            shortcut.activated.connect(handler)
        self.apply_theme()

    def apply_theme(self) -> None:
        self.view.apply_theme()

    def table(self) -> Dict[str, List[Any]]:
        """Return the shown rows as values by column."""
        return self.view.table()

    def update_from(self) -> None:
        model = self.model
        if model.plan is not self._plan:
            self._begin()
        if model.book is None:
            self.summary.setText("")
            self.empty.show_text(self.model.no_run_text("No run. Its layers are listed here once there is one."))
            return
        self._update_settings(model.book if model.moment is None else model.book_at(model.moment))
        trend_is_new = self._update_snapshot()
        self.source.rows.set_chip(model.chip, model.plan)
        self._sync_selection()
        if self.view.delegate.current != model.current:
            self.view.delegate.current = model.current
            self.view.redraw_all()
        self.view.redraw(trend_is_new)
        self._show_empty_text()
        self.summary.setText(self._summary_text())

    # Implementation

    def _begin(self) -> None:
        """Show the tensors of another run."""
        self._plan, self._snapshot, self._book = self.model.plan, None, None
        self._syncing = True
        self.source.show_tensors(self.model.tensors)
        self._syncing = False
        self.sparklines.show(self.model.history)
        self.view.fit()

    def _update_settings(self, book: SettingsBook) -> None:
        rows, model = self.source.rows, self.model
        if book is self._book and self.edits.pending == self._pending:
            rows.set_step(model.shown_step)
            return
        self._book, self._pending = book, dict(self.edits.pending)
        settings = [book.of(tensor.name) for tensor in model.tensors]
        then = self.edits.pending_book() if model.moment is None else None
        wanted = settings if then is None else [then.of(tensor.name) for tensor in model.tensors]
        rows.set_settings(settings, wanted, model.shown_step)

    def _update_snapshot(self) -> bool:
        """Show the measures of the shown snapshot; return whether sparklines must be repainted."""
        snapshot = self.model.shown
        if snapshot is self._snapshot:
            return False
        is_back = snapshot is None or (self._snapshot is not None and snapshot.step < self._snapshot.step)
        self._snapshot = snapshot
        settings = [] if snapshot is None else [self.model.settings_at(snapshot, t.name) for t in self.model.tensors]
        earlier = self.model.earlier_snapshot
        facts = (
            []
            if snapshot is None or self.model.book is None
            else facts_of(snapshot, self.model.book_at(snapshot), earlier)
        )
        self.source.rows.set_snapshot(snapshot, settings, facts)
        # Values change all the time: sorting would move rows away from the pointer.
        if not self.view.underMouse() and not self.view.is_editing():
            self._resort()
        return self.sparklines.refresh_if_old(at_once=is_back)

    def _resort(self) -> None:
        self._syncing = True
        self.shown.resort()
        self._syncing = False

    def _sync_selection(self) -> None:
        """Select the rows of the model's selection."""
        selection = self.view.selectionModel()
        wanted = [row for row in map(self.shown.row_of, self.model.selected) if row >= 0]
        self._syncing = True
        if {index.row() for index in selection.selectedRows()} != set(wanted):
            chosen = QtCore.QItemSelection()
            last = len(INDEX) - 1
            for row in wanted:
                chosen.select(self.shown.index(row, 0), self.shown.index(row, last))
            selection.select(chosen, selection.ClearAndSelect)
        row = self.shown.row_of(self.model.current)
        if row >= 0 and self.view.currentIndex().row() != row:
            index = self.shown.index(row, INDEX["name"])
            selection.setCurrentIndex(index, selection.NoUpdate)
            self.view.scrollTo(self.shown.index(row, max(self.view.columnAt(0), 0)))
        self._syncing = False

    def _show_empty_text(self) -> None:
        self.empty.show_text("" if self.shown.rowCount() else "No tensor matches the filter.")

    def _summary_text(self) -> str:
        totals, shown = self.source.rows.totals(), self.shown.rowCount()
        count = len(self.source.rows.tensors)
        parts = [f"{count} tensors" if shown == count else f"{shown} of {count} tensors"]
        if totals.float_size == totals.float_size:
            parts += _size_texts(totals, self.theme.colors.ghost)
        if self._snapshot is None:
            parts.append("waiting for the first snapshot")
        return " · ".join(parts)

    def _on_selected(self, *_: Any) -> None:
        if self._syncing:
            return
        names = [self.shown.tensor(index.row()) for index in self.view.selectionModel().selectedRows()]
        index = self.view.currentIndex()
        current = self.shown.tensor(index.row()) if index.isValid() else ""
        self.model.select(names, current if current in names else "")

    def _on_filter(self, text: str) -> None:
        self._filter(lambda: self.shown.set_text(text))

    def _on_kind(self, button: QtWidgets.QToolButton) -> None:
        kind = next(kind for kind, known in self.kinds.items() if known is button)
        self.context.settings.setValue(_KIND_KEY, kind)
        self._filter(lambda: self.shown.set_kind(kind))

    def _filter(self, change: Callable[[], None]) -> None:
        """Change the filter; hidden rows stay selected in the model."""
        self._syncing = True
        change()
        self._syncing = False
        self.refresh()

    def _on_find(self) -> None:
        self.filter.setFocus(Qt.ShortcutFocusReason)
        self.filter.selectAll()

    def _on_escape(self) -> None:
        self.filter.clear()
        self.view.setFocus(Qt.ShortcutFocusReason)


def _size_texts(totals: Totals, ghost: str) -> List[str]:
    def pending(now: str, then: str) -> str:
        return now if now == then else f'{now} <span style="color:{ghost}">→ {then}</span>'

    size = pending(bytes_text(totals.size), bytes_text(totals.pending_size))
    fraction = pending(
        percent_text(totals.size / totals.float_size), percent_text(totals.pending_size / totals.float_size)
    )
    bits = pending(*map(MEASURES["num_bits"].text, (totals.mean_bits, totals.pending_mean_bits)))
    return [f"weights {size} of {bytes_text(totals.float_size)} in float32 ({fraction})", f"{bits} per weight"]
