"""The predictions panel: what it requests, what it shows, and what clicks and keys do."""

import numpy as np
import pytest
from prediction_samples import NAMES, TASKS, of_task, predictions
from PyQt5 import QtCore, QtTest, QtWidgets
from small_runs import dataset
from staging import StagedRun
from tensorflow_needed import needs_tensorflow
from window_stage import draw, prepared_of

from qatviz import data
from qatviz.analysis.predictions import (
    OutputPredictions,
    PredictionFailure,
    RunPredictions,
    compare,
    group_scores,
    ordered,
    predicted_classes,
)
from qatviz.app.launching import AppLauncher
from qatviz.gui.model import kept_predictions
from qatviz.gui.model.kept_predictions import KeptPredictions
from qatviz.gui.model.launcher import EXAMPLES
from qatviz.gui.model.run_model import EXAMPLE
from qatviz.gui.model.watching import PREDICTIONS
from qatviz.gui.panels.predictions.panel import GROUPS, MATRIX, SAMPLES, SCATTER, PredictionsPanel
from qatviz.gui.panels.sensitivity.panel import SensitivityPanel
from qatviz.presentation.confusion import IN_FLOAT, MatrixCell
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.protocol.commands import Predict, SaveCheckpoint, WatchPredictions
from qatviz.protocol.events import Finished
from qatviz.session.prepare import prepare
from qatviz.session.recorded import open_recorded
from qatviz.session.request import NewRunRequest
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION

LEFT, NONE = QtCore.Qt.LeftButton, QtCore.Qt.NoModifier
IMAGES = ExamplePictures(np.full((40, 8, 8), 200, np.uint8))


@pytest.fixture
def panel(context, show):
    def make(width=640, height=560):
        made = show(PredictionsPanel(context), width, height)
        made.refresh()
        return made

    return make


@pytest.fixture
def filled(panel, context, staged):
    staged("lenet")
    made = panel()

    def fill(*outputs):
        context.model.process([predictions(*outputs), IMAGES])
        made.refresh()
        return made, made.found

    return fill


def end(run, context):
    run.end(Finished(run.step))
    context.model.process(run.drain())
    run.sent.clear()


def test_predictions_are_requested_while_the_panel_is_in_view(panel, staged, context):
    run = staged("lenet")
    shown = panel()
    assert run.sent == [WatchPredictions()] and "Predicting" in shown.empty.text()
    shown.refresh_button.click()
    assert run.sent[1:] == [Predict()]
    shown.hide()
    assert run.sent[2:] == [WatchPredictions(False)]


def test_none_are_requested_behind_another_tab(context, show, staged):
    run = staged("lenet")
    window = show(QtWidgets.QWidget(), 300, 200)
    made = PredictionsPanel(context, window)
    made.show()
    made.refresh()
    made.move(2000, 0)
    context.model.process([predictions()])
    assert run.sent == [WatchPredictions(), WatchPredictions(False)]


def test_two_panels_watch_what_each_needs(context, show, staged, panel):
    run = staged("lenet")
    made, other = panel(), show(SensitivityPanel(context), 300, 300)
    other.refresh()
    other.hide()
    assert [command for command in run.sent if isinstance(command, WatchPredictions)] == [WatchPredictions()]
    made.hide()
    assert run.sent[-1] == WatchPredictions(False)


def test_the_gallery_shows_flipped_examples_or_all_by_lost_margin(filled):
    made, found = filled()
    comparison = compare(found)
    assert made.gallery.view.shown.indices.tolist() == ordered(comparison, True).tolist()
    assert f"{int(comparison.flipped.sum())} of 40 held-out examples flipped" in made.note.text()
    made.only_flipped.click()
    assert made.gallery.view.shown.indices.tolist() == ordered(comparison).tolist()
    made.group_box.setCurrentIndex(2)
    assert (found.targets[made.gallery.view.shown.indices] == 1).all()


