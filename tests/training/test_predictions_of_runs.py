"""Predictions of runs that train, and of states: against evaluations, whatever else is published meanwhile."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver

from qatviz.analysis.predictions import Predictions, scores
from qatviz.data import from_arrays
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D
from qatviz.protocol.commands import (
    ChangeSettings,
    Evaluate,
    Predict,
    RestoreCheckpoint,
    SaveCheckpoint,
    WatchPredictions,
)
from qatviz.protocol.events import Evaluated
from qatviz.session.evaluation import Evaluator
from qatviz.session.predictions import predictions_of
from qatviz.task import MULTILABEL, REGRESSION, SEGMENTATION
from qatviz.training import pieces, predictions


def ended(run_spec):
    """Return the spec with the last state of the run as its start."""
    with Driver(run_spec) as driver:
        driver.finish()
    return replace(run_spec, start=driver.run.final)


def is_predictions(item):
    return isinstance(item, Predictions)


@pytest.mark.parametrize("network", [mlp(), convnet()])
@pytest.mark.always("network1")
def test_scores_are_those_of_an_evaluation(network, graphs):
    run_spec = ended(spec(network, preset="ternary", steps=30))
    found = predictions_of(run_spec)
    (output,) = found.found.outputs
    assert found.checkpoint == run_spec.start.name and found.found.step == 30
    assert found.found.examples == found.found.held_out == len(output.targets) == 40
    evaluator = Evaluator(run_spec)
    try:
        result = evaluator.evaluate(run_spec.start.book)
        changed, _ = run_spec.start.book.change([("*.num_bits", 2)])
        other = evaluator.predict(changed)
        again = evaluator.predict(run_spec.start.book, 7)
    finally:
        evaluator.close()
    assert scores(output) == pytest.approx((result.scores["float"], result.scores["quantized"]))
    np.testing.assert_allclose(other.outputs[0].in_float, output.in_float, rtol=1e-5, atol=1e-5)
    assert np.abs(other.outputs[0].quantized - output.quantized).max() > 1e-3
    np.testing.assert_allclose(again.outputs[0].quantized, output.quantized[:7], rtol=1e-5, atol=1e-5)
    assert (again.examples, again.held_out) == (7, 40)


def test_a_run_that_is_watched_predicts_now_and_after_evaluations(graphs):
    with Driver(spec()) as driver:
        driver.send(WatchPredictions())
        first = driver.until(is_predictions)
        since = len(driver.news)
        driver.send(Evaluate())
        evaluated = driver.until_event(Evaluated, since=since)
        later = driver.until(lambda item: is_predictions(item) and item.step >= evaluated.step, since)
        assert later.step > first.step
        driver.send(WatchPredictions(False))
        since = len(driver.news)
        driver.send(Evaluate())
        driver.until_event(Evaluated, since=since)
        driver.until_step(driver.run.step + 50)
    assert not any(map(is_predictions, driver.news[since:]))


def test_a_request_is_answered_once(graphs):
    with Driver(spec()) as driver:
        driver.send(Predict())
        driver.until(is_predictions)
        driver.until_step(driver.run.step + 50)
    assert len(list(filter(is_predictions, driver.news))) == 1


def test_a_paused_run_predicts_again_after_a_change_of_settings(graphs):
    with Driver(spec(), paused=True) as driver:
        driver.send(WatchPredictions())
        first = driver.until(is_predictions)
        since = len(driver.news)
        driver.send(ChangeSettings((("*.weights.num_bits", 2),)))
        second = driver.until(is_predictions, since)
    before, after = first.outputs[0], second.outputs[0]
    np.testing.assert_allclose(after.in_float, before.in_float, rtol=1e-5, atol=1e-5)
    assert np.abs(after.quantized - before.quantized).max() > 1e-2


def test_evaluations_in_progress_are_not_disturbed(graphs, monkeypatch):
    """Pieces of both alternate, of different states; each result is the one that it has alone."""
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 4)
    with Driver(spec(preset="ternary"), paused=True) as driver:
        driver.send(Evaluate())
        alone = driver.until_event(Evaluated)
        driver.send(Predict())
        predicted = driver.until(is_predictions)
        since = len(driver.news)
        driver.run.send(WatchPredictions())
        driver.run.send(Evaluate())
        driver.run.send(ChangeSettings((("*.weights.num_bits", 8),)))
        together = driver.until_event(Evaluated, since=since)
        of_8_bits = driver.until(
            lambda item: (
                is_predictions(item) and np.abs(item.outputs[0].quantized - predicted.outputs[0].quantized).max() > 1e-3
            ),
            since,
        )
    assert together.scores == alone.scores
    assert scores(predicted.outputs[0]) == pytest.approx((alone.scores["float"], alone.scores["quantized"]))
    np.testing.assert_allclose(of_8_bits.outputs[0].in_float, predicted.outputs[0].in_float, rtol=1e-5, atol=1e-5)


def test_training_does_not_depend_on_predictions(graphs):
    """The weights after the same steps are the same, bit for bit."""
    with Driver(spec(steps=60)) as quiet:
        quiet.finish()
    with Driver(spec(steps=60)) as watched:
        watched.send(WatchPredictions())
        watched.finish()
    one, two = quiet.run.final.arrays, watched.run.final.arrays
    assert sorted(one) == sorted(two) and all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_a_failure_is_reported_and_training_continues(graphs, monkeypatch):
    monkeypatch.setattr(predictions.PredictionJob, "advance", lambda job: 1 / 0)
    with Driver(spec()) as driver:
        driver.send(WatchPredictions())
        failure = driver.until(lambda item: isinstance(item, predictions.PredictionFailure))
        driver.until_step(driver.run.step + 10)
    assert "ZeroDivisionError" in failure.message


def test_the_number_of_examples_is_bounded_by_memory(monkeypatch):
    run_spec = spec()
    assert predictions.number_predicted(run_spec) == 40
    assert predictions.number_predicted(run_spec, 7) == 7
    monkeypatch.setattr(predictions, "_LARGEST_VALUES", 30)
    assert predictions.number_predicted(run_spec, None) == 10, "three logits each"


def test_other_tasks_have_their_outputs(graphs):
    random = np.random.RandomState(0)
    x = random.rand(48, 6).astype(np.float32)
    labels = from_arrays(
        "labels", "test", (x, random.randint(0, 2, (48, 3))), validation_fraction=0.25, task=MULTILABEL
    )
    numbers = from_arrays("numbers", "test", (x, x[:, :2] * 3), validation_fraction=0.25, task=REGRESSION)
    (several,) = predictions_of(ended(spec(mlp(), labels, steps=2))).found.outputs
    assert several.task == MULTILABEL and several.quantized.shape == several.targets.shape == (12, 3)
    (rows,) = predictions_of(ended(spec(mlp(classes=2), numbers, steps=2))).found.outputs
    assert rows.task == REGRESSION and rows.names == () and rows.targets.dtype == np.float32
    binary = dataset(classes=2)
    (single,) = predictions_of(ended(spec(mlp(classes=1), binary, steps=20))).found.outputs
    assert single.in_float.shape == (40, 1) and single.names == binary.class_names and scores(single)[0] > 0.6


def masks_network(channels=1, classes=3):
    net = NetworkBuilder("pixels", (6, 6, channels))
    net.add(Conv2D, "logits", filters=classes, kernel_size=3)
    return net.network()


def test_masks_are_kept_as_classes_and_images_as_targets_are_refused(graphs):
    random = np.random.RandomState(0)
    x = random.rand(32, 6, 6, 1).astype(np.float32)
    masks = from_arrays(
        "masks", "test", (x, (3 * x[..., 0]).astype(np.uint8)), validation_fraction=0.25, task=SEGMENTATION
    )
    run_spec = ended(spec(masks_network(), masks, steps=2))
    (found,) = predictions_of(run_spec).found.outputs
    assert found.in_float.shape == found.targets.shape == (8, 6, 6) and found.in_float.dtype == np.uint8
    evaluator = Evaluator(run_spec)
    result = evaluator.evaluate(run_spec.start.book)
    evaluator.close()
    pixels = {each.metric: each.scores for each in result.further}["pixel_accuracy"]
    assert scores(found) == pytest.approx((pixels["float"], pixels["quantized"]))
    images = from_arrays("images", "test", (x, x * 2), validation_fraction=0.25, task=REGRESSION)
    (refused,) = predictions_of(ended(spec(masks_network(classes=1), images, steps=1))).found.outputs
    assert "images of 6×6×1" in refused.refusal and not len(refused.targets)


def test_a_rewound_run_predicts_its_new_state(graphs):
    with Driver(spec(), paused=True) as driver:
        driver.send(SaveCheckpoint("here"))
        driver.send(WatchPredictions())
        first = driver.until(is_predictions)
        driver.send(ChangeSettings((("*.weights.num_bits", 2),)))
        driver.until(lambda item: is_predictions(item) and item is not first)
        since = len(driver.news)
        driver.send(RestoreCheckpoint("here"))
        again = driver.until(is_predictions, since)
    np.testing.assert_allclose(again.outputs[0].quantized, first.outputs[0].quantized, rtol=1e-5, atol=1e-5)
