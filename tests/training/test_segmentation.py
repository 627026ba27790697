"""Segmentation: losses equal those of Keras on the pixels that count, and metrics those of independent code."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver, graph_of

import qatviz
from qatviz.analysis.scores import mean_iou
from qatviz.data import BatchSchedule, from_arrays
from qatviz.errors import NetworkError, SettingError
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, ReLU, Softmax
from qatviz.protocol.events import Evaluated, Finished, event_from
from qatviz.protocol.run_spec import RunSpec
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.parameters import initial_parameters

WEIGHTS = ("conv.weights", "conv.bias", "out.weights", "out.bias")


def data(classes=3, void=True, names=None):
    """Return noisy pictures whose masks are intervals of their smooth brightness; a border is ignored."""
    random = np.random.RandomState(1)
    rows, columns = np.mgrid[:8, :8]
    waves = [np.sin(rows * random.rand() + columns * random.rand() + 6 * random.rand()) for _ in range(160)]
    smooth = np.stack(waves)[..., np.newaxis]
    x = (smooth + 0.4 * random.standard_normal(smooth.shape)).astype(np.float32)
    y = np.digitize(smooth[..., 0], [-0.4, 0.5][: classes - 1])
    if void:
        y[:, 0] = 255
        y[::2, :, 7] = 255
    return from_arrays("waves", "made for the test", (x[:96], y[:96]), (x[96:], y[96:]), names)


def net(outputs=3, ends_in_softmax=False, **more):
    builder = NetworkBuilder("tiny", (8, 8, 1))
    builder.add(Conv2D, "conv", filters=6)
    builder.add(ReLU, "relu")
    builder.add(Conv2D, "out", filters=outputs, **more)
    if ends_in_softmax:
        builder.add(Softmax, "probabilities")
    return builder.network()


def keras_loss(outputs, smoothing):
    """Return Keras' loss of the pixels with other labels than 255, as the mean over these."""

    def loss(masks, logits):
        masks = tf.reshape(tf.cast(masks, tf.int32), [-1])
        logits, masks = (tf.boolean_mask(x, masks < 255) for x in (tf.reshape(logits, [-1, outputs]), masks))
        if outputs == 1:
            answers = tf.cast(masks[:, tf.newaxis], tf.float32)
            return tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)(answers, logits)
        crossentropy = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        return crossentropy(tf.one_hot(masks, outputs), logits)

    return loss


@pytest.mark.parametrize("outputs, smoothing, void", [(3, 0.0, True), (3, 0.2, True), (1, 0.1, True), (3, 0.0, False)])
def test_losses_and_updates_equal_those_of_keras(outputs, smoothing, void):
    """In float, with plain gradient descent on the same batches."""
    examples, steps, rate = data(max(outputs, 2), void), 12, 0.05
    run = {"learning_rate": rate, "label_smoothing": smoothing}
    run_spec = spec(net(outputs), examples, "float", steps, run, optimizer="sgd", seed=3)
    assert run_spec.loss == ("cross_entropy" if outputs > 1 else "binary_cross_entropy")
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        same = {"padding": "same"}
        model = tf.keras.Sequential(
            [
                tf.keras.layers.Conv2D(6, 3, activation="relu", input_shape=(8, 8, 1), **same),
                tf.keras.layers.Conv2D(outputs, 3, **same),
            ]
        )
        model.set_weights([parameters[weights] for weights in WEIGHTS])
        plain = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf.keras.optimizers.SGD(rate), keras_loss(outputs, smoothing) if void else plain)
        batches = BatchSchedule(len(examples.x_train), run_spec.batch_size, run_spec.seed)
        y = examples.y_train[..., np.newaxis].astype(np.float32)
        expected = [model.train_on_batch(examples.x_train[i], y[i]) for i in map(batches.indices, range(steps))]
        weights = model.get_weights()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for parameter, array in zip(WEIGHTS, weights):
        np.testing.assert_allclose(last[parameter], array, rtol=1e-3, atol=1e-5)


def iou_by_sets(predicted, masks, classes):
    """Return the IoU of each class from sets of pixels; None for a class without pixels."""
    found = []
    counted = {place for place in np.ndindex(*masks.shape) if masks[place] != 255}
    for label in range(classes):
        one = {place for place in counted if predicted[place] == label}
        other = {place for place in counted if masks[place] == label}
        found.append(len(one & other) / len(one | other) if one | other else None)
    return found


def tensorflow_mean_iou(predicted, masks, classes):
    with tf.Graph().as_default(), tf.Session() as session:
        counted = (masks != 255).ravel().astype(np.float32)
        labels, found, weights = map(
            tf.constant, (np.where(masks == 255, 0, masks).ravel(), predicted.ravel(), counted)
        )
        result, update = tf.metrics.mean_iou(tf.cast(labels, tf.int32), found, classes, weights)
        keras = tf.keras.metrics.MeanIoU(classes)
        updated = keras.update_state(tf.cast(labels, tf.int32), found, weights)
        session.run([tf.local_variables_initializer(), *(variable.initializer for variable in keras.variables)])
        session.run([update, updated])
        return session.run([result, keras.result()])