def test_a_click_selects_an_example_and_shows_it_larger(filled, context, app):
    made, _ = filled()
    topics = []
    context.model.changed.connect(topics.append)
    assert context.model.selected_example == -1, "the panel itself selects nothing"
    assert made.example.index == made.gallery.view.shown.indices[0]
    QtTest.QTest.mouseClick(made.gallery.view, LEFT, NONE, made.gallery.view.center_of(2))
    assert context.model.selected_example == made.gallery.view.shown.indices[2] and topics == [EXAMPLE]
    made.refresh()
    assert made.example.index == context.model.selected_example
    pixel = made.example.grab().toImage().pixelColor(20, 20)
    assert pixel.name() == "#c8c8c8", "the picture of the example"


def test_keys_move_between_the_examples_and_scroll(filled, context):
    made, _ = filled()
    made.only_flipped.click()
    view = made.gallery.view
    indices, columns = view.shown.indices.tolist(), view.places.columns
    assert made.gallery.bar.maximum() == view.last_first_row > 0
    keys = (QtCore.Qt.Key_Right, QtCore.Qt.Key_Right, QtCore.Qt.Key_Down, QtCore.Qt.Key_Left, QtCore.Qt.Key_End)
    places = []
    for key in keys:
        QtTest.QTest.keyClick(view, key)
        made.refresh()
        places.append(indices.index(context.model.selected_example))
    assert places == [0, 1, 1 + columns, columns, 39]
    assert view.first_row == view.last_first_row == made.gallery.bar.value()
    QtTest.QTest.keyClick(view, QtCore.Qt.Key_Home)
    assert context.model.selected_example == indices[0] and view.first_row == 0


def test_a_cell_of_the_matrix_filters_the_examples(filled):
    made, found = filled()
    made.tabs.setCurrentWidget(made.pages[MATRIX])
    predicted = predicted_classes(found.quantized)
    row = int(found.targets[np.flatnonzero(predicted != found.targets)[0]])
    column = int(predicted[(found.targets == row) & (predicted != row)][0])
    cell = MatrixCell(row, column)
    place = made.matrix.places(made.matrix.shown).center(cell)
    QtTest.QTest.mouseClick(made.matrix, LEFT, NONE, QtCore.QPoint(*map(int, place)))
    assert made.tabs.currentWidget() is made.pages[SAMPLES]
    assert made.cell_button.isVisible() and NAMES[row] in made.cell_button.text()
    shown = made.gallery.view.shown.indices
    assert len(shown) and (found.targets[shown] == row).all()
    either = (predicted == column) | (predicted_classes(found.in_float) == column)
    assert either[shown].all()
    made.cell_button.click()
    assert not made.cell_button.isVisible() and len(made.gallery.view.shown.indices) > len(shown)


def test_keys_move_the_cell_and_choose_it(filled):
    made, _ = filled()
    made.tabs.setCurrentWidget(made.pages[MATRIX])
    made.matrix.setFocus()
    for key in (QtCore.Qt.Key_Down, QtCore.Qt.Key_Down, QtCore.Qt.Key_Right, QtCore.Qt.Key_Right, QtCore.Qt.Key_Left):
        QtTest.QTest.keyClick(made.matrix, key)
    assert made.matrix.cursor_cell == MatrixCell(1, 1)
    made.matrix.names = tuple(f"<img src='file:///{name}'>" for name in made.matrix.names)
    QtTest.QTest.keyClick(made.matrix, QtCore.Qt.Key_Down)
    assert made.matrix.cursor_cell == MatrixCell(2, 1) and "<img" not in QtWidgets.QToolTip.text()
    assert "&lt;img" in QtWidgets.QToolTip.text()
    QtTest.QTest.keyClick(made.matrix, QtCore.Qt.Key_Return)
    assert made.tabs.currentWidget() is made.pages[SAMPLES] and made.cell_button.isVisible()


def test_the_matrix_of_each_network_can_be_shown(filled):
    made, _found = filled()
    made.kind_box.setCurrentText(IN_FLOAT)
    assert made.matrix.shown.values.sum() == 40
    table = made.matrix.table()
    assert list(table) == ["class", *NAMES] and sum(sum(table[name]) for name in NAMES) == 40


