"""Panel with the predictions of held-out examples in float and quantized: which flip, and which classes lose."""

import contextlib
from typing import Any, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.predictions import (
    Comparison,
    OutputPredictions,
    Predictions,
    compare,
    confusion_of,
    members_of,
    members_of_cell,
    ordered,
)
from qatviz.errors import RunStateError
from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import EXAMPLE, RUN, SETTINGS, STATE
from qatviz.gui.model.watching import PREDICTIONS
from qatviz.gui.panels import declarations
from qatviz.gui.panels.predictions.gallery import ExampleView, Gallery
from qatviz.gui.panels.predictions.groups import GroupTable
from qatviz.gui.panels.predictions.past import distance_text, nearest_checkpoint, show_checkpoint
from qatviz.gui.panels.predictions.plots import MatrixView, ScatterView
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.work_row import WorkRow
from qatviz.number_format import count
from qatviz.presentation.confusion import KINDS, MatrixCell
from qatviz.presentation.gallery import Shown
from qatviz.presentation.prediction_texts import (
    EFFECT_HELP,
    MARGIN_HELP,
    flipped_word,
    group_heads,
    group_name,
    summary_text,
)
from qatviz.protocol.commands import Predict
from qatviz.protocol.settings_book import SettingsBook
from qatviz.task import MULTILABEL, REGRESSION, SEGMENTATION

SAMPLES, MATRIX, GROUPS, SCATTER = "samples", "matrix", "groups", "scatter"
#: Ratio of height to width from which the selected example is below the gallery instead of beside it.
_TALL = 1.1
#: Number of characters of the names of classes for which there is room.
_LONGEST_NAME = 30
_REFRESH_TIP = "Predict the held-out examples in the present state, while training continues"
_PREDICT_TIP = "Predict the held-out examples in float and quantized, under the settings shown: pending ones included"
_WAITING = "Predicting held-out examples…"
_PAST = "There are no predictions of past states yet. “Predict” computes those of the nearest checkpoint."
_ENDED = "“Predict” compares the network in float and quantized on held-out examples."


