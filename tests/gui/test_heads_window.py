"""A run with several outputs in the window: curves and texts of each, and a table of them in the New run dialog."""

import numpy as np
import pytest
from evolution_staging import advance_run, panel, values  # noqa: F401
from new_run_stage import StagedChecks, info_of
from PyQt5 import QtCore, QtWidgets
from qt_use import draw

from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.gui.window.status import score_texts
from qatviz.metric import ACCURACY, MODES, RMSE, OutputMetric
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU
from qatviz.presentation.previews import TargetInfo
from qatviz.protocol import events
from qatviz.session.model_info import DataQuestion, ModelInfo, mismatch_reason

METRICS = (OutputMetric("kind", ACCURACY), OutputMetric("box", RMSE))
ERRORS = (0.0213, 0.0251, 0.0248, 0.0302)
RESULT = {
    "output": "kind",
    "further": (events.FurtherScores("box", "rmse", dict(zip(MODES, ERRORS))),),
    "losses": (("kind", 0.5), ("box", 0.125)),
    "held_out_loss": 0.625,
}


# Curves


def test_each_output_has_a_plot_of_its_metric_and_a_curve_of_its_loss(context, panel, staged):
    run = staged(metrics=METRICS)
    shown = panel()
    assert [key for key in shown.plots if ":" in key] == ["accuracy:1", "loss:held_out"]
    first, box, losses = (shown.plots[key] for key in ("accuracy", "accuracy:1", "loss:held_out"))
    assert first.legend.title == "kind: Accuracy (%)" and box.legend.title == "box: RMSE"
    assert "evaluation" in box.canvas.note and shown.bar.plots["accuracy"].text() == "Metrics"
    run.evaluate(**RESULT)
    advance_run(context, run)
    while shown.is_due():
        shown.refresh()
    draw(shown)
    assert values(first)["float"] == "98.0 %"
    assert values(box) == {
        "float": "0.0213",
        "weights only": "0.0251",
        "activations only": "0.0248",
        "quantized": "0.0302",
    }
    assert values(losses) == {"total": "0.625", "kind": "0.5", "box": "0.125"}
    assert list(values(shown.plots["loss"])) == ["total", "kind", "box"]
    total, kind = (float(values(shown.plots["loss"])[name]) for name in ("total", "kind"))
    assert kind == pytest.approx(total / 2, abs=0.01) and len(shown.plots["loss"].canvas.curves) == 3
    tops = [
        shown.plots[key].mapTo(shown, QtCore.QPoint()).y()
        for key in ("loss", "loss:held_out", "accuracy", "accuracy:1")
    ]
    assert tops == sorted(tops) and len(set(tops)) == 4


def test_a_toggle_shows_the_plots_of_all_outputs(context, panel, staged):
    staged(metrics=METRICS)
    shown = panel()
    assert shown.plots["accuracy:1"].isVisible() and shown.plots["loss:held_out"].isVisible()
    shown.bar.plots["accuracy"].click()
    assert not shown.plots["accuracy:1"].isVisible() and shown.plots["loss:held_out"].isVisible()
    shown.bar.plots["loss"].click()
    assert not shown.plots["loss:held_out"].isVisible()


def test_a_run_with_one_output_has_no_further_plots(context, panel, staged):
    staged(metrics=METRICS)
    shown = panel()
    assert "accuracy:1" in shown.plots
    staged()
    shown.refresh()
    assert not any(":" in key for key in shown.plots) and shown.plots["accuracy"].legend.title == "Accuracy (%)"
    assert list(values(shown.plots["loss"])) == [""]
    assert shown.bar.plots["accuracy"].text() == "Accuracy"


def test_the_tooltip_of_the_status_bar_has_each_output():
    event = events.Evaluated(5, dict.fromkeys(MODES, 0.5), 100, 0.1, "accuracy", **RESULT)
    brief, every = score_texts(event)
    assert brief == "kind: quantized 50.0 % · float 50.0 %"
    lines = every.splitlines()
    assert lines[0].startswith("kind: accuracy on 100 held-out examples") and "\n" not in brief
    assert "box: RMSE: float 0.0213, weights only 0.0251, activations only 0.0248, quantized 0.0302" in lines
    assert lines[-1] == "held-out loss, quantized: total 0.625, kind 0.5, box 0.125"


# The New run dialog


def two_outputs():
    net = NetworkBuilder("two", (6,))
    body = net.add(ReLU, "body_relu", net.add(Dense, "body", units=8))
    return net.network([net.add(Dense, "kind", body, units=3), net.add(Dense, "box", body, units=2)])


HEADS = (TargetInfo("box", "regression", (2,)), TargetInfo("kind", "classification", (3,)))
DATA = info_of((6,), 3)._replace(heads=HEADS)


@pytest.fixture
def checks():
    models = {"two.h5": ModelInfo(two_outputs(), True)}
    return StagedChecks({"mnist-5k": DATA, "one": info_of((6,), 3)}, models)


@pytest.fixture
def dialog(context, checks, tmp_path, monkeypatch, show, qtbot):
    monkeypatch.setenv("HOME", str(tmp_path))
    dialog = show(NewRunDialog(context, checks), 1180, 740)
    qtbot.waitUntil(lambda: dialog.data is not None)
    dialog.open_model("/m/two.h5")
    qtbot.waitUntil(lambda: dialog.model is not None)
    yield dialog
    dialog.reject()
    QtCore.QThreadPool.globalInstance().waitForDone()