def test_classes_that_lose_most_come_first_and_show_their_examples(filled):
    made, found = filled()
    scores = group_scores(found)
    assert [row[0] for row in made.groups.texts()] == [NAMES[score.group] for score in scores]
    made.tabs.setCurrentWidget(made.pages[GROUPS])
    made.groups.selectRow(1)
    QtTest.QTest.keyClick(made.groups, QtCore.Qt.Key_Return)
    assert made.group_box.currentText() == NAMES[scores[1].group]
    assert made.tabs.currentWidget() is made.pages[SAMPLES]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_pages(filled, task):
    made, _found = filled(of_task(task))
    pages = {made.tabs.widget(index) for index in range(made.tabs.count())}
    expected = {SAMPLES, GROUPS} | ({SCATTER} if task == REGRESSION else set() if task == MULTILABEL else {MATRIX})
    assert pages == {made.pages[name] for name in expected}
    assert made.group_box.isVisible() == (task != REGRESSION)
    for index in range(made.tabs.count()):
        made.tabs.setCurrentIndex(index)
        made.grab()


@pytest.mark.parametrize("task", TASKS)
def test_each_page_has_its_choices_in_the_upper_row(filled, task):
    made, _found = filled(of_task(task))
    seen = set()
    for index in range(made.tabs.count()):
        made.tabs.setCurrentIndex(index)
        page = made.tabs.currentWidget()
        of_page = {made.only_flipped: SAMPLES, made.kind_box: MATRIX, made.target_box: SCATTER}
        for choice, name in of_page.items():
            assert choice.isVisible() == (page is made.pages[name]), choice.accessibleName()
        seen |= {choice.y() for choice in of_page if choice.isVisible()}
    above = made.tabs.mapTo(made, QtCore.QPoint()).y()
    assert max(seen) < above, "not in the page"


def test_a_click_in_the_plot_of_a_regression_selects(filled, context):
    made, _ = filled(of_task(REGRESSION))
    made.tabs.setCurrentWidget(made.pages[SCATTER])
    made.grab()
    QtTest.QTest.mouseClick(made.scatter, LEFT, NONE, made.scatter.place_of(7))
    assert context.model.selected_example >= 0
    chosen = made.scatter.place_of(context.model.selected_example)
    assert (chosen - made.scatter.place_of(7)).manhattanLength() <= 2
    made.target_box.setCurrentIndex(1)
    assert made.scatter.index == 1


def test_of_several_outputs_one_is_chosen_and_a_refusal_is_explained(filled):
    empty = np.zeros((0, 1), np.float32)
    refused = OutputPredictions("image", REGRESSION, (), empty, empty, np.zeros((0, 1), np.float32), "Too large.")
    first = of_task(CLASSIFICATION)
    named = OutputPredictions("kind", first.task, first.names, first.in_float, first.quantized, first.targets)
    made, _ = filled(named, refused)
    assert made.output_box.isVisible() and made.found is named and made.empty.text() == ""
    made.output_box.setCurrentIndex(1)
    assert made.empty.text() == "Too large." and not made.only_flipped.isVisible()
    made.output_box.setCurrentIndex(0)
    assert made.empty.text() == "" and made.only_flipped.isVisible()


def test_no_flips_are_said(filled):
    found = of_task(CLASSIFICATION)
    same = OutputPredictions("", found.task, found.names, found.in_float, found.in_float, found.targets)
    made, _ = filled(same)
    assert "No example is flipped" in made.gallery.view.empty.text() and made.example.index == -1
    made.only_flipped.click()
    assert made.gallery.view.empty.text() == "" and len(made.gallery.view.shown.indices) == 40


