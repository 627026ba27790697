"""Metrics of held-out data equal those of Keras in all four modes; runs keep them, and refuse those that do not fit."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset, mlp, spec
from training_cases import Driver, graph_of

from qatviz.analysis.scores import area_under_curve
from qatviz.data import from_arrays
from qatviz.errors import SettingError
from qatviz.metric import AUC, METRIC_CHOICES, METRICS, MODES, TOP_5, metric_for
from qatviz.protocol import events
from qatviz.protocol.run_spec import RunSpec
from qatviz.task import CLASSIFICATION, REGRESSION
from qatviz.telemetry.record.refill import recorded_metric
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.scoring import SCORINGS, scores_of


def two_classes(outputs):
    """Return examples whose classes overlap, and a network with this number of outputs."""
    random = np.random.RandomState(2)
    x = random.standard_normal((300, 6)).astype(np.float32)
    y = (x[:, 0] + random.standard_normal(300) > 0.4).astype(np.int64)
    return from_arrays("two", "made for the test", (x[:160], y[:160]), (x[160:], y[160:])), mlp(classes=outputs)


def keras_auc(probabilities, labels):
    """Return the area by Keras with a threshold between all neighbouring probabilities."""
    distinct = np.unique(probabilities)
    thresholds = (distinct[1:] + distinct[:-1]) / 2
    assert len(thresholds) > 2
    with tf.Graph().as_default(), tf.Session() as session:
        metric = tf.keras.metrics.AUC(thresholds=thresholds.tolist())
        updated = metric.update_state(labels, probabilities)
        session.run([variable.initializer for variable in metric.variables])
        session.run(updated)
        return float(session.run(metric.result()))


def without_rounding(scores):
    """Replace scores that differ by float32's error only by the least of them."""
    ordered = np.sort(scores)
    starts = ordered[np.insert(np.diff(ordered) > 1e-6, 0, True)]
    return starts[np.searchsorted(starts, scores, "right") - 1]


def keras_top5(logits, labels):
    with tf.Graph().as_default(), tf.Session() as session:
        return float(np.mean(session.run(tf.keras.metrics.sparse_top_k_categorical_accuracy(labels, logits, k=5))))


@pytest.mark.parametrize("outputs", [1, 2])
def test_auc_equals_that_of_keras_in_all_modes(outputs, graphs):
    data, network = two_classes(outputs)
    run_spec = spec(network, data, steps=40, metric_name="auc", weights={"num_bits": 3}, batch_size=16)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(40)
    result = driver.events(events.Evaluated)[-1]
    assert result.metric == "auc" and result.num_examples == 140 and result.outputs == ()
    graph = graph_of(run_spec, graphs)
    for mode, switches in EVALUATIONS.items():
        logits = graph.logits(data.x_test, *switches).astype(np.float64)
        score = logits[:, 0] if outputs == 1 else without_rounding(logits[:, 1] - logits[:, 0])
        expected = keras_auc(1 / (1 + np.exp(-score)), data.y_test)
        assert result.scores[mode] == pytest.approx(expected, abs=1e-5), mode
    assert 0.55 < result.scores["float"] < 1 and len(set(result.scores.values())) > 1


def test_top_5_accuracy_equals_that_of_keras_in_all_modes(graphs):
    data = dataset(classes=12, train=120, test=96)
    run_spec = spec(mlp(classes=12), data, steps=20, metric_name="top5", run={"learning_rate": 3e-3})
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(20)
    result = driver.events(events.Evaluated)[-1]
    graph = graph_of(run_spec, graphs)
    for mode, switches in EVALUATIONS.items():
        logits = graph.logits(data.x_test, *switches)
        order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        assert result.scores[mode] == pytest.approx((order == data.y_test[:, np.newaxis]).any(axis=1).mean()), mode
        if mode == "float":  # without equal logits, of which Keras counts all
            assert result.scores[mode] == pytest.approx(keras_top5(logits, data.y_test)), mode
    assert 0.4 < result.scores["float"] < 1


def test_of_equal_logits_the_first_five_count():
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(SCORINGS["top5"].part(tf.zeros([8, 8]), tf.range(8)))
    assert found.tolist() == [5]