@pytest.mark.parametrize("outputs, metric", [(3, "auto"), (1, "auto"), (3, "pixel_accuracy")])
def test_both_metrics_in_all_modes_equal_those_of_independent_code(outputs, metric, graphs):
    classes = max(outputs, 2)
    examples = data(classes)
    run_spec = spec(
        net(outputs),
        examples,
        steps=60,
        batch_size=16,
        run={"learning_rate": 0.01},
        weights={"num_bits": 3},
        metric_name=metric,
    )
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(60)
    result = driver.events(Evaluated)[-1]
    found = {result.metric: result, **{each.metric: each for each in result.further}}
    assert result.metric == ("mean_iou" if metric == "auto" else metric) and set(found) == {
        "mean_iou",
        "pixel_accuracy",
    }
    graph = graph_of(run_spec, graphs)
    for index, (mode, switches) in enumerate(EVALUATIONS.items()):
        logits = graph.logits(examples.x_test, *switches)
        predicted = logits[..., 0] > 0 if outputs == 1 else logits.argmax(axis=-1)
        expected = iou_by_sets(predicted, examples.y_test, classes)
        known = [value for value in expected if value is not None]
        assert found["mean_iou"].scores[mode] == pytest.approx(np.mean(known), abs=1e-12), mode
        for score in tensorflow_mean_iou(predicted.astype(np.int32), examples.y_test, classes):
            assert found["mean_iou"].scores[mode] == pytest.approx(float(score), abs=1e-6), mode
        assert found["mean_iou"].outputs[index] == pytest.approx(expected, abs=1e-12), mode
        counted = examples.y_test != 255
        accuracy = (predicted == examples.y_test)[counted].mean()
        assert found["pixel_accuracy"].scores[mode] == pytest.approx(accuracy, abs=1e-12), mode
    assert result.scores["float"] > 0.4 and len(set(result.scores.values())) > 1
    assert event_from(result.to_dict()) == result


def test_classes_without_pixels_do_not_count():
    score, by_class = mean_iou(np.array([[5.0, 1.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    assert score == pytest.approx((5 / 8 + 4 / 7) / 2) and by_class[:2] == pytest.approx((5 / 8, 4 / 7))
    assert np.isnan(by_class[2]) and np.isnan(mean_iou(np.zeros((2, 2)))[0])


def test_a_run_is_recorded_resumed_and_read_with_both_metrics(tmp_path):
    examples = data(names=["sky", "sea", "land", "snow"])
    out = str(tmp_path / "run")
    run_spec = spec(net(4), examples, steps=20, batch_size=16)
    with Driver(run_spec, RunRecord.create(out, run_spec.description())) as driver:
        assert driver.finish() == Finished(20)
    outcome = read_outcome(RunRecord.read(out))
    assert outcome.metric.name == "mean_iou" and 0 < outcome.evaluations[-1]["quantized"] < 1
    again = RunSpec.from_description(run_spec.description(), examples)
    assert again.dataset.output_shape == (8, 8, 4) and again.metric.name == "mean_iou"
    assert outcome.to_dict()["further"][0]["metric"] == "pixel_accuracy"
    rows = outcome.metric.output_rows(driver.events(Evaluated)[-1].outputs)
    assert [row[0] for row in rows] == ["class 0", "class 1", "class 2", "class 3"]


def test_a_keras_model_with_softmax_or_sigmoid_at_the_end_learns_masks_of_a_script(tmp_path):
    examples = data()
    layers = tf.keras.layers
    x = np.concatenate([examples.x_train, examples.x_test])
    y = np.concatenate([examples.y_train, examples.y_test])

    def model(last, activation):
        return tf.keras.Sequential(
            [
                layers.Conv2D(8, 5, padding="same", activation="relu", input_shape=(8, 8, 1)),
                layers.Conv2D(last, 1, activation=activation),
            ]
        )

    more = {"quiet": True, "steps": 150, "batch_size": 32, "learning_rate": 0.01, "evaluation_interval": 0}
    trained = qatviz.train(model(3, "softmax"), (x, y), out=str(tmp_path / "run"), **more)
    assert trained.outcome.metric.name == "mean_iou" and trained.scores["quantized"] > 0.6
    binary = qatviz.train(model(1, "sigmoid"), (x, np.where(y == 255, 7, np.minimum(y, 1))), ignored_label="7", **more)
    assert binary.scores["quantized"] > 0.6
    from qatviz.session.prepare import prepare
    from qatviz.session.request import ResumeRequest

    prepared = prepare(ResumeRequest(directory=str(tmp_path / "run")))
    assert prepared.run.spec.dataset.task == "segmentation"
    prepared.run.discard()


@pytest.mark.parametrize(
    "network, changes, error, message",
    [
        (
            net(2),
            {},
            NetworkError,
            "outputs 8×8×2 for each example, but waves has masks of 8×8 with 3 classes: expected 8",
        ),
        (net(3, strides=2), {}, NetworkError, "outputs 4×4×3 for each example, but waves has masks of 8×8 with 3"),
        (net(3), {"metric_name": "accuracy"}, SettingError, "expected mean_iou or pixel_accuracy"),
        (net(3), {"loss": "mse"}, SettingError, "the task is segmentation: expected cross_entropy or binary"),
        (net(3), {"class_weights": "1=2"}, SettingError, "but the data has no classes"),
    ],
)
def test_what_does_not_fit_is_refused(network, changes, error, message):
    with pytest.raises(error, match=message):
        spec(network, data(), **changes)
    with pytest.raises(SettingError, match="a single output, whose softmax is always 1"):
        spec(net(1), data(2), loss="cross_entropy")


def test_a_softmax_at_the_end_is_left_to_the_loss():
    run_spec = spec(net(3, ends_in_softmax=True), data(), steps=5)
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(5)