def test_a_failure_is_shown(filled, context, panel, staged):
    made, _ = filled()
    context.model.process([PredictionFailure(3, "no memory")])
    made.refresh()
    assert "no memory" in made.note.text()
    staged("lenet")
    context.model.process([PredictionFailure(3, "no memory")])
    made.refresh()
    assert made.empty.text() == "Not predicted: no memory"


def test_pictures_are_requested_once(panel, context, staged):
    staged("lenet")
    made, wanted = panel(), []
    made.pictures_wanted.connect(wanted.append)
    for step in (3, 4):
        context.model.process([predictions(step=step)])
        made.refresh()
    assert wanted == [40]
    context.model.process([IMAGES])
    made.refresh()
    assert made.gallery.view.shown.pictures is IMAGES and wanted == [40]


def test_a_run_that_has_ended_is_predicted_under_the_settings_shown(panel, context, staged):
    run = staged("lenet")
    end(run, context)
    made, wanted = panel(), []
    made.work.wanted.connect(wanted.append)
    assert run.sent == [] and "“Predict”" in made.empty.text() and not made.refresh_button.isVisible()
    context.edits.edit(["conv1.weights"], "num_bits", 3)
    made.refresh()
    assert made.predict_button.text() == "Predict with 1 pending change"
    made.predict_button.click()
    assert wanted[0].of("conv1.weights").num_bits == 3 and made.progress.isVisible()
    made.work.show_progress("", 0.5)
    assert made.progress.bar.value() == 500
    made.work.finish()
    context.model.process([predictions()])
    made.refresh()
    assert "with 1 pending change" in made.note.text() and not made.progress.isVisible()
    context.edits.discard()
    made.refresh()
    assert "others now" in made.note.text()


def test_work_can_be_cancelled_and_fail(panel, context, staged):
    end(staged("lenet"), context)
    made, cancelled = panel(), []
    made.work.cancelled.connect(lambda: cancelled.append(True))
    made.predict_button.click()
    made.progress.cancel.click()
    assert cancelled == [True] and made.predict_button.isVisible()
    made.predict_button.click()
    made.work.fail("there is no data")
    made.refresh()
    assert made.empty.text() == "Not predicted: there is no data"


def test_another_run_has_no_predictions_yet(filled, context, staged):
    made, _ = filled()
    context.model.select_example(3)
    staged("mlp")
    assert context.model.selected_example == -1 and context.model.predictions is None
    made.refresh()
    assert "Predicting" in made.empty.text() and not made.note.isVisible()


def test_shown_examples_can_be_saved(filled):
    made, _ = filled()
    table = made.gallery.view.table()
    assert table["example"] == made.gallery.view.shown.indices.tolist() and all(table["flipped"])


def test_the_window_passes_the_requests(staged_window, app):
    window, run, _ = staged_window
    window.docks.open("predictions")
    draw(window, app)
    assert WatchPredictions() in run.sent
    window.model.process([predictions()])
    draw(window, app)
    assert window.launcher.examples == [(run, "/runs/a", 40)]
    window.launcher.works[EXAMPLES].found.emit(IMAGES)
    draw(window, app)
    panel = window.panels["predictions"]
    assert panel.gallery.view.shown.pictures is IMAGES
    window.docks.open("evolution")
    app.processEvents()
    window.model.process([predictions(step=4)])
    assert run.sent[-1] == WatchPredictions(False)
    run.end(Finished(run.step))
    window.bridge.tick()
    window.docks.open("predictions")
    draw(window, app)
    panel.predict_button.click()
    assert window.launcher.predicted[-1] == (run, "/runs/a", window.model.book)
    window.launcher.works[PREDICTIONS].found.emit(predictions(step=9))
    draw(window, app)
    assert "Step 9" in panel.note.text() and panel.predict_button.isVisible()