def choose(dialog, output, choice, value):
    box = dialog.form.heads.editors[output, choice]
    box.setCurrentIndex(box.findData(value))


def test_a_table_replaces_the_fields_of_a_single_output(dialog, qtbot):
    fields = dialog.form.fields
    assert fields["heads"].isVisible() and dialog.form.heads.outputs == ("kind", "box")
    assert not any(fields[name].isVisible() for name in ("task", "loss", "class_weights", "metric"))
    assert dialog.start.isEnabled() and dialog.request.heads == {} and "Fits the data" in fields["network"].note.text()
    dialog.form.network.choose("mlp")
    qtbot.waitUntil(lambda: not fields["heads"].isVisible())
    assert all(fields[name].isVisible() for name in ("task", "loss", "class_weights", "metric"))


def test_the_text_below_the_layers_names_every_output(dialog):
    assert dialog.network_preview.total.text().endswith("for examples of 6 features and the outputs kind 3 + box 2")


def test_choices_become_those_of_the_request(dialog, checks, qtbot):
    choose(dialog, "kind", "metric", "accuracy")
    choose(dialog, "box", "loss", "huber")
    dialog.form.heads.editors["box", "loss_weight"].setValue(0.25)
    dialog.form.heads.editors["kind", "class_weights"].setText("balanced")
    expected = {
        "kind": {"class_weights": "balanced", "metric": "accuracy"},
        "box": {"loss": "huber", "loss_weight": 0.25},
    }
    assert dialog.request.heads == expected and not dialog.request.problems()
    choose(dialog, "box", "task", "regression")
    qtbot.waitUntil(lambda: dialog.data is not None)
    question = [asked for asked in checks.asked if isinstance(asked, DataQuestion)][-1]
    assert question.tasks == (("box", "regression"),) and dialog.request.heads["box"]["task"] == "regression"
    assert dialog.request.task is None and dialog.request.loss == "auto"


def test_an_output_can_have_functions_of_a_file_which_run_only_with_consent(dialog):
    wanted, editors = [], dialog.form.heads.editors
    dialog.wanted.connect(wanted.append)
    editors["kind", "loss"].setEditText("focal")
    assert dialog.problems()["heads"].startswith("Loss is 'focal': expected one of auto")
    editors["kind", "loss"].setEditText("/mine/losses.py:focal")
    editors["box", "metric"].setEditText("/mine/metrics.py:iou")
    expected = {"kind": {"loss": "/mine/losses.py:focal"}, "box": {"metric": "/mine/metrics.py:iou"}}
    assert dialog.request.heads == expected and not dialog.request.allow_code and not dialog.problems()
    dialog.accept()
    about = dialog.consent.informativeText()
    assert not wanted and "/mine/losses.py:focal" in about and "/mine/metrics.py:iou" in about
    dialog.consent.button(QtWidgets.QMessageBox.Yes).click()
    assert [(each.heads, each.allow_code) for each in wanted] == [(expected, True)]


def test_errors_are_shown_below_the_table(dialog):
    dialog.form.heads.editors["kind", "class_weights"].setText("cat")
    assert dialog.problems()["heads"].startswith("Class weights is 'cat': expected balanced, or CLASS=WEIGHT")
    assert not dialog.start.isEnabled()
    dialog.form.heads.editors["kind", "class_weights"].setText("")
    assert dialog.start.isEnabled()


def test_the_table_has_a_row_of_readable_editors_for_each_output(dialog):
    table = dialog.form.heads
    assert table.rowCount() == 2 and table.verticalHeaderItem(0).text() == "kind"
    picture = table.grab().toImage()
    assert picture.height() >= table.rowHeight(0) + table.rowHeight(1) + table.horizontalHeader().height()
    header = table.horizontalHeader()
    for index in range(table.columnCount()):
        heading = table.horizontalHeaderItem(index).text()
        assert header.sectionSize(index) >= table.fontMetrics().horizontalAdvance(heading) + 8, heading
    table.editors["kind", "loss"].setEditText("/mine/a/long/path/to/losses.py:focal")
    assert table.editors["kind", "loss"].toolTip().startswith("/mine/a/long/path/to/losses.py:focal\n")
    for editor in table.editors.values():
        assert editor.accessibleName() and editor.toolTip() and editor.width() > 40
        assert editor.geometry().bottom() <= table.viewport().height()


def test_targets_are_matched_with_the_outputs_by_name():
    network = two_outputs()
    assert mismatch_reason(network, DATA) == ""
    wrong = DATA._replace(heads=(HEADS[0], TargetInfo("kind", "classification", (4,))))
    assert mismatch_reason(network, wrong).startswith("output 'kind': layer 'kind' outputs 3 numbers, but digits has 4")
    assert "has targets of one output, but the network has the outputs" in mismatch_reason(network, info_of((6,), 3))
    in_order = DATA._replace(heads=(HEADS[1]._replace(output="0"), HEADS[0]._replace(output="1")))
    assert mismatch_reason(network, in_order) == ""
    assert DATA.describe().startswith("6 features, box: 2 targets, kind: 3 classes, ")
    assert np.isfinite(DATA.train_counts).all()