class PredictionsPanel(Panel):
    """Examples by lost margin, confusion matrices and scores by class; of a regression, predictions over targets."""

    declaration = declarations.PREDICTIONS
    needs = PREDICTIONS
    topics = (RUN, STATE, SETTINGS, PREDICTIONS, EXAMPLE, MOMENT)
    #: Emitted with the number of held-out examples whose pictures are needed.
    pictures_wanted = QtCore.pyqtSignal(int)

    def _setup_ui(self) -> None:
        self.output_box = QtWidgets.QComboBox(toolTip="Output of the network")
        self.output_box.setAccessibleName("Output")
        self.only_flipped = QtWidgets.QCheckBox("Only flipped", checked=True)
        self.group_box = QtWidgets.QComboBox(toolTip="Show only the examples of this class or label")
        self.group_box.setAccessibleName("Class")
        self.group_box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToContents)
        self.group_box.setMaximumWidth(_LONGEST_NAME * self.fontMetrics().averageCharWidth())
        self.cell_button = QtWidgets.QToolButton(toolTip="Show the examples of all cells again")
        self.refresh_button = QtWidgets.QPushButton("Refresh", toolTip=_REFRESH_TIP)
        self.predict_button = QtWidgets.QPushButton("Predict", toolTip=_PREDICT_TIP)
        #: Requests are the settings under which a run that has ended is predicted, or the name of a checkpoint.
        self.work = BackgroundWork(self.model, self)
        self.progress = WorkRow()
        self.note = Label(wordWrap=True)
        self.gallery, self.example = Gallery(self.theme), ExampleView(self.theme)
        self.matrix, self.scatter = MatrixView(self.theme), ScatterView(self.theme)
        self.kind_box = QtWidgets.QComboBox(toolTip="Matrix of the network in float, quantized, or their difference")
        self.kind_box.addItems(list(KINDS))
        self.kind_box.setCurrentText(self.matrix.kind)
        self.kind_box.setAccessibleName("Confusion matrix")
        self.target_box = QtWidgets.QComboBox(toolTip="Number to predict")
        self.target_box.setAccessibleName("Number to predict")
        self.groups = GroupTable(self.theme)
        self.tabs = QtWidgets.QTabWidget(documentMode=True)
        self.tabs.tabBar().setAccessibleName("Views of the predictions")
        self._content = QtWidgets.QWidget()
        self.empty = EmptyText(self)
        self._cell: Optional[MatrixCell] = None
        self._compared: Optional[Tuple[OutputPredictions, Comparison]] = None
        self._drawn: Tuple[Any, ...] = ()
        self._pictures_of: Optional[Predictions] = None
        self._book: Optional[SettingsBook] = None  # settings of the newest result of a run that has ended

    def _layout(self) -> None:
        bar = FlowLayout(spacing=4)
        for widget in (
            self.output_box,
            self.only_flipped,
            self.group_box,
            self.cell_button,
            self.kind_box,
            self.target_box,
            self.refresh_button,
            self.predict_button,
            self.progress,
        ):
            bar.addWidget(widget)
        samples = QtWidgets.QSplitter(QtCore.Qt.Horizontal)
        samples.setChildrenCollapsible(False)
        samples.addWidget(self.gallery)
        samples.addWidget(self.example)
        samples.setStretchFactor(0, 1)
        samples.setStretchFactor(1, 1)
        samples.setSizes([1, 1])
        self.samples = samples
        self.pages = {
            SAMPLES: samples,
            MATRIX: self.matrix,
            SCATTER: self.scatter,
            GROUPS: self.groups,
        }
        inner = QtWidgets.QVBoxLayout(self._content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(2)
        inner.addWidget(self.tabs, 1)
        head = QtWidgets.QVBoxLayout()
        head.setContentsMargins(6, 4, 6, 2)
        head.setSpacing(2)
        head.addLayout(bar)
        head.addWidget(self.note)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(head)
        outer.addWidget(self._content, 1)
        self._show_pages(None)

    def _connect(self) -> None:
        self.output_box.currentIndexChanged.connect(self._on_output)
        self.only_flipped.toggled.connect(self.mark_now)
        self.group_box.currentIndexChanged.connect(self.mark_now)
        self.cell_button.clicked.connect(lambda: self._show_cell(None))
        self.refresh_button.clicked.connect(self._on_refresh)
        self.predict_button.clicked.connect(self._on_predict)
        self.progress.cancel.clicked.connect(lambda: self.work.cancel())
        self.work.changed.connect(self._on_work)
        self.gallery.view.selected.connect(self.model.select_example)
        self.scatter.selected.connect(self.model.select_example)
        self.matrix.chosen.connect(self._show_cell)
        self.groups.chosen.connect(self._show_group)
        self.kind_box.currentTextChanged.connect(self.matrix.show_kind)
        self.target_box.currentIndexChanged.connect(self.mark_now)
        self.tabs.currentChanged.connect(self._show_choices)
        self.edits.changed.connect(self.mark_due)
        self.model.changed.connect(self._on_model)

    def mark_now(self) -> None:
        """Draw what the user has chosen, if the panel is in view."""
        self.mark_due()
        if self.is_due():
            self.refresh()

    def apply_theme(self) -> None:
        self._drawn = ()
        for view in (self.gallery.view, self.example, self.matrix, self.scatter):
            view.changed()

    # Display

    @property
    def predictions(self) -> Optional[Predictions]:
        """The newest predictions; while a moment of the past is shown, those of the nearest predicted step."""
        moment = self.model.moment
        return self.model.predictions if moment is None else self.model.kept_predictions.nearest(moment.step)

    @property
    def found(self) -> Optional[OutputPredictions]:
        """Predictions of the chosen output; None while there are none."""
        predictions = self.predictions
        if predictions is None or not predictions.outputs:
            return None
        return predictions.outputs[min(max(self.output_box.currentIndex(), 0), len(predictions.outputs) - 1)]

    def update_from(self) -> None:
        self._fill_outputs()
        found = self.found
        empty = self._empty_text(found)
        is_shown = found is not None and not empty
        self._content.setVisible(is_shown)
        self.empty.show_text(empty)
        self._show_work()
        if found is None or empty:
            self._show_choices()
            self._drawn = ()
            return
        self._request_pictures()
        self._fill_groups(found)
        self._show_choices()
        comparison = self._comparison(found)
        self.note.setText(self._note(found, comparison))
        self.note.setToolTip(f"{EFFECT_HELP[found.task]}\n{MARGIN_HELP[found.task]}")
        inputs = (
            id(found),
            self.only_flipped.isChecked(),
            self.group_box.currentIndex(),
            self.target_box.currentIndex(),
            self._cell,
            id(self.model.example_pictures),
            self.model.selected_example,
            self.theme.colors,
        )
        if inputs != self._drawn:
            self._draw(found, comparison)
            if not self._drawn or self._drawn[0] != inputs[0]:
                self.groups.show_scores(found)
        self._drawn = inputs

    def _draw(self, found: OutputPredictions, comparison: Comparison) -> None:
        indices = ordered(comparison, self.only_flipped.isChecked(), self._members(found))
        shown = Shown(found, comparison, indices, self.model.example_pictures)
        selected = self.model.selected_example
        self.gallery.view.show_examples(shown, selected, self._nothing_text(found))
        is_known = 0 <= selected < len(found.targets)
        self.example.show_example(shown, selected if is_known else int(indices[0]) if len(indices) else -1)
        is_matrix = found.task not in (REGRESSION, MULTILABEL)
        self.matrix.show_matrix(confusion_of(found) if is_matrix else None, found.names, self._noun(found))
        is_regression = found.task == REGRESSION
        target = max(self.target_box.currentIndex(), 0)
        self.scatter.show_predictions(found if is_regression else None, target, selected)

    def _comparison(self, found: OutputPredictions) -> Comparison:
        if self._compared is None or self._compared[0] is not found:
            self._compared = found, compare(found)
        return self._compared[1]

    def _members(self, found: OutputPredictions) -> Optional[np.ndarray]:
        """Return which examples the chosen class and cell leave; None for all."""
        group, members = self.group_box.currentIndex() - 1, None
        if found.task != REGRESSION and 0 <= group < len(found.names):
            members = members_of(found, group)
        if self._cell is not None and max(self._cell) < len(found.names):
            of_cell = members_of_cell(found, *self._cell)
            members = of_cell if members is None else members & of_cell
        return members

    def _noun(self, found: OutputPredictions) -> str:
        return "pixel" if found.task == SEGMENTATION else "example"

    def _fill_outputs(self) -> None:
        predictions = self.predictions
        names = [] if predictions is None else [each.output for each in predictions.outputs]
        if [self.output_box.itemText(index) for index in range(self.output_box.count())] != names:
            blocker = QtCore.QSignalBlocker(self.output_box)
            self.output_box.clear()
            self.output_box.addItems(names)
            blocker.unblock()
        self.output_box.setVisible(len(names) > 1)

    def _fill_groups(self, found: OutputPredictions) -> None:
        heads = group_heads(found.task)
        is_regression = found.task == REGRESSION
        names = [f"All {heads.many}", *(() if is_regression else found.names)]
        targets = [group_name(found, index) for index in range(found.targets.shape[1])] if is_regression else []
        for box, texts in ((self.group_box, names), (self.target_box, targets)):
            if [box.itemText(index) for index in range(box.count())] != texts:
                blocker = QtCore.QSignalBlocker(box)
                box.clear()
                box.addItems(texts)
                blocker.unblock()
        self.only_flipped.setText(f"Only {flipped_word(found.task)}")
        self.only_flipped.setToolTip(
            "Show only examples whose error grew"
            if is_regression
            else "Show only examples whose prediction in float and quantized differs"
        )
        self._show_pages(found)

    def _show_pages(self, found: Optional[OutputPredictions]) -> None:
        """Show the pages that the task has."""
        task = "" if found is None else found.task
        titles = {SAMPLES: "Examples"}
        if task == REGRESSION:
            titles[SCATTER] = "Targets"
        elif task and task != MULTILABEL:
            titles[MATRIX] = "Confusion"
        titles[GROUPS] = group_heads(task).group + " scores" if task else "Scores"
        if [self.tabs.tabText(index) for index in range(self.tabs.count())] == list(titles.values()):
            return
        page = self.tabs.currentWidget()
        self.tabs.clear()
        for name, title in titles.items():
            self.tabs.addTab(self.pages[name], title)
        if page is not None and self.tabs.indexOf(page) >= 0:
            self.tabs.setCurrentWidget(page)

    def _show_choices(self) -> None:
        """Show the choices of the page in front, which leaves the others the room of a row."""
        found = self.found
        page = None if found is None or found.refusal else self.tabs.currentWidget()
        is_samples = page is self.pages[SAMPLES]
        self.only_flipped.setVisible(is_samples)
        self.group_box.setVisible(is_samples and found is not None and found.task != REGRESSION)
        self.cell_button.setVisible(is_samples and self._cell is not None)
        self.kind_box.setVisible(page is self.matrix)
        self.target_box.setVisible(page is self.scatter and self.target_box.count() > 1)

    def _empty_text(self, found: Optional[OutputPredictions]) -> str:
        if self.model.run is None:
            return self.model.no_run_text("No run. The predictions of its held-out examples appear here.")
        if found is not None:
            return found.refusal
        failure = self.work.message or self.model.prediction_failure
        if failure:
            return f"Not predicted: {failure}"
        if self.work.is_busy:
            return _WAITING
        if self.model.moment is not None:
            return _PAST
        return _ENDED if self.model.ended else _WAITING

    def _nothing_text(self, found: OutputPredictions) -> str:
        word = flipped_word(found.task)
        if self.only_flipped.isChecked():
            return f"No example is {word}. Without “Only {word}”, all are listed by the margin that they lose."
        return "There is no such example."

    def _note(self, found: OutputPredictions, comparison: Comparison) -> str:
        predictions, moment = self.predictions, self.model.moment
        assert predictions is not None, "there are predictions"
        summary = summary_text(predictions, found, comparison)
        about = self._settings_text() if moment is None else distance_text(predictions.step, moment.step)
        parts = [f"Step {predictions.step:,}{about}: {summary}"]
        pictures = self.model.example_pictures
        if pictures is not None and pictures.note:
            parts.append(pictures.note)
        failure = self.work.message or self.model.prediction_failure
        if failure:
            parts.append(f"Not predicted again: {failure}")
        return "\n".join(parts)

    def _settings_text(self) -> str:
        """Return a note on settings that are not those of the run; empty if they are."""
        if self._book is None or self.model.book is None or not self.model.ended:
            return ""
        changes = len(self.model.book.differences(self._book))
        text = f", with {count(changes, 'pending change')}" if changes else ""
        return text if self._book == self._wanted_book() else text + "; the settings shown are others now"

    def _show_work(self) -> None:
        is_run, ended = self.model.run is not None, self.model.ended
        is_past = self.model.moment is not None
        self.refresh_button.setVisible(is_run and not ended and not is_past)
        self.predict_button.setVisible(is_run and (ended or is_past) and not self.work.is_busy)
        if is_past:
            show_checkpoint(self.predict_button, self.model)
        else:
            pending = len(self.edits.pending)
            self.predict_button.setText("Predict" + (f" with {count(pending, 'pending change')}" if pending else ""))
            self.predict_button.setToolTip(_PREDICT_TIP)
            self.predict_button.setEnabled(True)
        self.progress.show_fraction(self.work.fraction_if_busy)
        self.note.setVisible(self.found is not None)

    def _on_work(self) -> None:
        if isinstance(self.work.answered, SettingsBook):
            self._book = self.work.answered
        self.mark_due()
        self._show_work()

    def _wanted_book(self) -> Optional[SettingsBook]:
        return self.edits.pending_book() or self.model.book

    def _request_pictures(self) -> None:
        """Request the pictures of the predicted examples, once for each run or number of examples."""
        predictions, known = self.predictions, self.model.example_pictures
        assert predictions is not None, "there are predictions"
        asked = self._pictures_of
        if (known is None or known.number < predictions.examples) and (
            asked is None or asked.examples < predictions.examples
        ):
            self._pictures_of = predictions
            self.pictures_wanted.emit(predictions.examples)

    # User actions

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        is_tall = self.height() > _TALL * self.width()
        self.samples.setOrientation(QtCore.Qt.Vertical if is_tall else QtCore.Qt.Horizontal)

    def _on_model(self, topic: str) -> None:
        if topic == RUN:
            self._book = self._pictures_of = self._cell = self._compared = None
            self.gallery.view.first_row = 0

    def _on_output(self) -> None:
        self._cell = None
        self.mark_now()

    def _on_refresh(self) -> None:
        with contextlib.suppress(RunStateError):
            self.model.send(Predict())

    def _on_predict(self) -> None:
        saved = nearest_checkpoint(self.model)
        self.work.begin(self._wanted_book() if saved is None else saved.name)
        self.mark_now()

    def _show_cell(self, cell: Optional[MatrixCell]) -> None:
        """Show the examples of a cell of the confusion matrix; of all cells for None."""
        found = self.found
        self._cell = cell
        if cell is not None and found is not None:
            self.cell_button.setText(f"{found.names[cell.row]} → {found.names[cell.column]} ✕")
            self.only_flipped.setChecked(self.only_flipped.isChecked() and cell.row != cell.column)
            self._show_all_groups()
            self.tabs.setCurrentWidget(self.pages[SAMPLES])
        self.mark_now()

    def _show_group(self, index: int) -> None:
        """Show the examples of a class or label."""
        found = self.found
        if found is not None and found.task != REGRESSION:
            self._cell = None
            self.group_box.setCurrentIndex(index + 1)
            self.tabs.setCurrentWidget(self.pages[SAMPLES])
            self.mark_now()

    def _show_all_groups(self) -> None:
        blocker = QtCore.QSignalBlocker(self.group_box)
        self.group_box.setCurrentIndex(0)
        blocker.unblock()
