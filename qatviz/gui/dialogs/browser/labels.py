"""Form with the labels of the selected runs: name and notes of one, tags of several."""

from typing import Callable, List, Optional, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.widgets.labels import Label
from qatviz.telemetry.record.labels import LONGEST_NAME, RunLabels, write_labels
from qatviz.telemetry.run_summary import RunSummary

_NO_RUN, _SEVERAL = "Select a run to see and edit its name, tags and notes.", "Tags that are added to {} runs"


class LabelsForm(QtWidgets.QWidget):
    """Form that writes what is typed when the focus leaves a field, or another run is selected."""

    #: Emitted with the directories of the runs whose labels have been written.
    changed = QtCore.pyqtSignal(list)
    #: Emitted with the reason why labels could not be written.
    failed = QtCore.pyqtSignal(str)

    def __init__(
        self,
        write: Callable[[str, RunLabels], RunLabels] = write_labels,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self._write = write
        self._runs: List[RunSummary] = []
        self.name = QtWidgets.QLineEdit(accessibleName="Name", maxLength=LONGEST_NAME)
        self.tags = QtWidgets.QLineEdit(accessibleName="Tags", placeholderText="words, separated by spaces")
        self.notes = QtWidgets.QPlainTextEdit(accessibleName="Notes", tabChangesFocus=True)
        self.facts = Label(wordWrap=True)
        self.facts.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        self.hint = Label(_NO_RUN, wordWrap=True)
        form = QtWidgets.QFormLayout(self)
        form.setContentsMargins(8, 4, 0, 0)
        form.setRowWrapPolicy(form.WrapAllRows)
        form.addRow(self.hint)
        form.addRow("Name", self.name)
        form.addRow("Tags", self.tags)
        form.addRow("Notes", self.notes)
        form.addRow(self.facts)
        self.name.editingFinished.connect(self.commit)
        self.tags.editingFinished.connect(self.commit)
        self.notes.installEventFilter(self)
        self.show_runs([])

    def show_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show the labels of ``runs``, after what was typed for others is written."""
        self.commit()
        readable = [run for run in runs if not run.error]
        if self._is_typing() and [run.directory for run in readable] == [run.directory for run in self._runs]:
            return  # the list was read again meanwhile
        self._runs = readable
        one = self._runs[0] if len(self._runs) == 1 else None
        self.name.setText(one.labels.name if one else "")
        self.name.setPlaceholderText(one.name if one else "")
        self.notes.setPlainText(one.labels.notes if one else "")
        self.tags.setText(" ".join(one.labels.tags) if one else "")
        self.name.setEnabled(one is not None)
        self.notes.setEnabled(one is not None)
        self.tags.setEnabled(bool(self._runs))
        broken = next((run.error for run in runs if run.error), "")
        self.hint.setText(_SEVERAL.format(len(self._runs)) if len(self._runs) > 1 else broken or _NO_RUN)
        self.hint.setVisible(one is None)
        self.facts.setText(one.directory if one else "")

    def _is_typing(self) -> bool:
        return any(field.hasFocus() for field in (self.name, self.tags, self.notes))

    def commit(self) -> None:
        """Write what was typed."""
        runs, written = self._runs, []
        try:
            for run in runs:
                labels = self._typed(run.labels, len(runs) == 1)
                if labels != run.labels:
                    written.append(run._replace(labels=self._write(run.directory, labels)))
        except QatvizError as error:
            self.failed.emit(str(error))
        if written:
            by_directory = {run.directory: run for run in written}
            self._runs = [by_directory.get(run.directory, run) for run in runs]
            self.changed.emit(list(by_directory))

    def _typed(self, old: RunLabels, is_one: bool) -> RunLabels:
        tags = tuple(self.tags.text().replace(",", " ").split())
        if not is_one:
            return old._replace(tags=tuple(sorted({*old.tags, *tags})))
        return RunLabels(self.name.text().strip(), self.notes.toPlainText().strip(), tuple(sorted(set(tags))))

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.FocusOut:
            self.commit()
        return False
