"""Several outputs: training equals Keras' with the same losses and weights; each output is evaluated and recorded."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule
from qatviz.data.heads import from_heads
from qatviz.errors import NetworkError, SettingError
from qatviz.heads import Head
from qatviz.metric import MODES
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU, Softmax
from qatviz.protocol.events import Evaluated, Finished, event_from
from qatviz.protocol.run_spec import RunSpec, described_plan
from qatviz.session.recorded import open_recorded
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.refill import EVALUATIONS as TRACK
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.score_series import score_names
from qatviz.training.measuring import EVALUATIONS
from qatviz.training.parameters import initial_parameters

HEADS = (
    Head("digit", "cross_entropy", 1.0),
    Head("valid", "binary_cross_entropy", 0.5),
    Head("box", "mse", 0.25),
)
LAYERS = ("body", "digit", "valid", "box")


def data(weights=None):
    """Return examples with three classes, a yes or no, and two numbers."""
    x = np.random.RandomState(1).standard_normal((400, 6)).astype(np.float32)
    targets = {
        "box": 3 * x[:, :2] + 0.5,
        "digit": np.digitize(x[:, 0] + x[:, 1], [-0.6, 0.6]),
        "valid": (x[:, 2] > 0.3).astype(int),
    }

    def part(rows):
        return x[rows], {name: array[rows] for name, array in targets.items()}

    return from_heads("heads", "made for the test", part(slice(256)), part(slice(256, None)), weights=weights)


def net(ends_in_softmax=True):
    builder = NetworkBuilder("tiny", (6,))
    builder.add(Dense, "body", units=16)
    body = builder.add(ReLU, "body_relu")
    builder.add(Dense, "digit", body, units=3)
    outputs = [builder.add(Softmax, "digit/softmax") if ends_in_softmax else "digit"]
    outputs += [builder.add(Dense, "valid", body, units=1), builder.add(Dense, "box", body, units=2)]
    return builder.network(outputs)


#: Weights of the training examples in the losses of two outputs, and of the classes of one.
EXAMPLE_WEIGHTS = {"digit": np.linspace(0, 2, 256), "box": np.linspace(3, 0.5, 256)}
CLASS_WEIGHTS = "1=4,2=0.5"


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_losses_and_updates_equal_those_of_keras(weighted):
    """In float, with plain gradient descent on the same batches."""
    examples, steps, rate = data(EXAMPLE_WEIGHTS if weighted else None), 30, 0.02
    heads = (HEADS[0]._replace(class_weights=CLASS_WEIGHTS), *HEADS[1:]) if weighted else HEADS
    run_spec = spec(net(), examples, "float", steps, {"learning_rate": rate}, optimizer="sgd", seed=3, heads=heads)
    with Driver(run_spec) as driver:
        assert driver.finish() == Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    with tf.Graph().as_default(), tf.Session():
        parameters = initial_parameters(run_spec.network, run_spec.seed)
        given = tf.keras.layers.Input((6,))
        body = tf.keras.layers.Dense(16, "relu", name="body")(given)
        sizes = {"digit": 3, "valid": 1, "box": 2}
        outputs = [tf.keras.layers.Dense(size, name=name)(body) for name, size in sizes.items()]
        model = tf.keras.Model(given, outputs)
        for name in LAYERS:
            model.get_layer(name).set_weights([parameters[name + ".weights"], parameters[name + ".bias"]])
        losses = [
            tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            tf.keras.losses.BinaryCrossentropy(from_logits=True),
            "mse",
        ]
        model.compile(tf.keras.optimizers.SGD(rate), losses, loss_weights=[head.weight for head in HEADS])
        batches = BatchSchedule(len(examples.x_train), run_spec.batch_size, run_spec.seed)
        y = {head.output: head.y_train for head in run_spec.dataset.heads}
        w = {name: np.ones(256) for name in sizes}
        if weighted:
            w = {**w, **EXAMPLE_WEIGHTS}
            w["digit"] = w["digit"] * np.array([1, 4, 0.5])[y["digit"]]
        expected = [
            model.train_on_batch(examples.x_train[i], [y[name][i] for name in sizes], [w[name][i] for name in sizes])[0]
            for i in map(batches.indices, range(steps))
        ]
        weights = {name: model.get_layer(name).get_weights() for name in LAYERS}
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for name, (kernel, bias) in weights.items():
        np.testing.assert_allclose(last[name + ".weights"], kernel, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(last[name + ".bias"], bias, rtol=1e-3, atol=1e-5)


def test_every_output_is_evaluated_in_every_mode_and_recorded(graphs, tmp_path):
    run_spec = spec(net(), data(), steps=200, batch_size=32, run={"learning_rate": 0.01}, weights={"num_bits": 3})
    assert [head.loss for head in run_spec.heads] == ["cross_entropy", "binary_cross_entropy", "mse"]
    record = RunRecord.create(str(tmp_path / "run"), run_spec.description())
    with Driver(run_spec, record) as driver:
        assert driver.finish() == Finished(200)
    result = driver.events(Evaluated)[-1]
    assert (result.output, result.metric) == ("digit", "accuracy")
    assert [(each.output, each.metric) for each in result.further] == [("valid", "accuracy"), ("box", "rmse")]
    digit, valid, box = (head.y_test for head in run_spec.dataset.heads)
    graph = graph_of(run_spec, graphs)
    for mode, switches in EVALUATIONS.items():
        outputs = graph.outputs(run_spec.dataset.x_test, *switches)
        assert result.scores[mode] == pytest.approx(np.mean(outputs[0].argmax(axis=1) == digit)), mode
        assert result.further[0].scores[mode] == pytest.approx(np.mean((outputs[1][:, 0] > 0) == valid)), mode
        assert result.further[1].scores[mode] == pytest.approx(np.sqrt(np.mean((outputs[2] - box) ** 2)), rel=1e-5)
    assert result.scores["quantized"] > 0.7 and result.further[0].scores["quantized"] > 0.7
    outputs = graph.outputs(run_spec.dataset.x_test)
    logits = outputs[0] - outputs[0].max(axis=1, keepdims=True)
    losses = {
        "digit": np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(digit)), digit]),
        "valid": np.mean(np.logaddexp(0, -outputs[1][:, 0] * (2 * valid - 1))),
        "box": np.mean((outputs[2] - box) ** 2),
    }
    assert dict(result.losses) == pytest.approx(losses, rel=1e-4)
    assert result.held_out_loss == pytest.approx(sum(losses.values()), rel=1e-4)
    assert event_from(result.to_dict()) == result and list(result.scores) == list(MODES)
    outcome = read_outcome(RunRecord.read(str(tmp_path / "run")))
    assert (outcome.losses, outcome.held_out_loss) == (result.losses, result.held_out_loss)
    history = driver.run.history
    names = list(history.names(TRACK))
    assert names == list(score_names(run_spec.metrics)) and "evaluation:box/rmse.quantized" in names
    found = {name: history.series(name).mean[-1] for name in names}
    assert found["accuracy.float"] == np.float32(result.scores["float"])
    assert found["evaluation:valid/accuracy.weights_only"] == np.float32(result.further[0].scores["weights_only"])
    assert found["evaluation:box/loss"] == np.float32(dict(result.losses)["box"])
    assert found["evaluation:/loss"] == np.float32(result.held_out_loss)
    opened = open_recorded(str(tmp_path / "run")).run.history
    assert {name: opened.series(name).mean[-1] for name in opened.names(TRACK)} == found
    assert outcome.further == result.further and outcome.evaluations[-1]["quantized"] == result.scores["quantized"]


@pytest.mark.parametrize("run", [{}, {"augment_mixup": 1.0}], ids=["plain", "mixed"])
def test_every_training_step_has_the_loss_of_each_output(run, tmp_path):
    run_spec = spec(net(), data(), steps=20, run=run, heads=HEADS)
    record = RunRecord.create(str(tmp_path / "run"), run_spec.description())
    with Driver(run_spec, record) as driver:
        assert driver.finish() == Finished(20)
    steps, weights = driver.steps(), [head.weight for head in HEADS]
    losses = np.array([step.losses for step in steps])
    np.testing.assert_allclose(losses @ weights, [step.loss for step in steps], rtol=1e-5)
    assert losses.shape == (20, 3) and (losses > 0).all() and len(np.unique(losses)) == 60
    for history in (driver.run.history, open_recorded(str(tmp_path / "run")).run.history):
        found = [history.series(f"training:{head.output}/loss").mean for head in HEADS]
        np.testing.assert_array_equal(np.transpose(found), losses)


def test_a_run_keeps_its_heads():
    run_spec = spec(net(), data(), heads=(Head("digit"), Head("valid", weight=2.0), Head("box", "huber")))
    description = run_spec.description()
    assert [row["task"] for row in description["heads"]] == ["classification", "classification", "regression"]
    again = RunSpec.from_description(description, data())
    assert again.heads == run_spec.heads and again.heads[2].loss == "huber" and again.heads[1].weight == 2.0
    assert again.metrics == run_spec.metrics and again.loss == "cross_entropy"
    assert described_plan(description).regression_outputs == ("box.activations",)
    assert run_spec.dataset.fingerprint == data().fingerprint


def test_the_range_of_predicted_numbers_covers_their_targets():
    plan = described_plan(spec(net(), data()).description())
    assert plan.predicts_numbers("box.activations") and not plan.predicts_numbers("digit.activations")


@pytest.mark.parametrize(
    "heads, message",
    [
        ((Head("digit"), Head("valid", "mse"), Head("box")), "output 'valid': loss is 'mse', but the task is class"),
        ((Head("digit", metric="top5"), Head("valid"), Head("box")), "output 'digit': metric is 'top5', but there are"),
        ((Head("digit"), Head("box")), r"heads of \['digit', 'box'\]: expected those of"),
        (tuple(Head(name, weight=0.0) for name in ("digit", "valid", "box")), "loss_weight is 0 for all outputs"),
    ],
)
def test_heads_that_do_not_fit_are_refused(heads, message):
    with pytest.raises(SettingError, match=message):
        spec(net(), data(), heads=heads)


def test_data_of_other_outputs_is_refused_with_both_lists():
    with pytest.raises(NetworkError, match="has targets of one output, but the network has the outputs 'digit', 'val"):
        spec(net())
    x = np.zeros((8, 6), np.float32)
    x[::2] = 1
    other = from_heads("h", "s", (x, {"a": np.arange(8) % 3, "valid": np.arange(8) % 2, "box": x[:, :2] + 0.5}))
    with pytest.raises(NetworkError, match="has targets of 'a', 'valid', 'box', but .* the outputs 'digit', 'valid'"):
        spec(net(), other)
    three = from_heads("h", "s", (x, [np.arange(8) % 3, np.arange(8) % 2, np.stack([x[:, 0]] * 3, 1) + 0.5]))
    with pytest.raises(NetworkError, match="output 'box': layer 'box' outputs 2 numbers, but h has 3 numbers to pred"):
        spec(net(), three)
    with pytest.raises(SettingError, match="class_weights is stated for all outputs: state those of each"):
        spec(net(), data(), class_weights="balanced")


def test_class_weights_are_those_of_an_output():
    heads = (Head("digit", class_weights="balanced"), Head("valid", class_weights="1=3"), Head("box"))
    run_spec = spec(net(), data(), heads=heads)
    description = run_spec.description()
    assert [row.get("class_weights") for row in description["heads"]] == ["balanced", "1=3", None]
    assert RunSpec.from_description(description, data()).heads == run_spec.heads
    for head, message in (
        (
            Head("box", class_weights="balanced"),
            "output 'box': class_weights is 'balanced', but the data has no classe",
        ),
        (Head("digit", class_weights="9=1"), "output 'digit': class_weights has the class '9': expected one of '0'"),
    ):
        with pytest.raises(SettingError, match=message):
            spec(net(), data(), heads=[head if known.output == head.output else known for known in HEADS])


def test_the_loss_of_all_outputs_is_monitored():
    run = {"learning_rate": 0.01, "evaluation_interval": 20, "keep_best": True, "monitor": "loss"}
    with Driver(spec(net(), data(), steps=60, batch_size=32, run=run)) as driver:
        assert driver.finish() == Finished(60)
    evaluated = driver.events(Evaluated)
    best = min(evaluated, key=lambda event: event.held_out_loss)
    assert len(evaluated) == 3 and driver.run.best.step == best.step
