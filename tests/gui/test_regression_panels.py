"""A regression run in the window: its error, in the unit of the targets, is shown in place of the accuracy."""

from dataclasses import replace

import numpy as np
import pytest
from evolution_staging import advance_run, change, panel, train, values  # noqa: F401
from qt_use import draw

from qatviz.gui.panels.events.text import details
from qatviz.gui.panels.evolution.kinds import KINDS, curves_of, score_kinds
from qatviz.gui.panels.settings.run import RunSettingsPanel
from qatviz.gui.window.status import score_texts
from qatviz.metric import ACCURACY, METRICS, RMSE, OutputMetric
from qatviz.presentation.event_texts import sentence
from qatviz.protocol import events
from qatviz.telemetry.record.refill import EVALUATIONS, history_names
from qatviz.telemetry.score_series import ScoreSeries

ERRORS = (0.0213, 0.0251, 0.0248, 0.0302)


def test_the_plot_of_accuracy_shows_the_error(context, panel, staged):
    run = staged(metric=RMSE)
    shown = panel()
    plot = shown.plots["accuracy"]
    assert "evaluation" in plot.canvas.note
    run.evaluate(ERRORS)
    advance_run(context, run)
    draw(shown)
    assert plot.canvas.note == "" and plot.legend.title == plot.canvas.accessibleName() == "RMSE"
    assert values(plot) == {
        "float": "0.0213",
        "weights only": "0.0251",
        "activations only": "0.0248",
        "quantized": "0.0302",
    }
    assert (
        shown.bar.plots["accuracy"].text() == "RMSE" and "unit of the targets" in shown.bar.plots["accuracy"].toolTip()
    )
    assert set(plot.table()) == {
        "step",
        "rmse.float",
        "rmse.weights_only",
        "rmse.activations_only",
        "rmse.quantized",
    }
    assert next(curve.y.tolist() for curve in plot.canvas.curves) == pytest.approx([ERRORS[3]])
    low, high = plot.canvas.y_range
    assert low < min(ERRORS) and max(ERRORS) < high < 0.1


def test_errors_have_a_logarithmic_axis_and_accuracies_do_not(context, panel, staged):
    shown = panel()
    plot = shown.plots["accuracy"]
    staged()
    shown.refresh()
    assert plot.log.isHidden() and not plot.log.isChecked()
    run = staged(metric=RMSE)
    run.evaluate(ERRORS)
    advance_run(context, run)
    shown.refresh()
    assert not plot.log.isHidden() and not plot.log.isChecked()
    plot.log.click()
    shown.refresh()
    assert next(curve.y.tolist() for curve in plot.canvas.curves) == pytest.approx([np.log10(ERRORS[3])])
    staged()  # another run
    shown.refresh()
    assert plot.log.isHidden() and not plot.log.isChecked() and plot.legend.title == "Accuracy (%)"
    assert shown.bar.plots["accuracy"].text() == "Accuracy"
    staged(metric=RMSE)
    shown.refresh()
    assert plot.log.isChecked(), "what the user chose is kept"


def test_the_unit_follows_the_metric_of_the_run(context, panel, staged):
    shown = panel()
    for metric, scores, text in ((RMSE, ERRORS, "0.0302"), (ACCURACY, (0.98, 0.97, 0.965, 0.96), "96.0 %")):
        run = staged(metric=metric)
        run.evaluate(scores)
        advance_run(context, run)
        draw(shown)
        assert values(shown.plots["accuracy"])["quantized"] == text


def test_the_effect_of_a_change_is_shown_as_error(context, panel, staged):
    run = staged(metric=RMSE, steps=1)
    train(context, run, 79)
    run.evaluate((0.02, 0.02, 0.02, 0.021))
    change(context, run, ("conv1.weights.num_bits", 2), steps=80)
    run.evaluate((0.02, 0.1, 0.1, 12345.6))
    advance_run(context, run)
    shown = panel("loss")
    tip = shown.effects.text(shown.effects.markers)
    assert "RMSE 0.021 → 12,346" in tip and "%" not in tip


def test_events_and_results_show_the_error(context, show, staged):
    event = events.Evaluated(
        8, dict(zip(("float", "weights_only", "activations_only", "quantized"), ERRORS)), 9, 0.1, "rmse"
    )
    assert sentence(event) == "evaluated: RMSE 0.0213 float, 0.0302 quantized"
    assert "weights only: 0.0251" in details(event).splitlines() and "%" not in details(event)
    several = replace(event, outputs=((0.01, 0.03), (0.02, 0.03), (0.03, 0.04), (0.04, 12345.6)))
    line = "output 1: float 0.03, weights only 0.03, activations only 0.04, quantized 12,346"
    assert line in details(several).splitlines() and "output" not in details(event)
    assert line in score_texts(several)[1].splitlines() and "\n" not in score_texts(event)[1]
    news = show(RunSettingsPanel(context))
    run = staged(metric=RMSE)
    run.evaluate(ERRORS)
    context.model.process(run.drain())
    assert news.result.text() == "Step 3: RMSE 0.0302 quantized, 0.0213 float"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_has_a_plot_of_recorded_series(metric):
    (kind,) = score_kinds(ScoreSeries((OutputMetric("", metric),), ()))
    assert kind.key == "accuracy" and [known.key for known in KINDS].count(kind.key) == 1
    assert sorted(curve.series for curve in curves_of(kind, (), "")) == sorted(
        history_names(["a.weights"], [OutputMetric("", metric)])[EVALUATIONS]
    )
