"""Bar below the quantizer settings of a run that has ended: evaluation of these settings, and its result."""

from html import escape
from typing import List

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.what_if import WhatIf
from qatviz.gui.widgets.flow_layout import flow_row
from qatviz.gui.widgets.labels import Label, RichLabel
from qatviz.gui.widgets.work_row import WorkRow
from qatviz.metric import METRICS, MODE_NAMES
from qatviz.presentation.event_texts import change_words
from qatviz.presentation.score_texts import metric_title, title_of
from qatviz.telemetry.run_handle import RECORDED

#: Number of changes that the result's tooltip lists; more are counted.
LISTED = 20
_RECORDED = "This run is shown from its record"
_ENDED = "This run has ended"
_TIP = (
    "Evaluate the settings shown here on held-out data, without training (Ctrl+E). "
    "The run and its record do not change."
)


class WhatIfBar(QtWidgets.QWidget):
    """Bar for ``what_if``; hidden while the run trains."""

    def __init__(self, context: Context, what_if: WhatIf):
        super().__init__()  # the layout sets the parent later, so that the Tab order follows the layout
        self._model, self._edits, self._theme = context.model, context.edits, context.theme
        self._what_if = what_if
        self._setup_ui()
        self._layout()
        self.evaluate.clicked.connect(lambda: what_if.evaluate())
        self.work.cancel.clicked.connect(lambda: what_if.cancel())
        self.discard.clicked.connect(lambda: self._edits.discard())
        what_if.changed.connect(self.update_from)
        self.apply_theme()
        self.update_from()

    def _setup_ui(self) -> None:
        self.note = Label(wordWrap=True)
        self.evaluate = QtWidgets.QPushButton("Evaluate these settings", toolTip=_TIP)
        self.discard = QtWidgets.QPushButton("Discard")
        self.work = WorkRow()
        self.result = RichLabel()
        self.result.setAccessibleName("Evaluation of these settings")
        self.result.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        self.message = Label(wordWrap=True)

    def _layout(self) -> None:
        rows = QtWidgets.QVBoxLayout(self)
        rows.setSpacing(4)
        rows.addWidget(self.note)
        rows.addLayout(flow_row(self.evaluate, self.discard))
        rows.addWidget(self.work)
        rows.addWidget(self.result)
        rows.addWidget(self.message)

    def update_from(self) -> None:
        """Show what the settings are applied to, the progress of an evaluation, and its result."""
        what_if, pending = self._what_if, len(self._edits.pending)
        self.setVisible(self._edits.are_previews)
        if not self._edits.are_previews:
            return
        self.note.setText(self._note())
        for widget in (self.evaluate, self.discard):
            widget.setVisible(not what_if.is_busy)
        self.evaluate.setText("Evaluate these settings" + (f" ({pending})" if pending else ""))
        self.discard.setEnabled(bool(pending))
        self.discard.setToolTip(f"Discard the {pending} pending changes (Esc)" if pending else "No pending changes")
        self.work.show_fraction(what_if.fraction_if_busy, what_if.activity)
        self.result.setVisible(what_if.result is not None)
        self.result.setText(self._table())
        self.result.setToolTip(self._changes())
        self.message.setVisible(bool(what_if.message))
        self.message.setText(f"Not evaluated: {what_if.message}")

    def apply_theme(self) -> None:
        for label, color in ((self.note, "muted"), (self.message, "bad")):
            palette = QtGui.QPalette(QtWidgets.QApplication.palette())
            palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
            label.setPalette(palette)

    # Implementation

    def _note(self) -> str:
        what = _RECORDED if self._model.state == RECORDED else _ENDED
        snapshot = self._model.snapshot
        on = f" on its histograms of step {snapshot.step:,}" if snapshot is not None else ""
        return f"{what}: changes are previewed{on}, not applied. To train with them, resume or fork it."

    def _table(self) -> str:
        """Return the result beside the recorded one, as rich text."""
        result, recorded = self._what_if.result, self._model.evaluation
        if result is None:
            return ""
        metric = METRICS[result.metric]
        heads = [
            escape(metric_title(metric.name, result.output)),
            "" if recorded is None else f"recorded,<br/>step {recorded.step:,}",
        ]
        heads.append("these settings" if self._what_if.is_current else "earlier settings")
        rows = []
        for mode, name in MODE_NAMES.items():
            before = "" if recorded is None else metric.text(recorded.scores.get(mode))
            rows.append([name, before, f"<b>{metric.text(result.scores.get(mode))}</b>"])
        known = {(each.output, each.metric): each.scores for each in recorded.further} if recorded is not None else {}
        for each in result.further:
            text, earlier = METRICS[each.metric].text, known.get((each.output, each.metric))
            found = f"<b>{text(each.scores.get('quantized'))}</b>"
            name = f"{escape(title_of(each))}, {MODE_NAMES['quantized']}"
            rows.append([name, "" if earlier is None else text(earlier.get("quantized")), found])
        return "<table width='100%' cellspacing='2'>" + "".join(map(_row, [heads, *rows])) + "</table>"

    def _changes(self) -> str:
        """Return the changes that the result is of, and the state that was evaluated, as rich text."""
        result, wanted, book = self._what_if.result, self._what_if.answered, self._model.book
        if result is None or wanted is None or book is None:
            return ""
        changes: List[str] = [change_words(change) for change in book.differences(wanted)]
        more = [f"and {len(changes) - LISTED} more"] if len(changes) > LISTED else []
        title = f"State of step {result.step:,} on {result.num_examples:,} held-out examples"
        lines = [title, *(changes[:LISTED] or ["settings unchanged"]), *more]
        return "<br/>".join(map(escape, lines))


def _row(cells: List[str]) -> str:
    first, *others = cells
    return f"<tr><td>{first}</td>" + "".join(f"<td align='right'>{cell}</td>" for cell in others) + "</tr>"