@needs_tensorflow
def test_a_recorded_run_is_predicted_in_the_background(app, qtbot, tmp_path, monkeypatch):
    """By the real launcher, with the pictures of its held-out examples."""
    images = dataset((6, 6, 1), classes=2)
    monkeypatch.setattr(data, "load", lambda *_, **__: images)
    request = NewRunRequest(network="mlp", data="tiny", steps=2, batch_size=8, out=str(tmp_path / "run"))
    made = prepare(request)
    made.run.start()
    made.run.wait()
    opened = open_recorded(str(tmp_path / "run"))
    launcher, results = AppLauncher(), []
    for signal in (
        launcher.works[PREDICTIONS].found,
        launcher.works[EXAMPLES].found,
        launcher.works[PREDICTIONS].failed,
    ):
        signal.connect(results.append)
    launcher.predict(opened.run, opened.directory, opened.book)
    launcher.read_examples(opened.run, opened.directory, 5)
    qtbot.waitUntil(lambda: len(results) == 2)
    launcher.wait()
    pictures, found = sorted(results, key=lambda result: isinstance(result, ExamplePictures), reverse=True)
    assert found.step == 2 and found.examples == 40 and pictures.images.shape == (5, 6, 6)


def test_a_prepared_run_is_drawn(window, app):
    """In the window's own place, at its least size."""
    window.show_prepared(prepared_of(StagedRun()))
    window.resize(window.minimumSize())
    window.docks.open("predictions")
    window.model.process([predictions(), IMAGES])
    draw(window, app)
    assert window.panels["predictions"].gallery.view.shown is not None


def test_the_time_slider_shows_the_predictions_of_the_past(panel, context, staged):
    run = staged("lenet")
    made = panel()
    kept = []
    for _ in range(3):
        kept.append(predictions(step=run.step))
        context.model.process([kept[-1], IMAGES])
        run.advance(4)
        context.model.process(run.drain())
    made.refresh()
    assert made.found is kept[-1].outputs[0]
    shown = context.model.snapshots[0].step
    context.model.look_back(shown)
    made.refresh()
    assert made.found is kept[0].outputs[0]
    assert made.note.text().startswith(f"Step {kept[0].step}")
    assert not made.refresh_button.isVisible(), "it computes those of the present"
    context.model.look_back(None)
    made.refresh()
    assert made.found is kept[-1].outputs[0] and made.refresh_button.isVisible()


def test_the_nearest_checkpoint_is_predicted_on_request(panel, context, staged):
    run = staged("lenet", directory="runs/lenet")
    made, asked = panel(), []
    made.work.wanted.connect(asked.append)
    context.model.send(SaveCheckpoint("early"))
    early = run.step
    for _ in range(2):
        run.advance(6)
        context.model.process(run.drain())
    context.model.look_back(early)
    made.refresh()
    assert made.predict_button.isEnabled() and made.predict_button.text() == f"Predict step {early}"
    made.predict_button.click()
    assert asked == ["early"] and made.progress.isVisible()
    made.work.finish()
    found = predictions(step=early)
    context.model.process([RunPredictions("early", found)])
    made.refresh()
    assert made.found is found.outputs[0] and context.model.predictions is None
    assert not made.progress.isVisible()


def test_without_a_record_no_past_state_can_be_predicted(panel, context, staged):
    run = staged("lenet")
    made = panel()
    context.model.send(SaveCheckpoint("early"))
    run.advance(9)
    context.model.process(run.drain())
    context.model.look_back(context.model.snapshots[0].step)
    made.refresh()
    assert not made.predict_button.isEnabled() and "no checkpoint" in made.predict_button.toolTip()


def test_old_predictions_are_thinned_when_they_need_too_much_memory(monkeypatch):
    kept = KeptPredictions()
    one = predictions(step=0)
    size = sum(each.in_float.nbytes + each.quantized.nbytes + each.targets.nbytes for each in one.outputs)
    monkeypatch.setattr(kept_predictions, "LARGEST_SIZE", 4 * size)
    for step in range(9):
        kept.add(predictions(step=step))
        assert kept.nearest(100).step == step and len(kept) <= 4
    assert kept.nearest(0).step == 0, "the past stays covered"
    kept.drop_after(3.0)
    assert kept.nearest(100) is None or kept.nearest(100).step <= 3