def test_the_area_is_the_fraction_of_pairs_in_order():
    random = np.random.RandomState(0)
    for levels in (3, 1000):  # with many equal scores, and almost none
        scores, positive = random.randint(levels, size=60) / 7, random.rand(60) < 0.3
        pairs = [np.sign(p - n) / 2 + 0.5 for p in scores[positive] for n in scores[~positive]]
        assert area_under_curve(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(area_under_curve(np.array([1.0, np.nan]), np.array([True, False])))
    assert np.isnan(area_under_curve(np.array([1.0, 2.0]), np.array([True, True])))
    step = np.float32(0.1)  # the differences of the logits are 2 and 2 steps
    rows = [np.array([[3 * step, 5 * step, 1], [4 * step, 6 * step, 0]], np.float32)]
    assert rows[0][0, 1] - rows[0][0, 0] != rows[0][1, 1] - rows[0][1, 0] and scores_of(AUC, rows, 2)[0] == 0.5
    assert scores_of(AUC, [np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]])], 2) == (1.0, (1.0,))
    assert np.isnan(scores_of(AUC, [np.array([[0.0, np.nan, 0], [0.0, 1.0, 1]])], 2)[0])


@hypothesis.given(st.integers(1, 2**16), st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_equal_differences_of_quantized_logits_are_equal_scores(step, scale, random):
    """Each difference of codes is met at several pairs of logits, whose float32 values round in different ways."""
    codes = [random.randrange(-128, 128) for _ in range(40)]
    pairs = [(code, code + jump) for code in codes for jump in (step % 7, -(step % 5))]
    logits = (np.array(pairs) * np.float32(scale)).astype(np.float32)
    labels = np.array([random.random() < 0.5 for _ in pairs])
    labels[:2] = True, False
    exact = np.array([second - first for first, second in pairs], float)
    rows = np.concatenate([logits, labels[:, np.newaxis]], axis=1).astype(np.float32)
    assert scores_of(AUC, [rows], len(rows))[0] == pytest.approx(area_under_curve(exact, labels), abs=1e-12)


def test_a_run_keeps_its_metric():
    data, network = two_classes(2)
    run_spec = spec(network, data, metric_name="auc")
    description = run_spec.description()
    assert description["metric"] == "auc" and recorded_metric(description) is AUC
    assert RunSpec.from_description(description, data).metric is AUC
    del description["metric"]  # as records of version 0.2 are
    assert RunSpec.from_description(description, data).metric is METRICS["accuracy"] is recorded_metric(description)


def test_metrics_that_do_not_fit_are_refused_with_those_that_do():
    assert ("auto", *METRICS) == METRIC_CHOICES and set(SCORINGS) == set(METRICS)
    assert metric_for("top5", CLASSIFICATION, 6) is TOP_5
    with pytest.raises(SettingError, match="metric is 'rmse', but the task is classification: expected accuracy or"):
        metric_for("rmse", CLASSIFICATION, 3)
    with pytest.raises(SettingError, match="metric is 'auc', but the task is regression: expected rmse"):
        metric_for("auc", REGRESSION, 0)
    with pytest.raises(SettingError, match="metric is 'top5', but there are only 5 classes: expected accuracy"):
        metric_for("top5", CLASSIFICATION, 5)
    with pytest.raises(SettingError, match="metric is 'auc', defined for 2 classes, but there are 3"):
        spec(metric_name="auc")
    data, network = two_classes(2)
    ones = data.y_test == 1
    data = from_arrays("two", "test", (data.x_train, data.y_train), (data.x_test[ones], data.y_test[ones]))
    with pytest.raises(SettingError, match="all held-out examples of two have the same class"):
        spec(network, data, metric_name="auc")


def test_texts_name_a_metric_that_is_not_the_accuracy():
    assert [METRICS[name].lead for name in METRICS] == [
        "",
        "top-5 accuracy ",
        "AUC ",
        "label accuracy ",
        "exact match ",
        "mean IoU ",
        "pixel accuracy ",
        "RMSE ",
    ]
    assert AUC.text(0.97123) == "0.9712" and TOP_5.text(0.97123) == "97.1 %"
    assert AUC.listing({"float": 0.5}) == "float 0.5" and not AUC.is_fraction and TOP_5.is_fraction
    assert AUC.axis.limits == (-0.01, 1.01) and METRICS["accuracy"].axis.limits == (-1.0, 101.0)
    assert list(MODES) == list(EVALUATIONS)
