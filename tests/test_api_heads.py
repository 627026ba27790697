"""A script's model with several outputs: trained, recorded, evaluated and resumed with the targets of each."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from shared_graphs import closed_pool, shared_graphs  # noqa: F401

import qatviz
from qatviz.api import request_of
from qatviz.errors import DataError, NetworkError, SettingError
from qatviz.session.checkpoints import recorded_state
from qatviz.session.request import NewRunRequest, RunRequest
from qatviz.telemetry.record.run_record import RunRecord

RANDOM = np.random.RandomState(0)
X = RANDOM.standard_normal((300, 8)).astype(np.float32)
REAL = (X[:, 0] > 0).astype(int)
DIGIT = np.digitize(X[:, 1], [-0.4, 0.4])


def discriminator():
    """Return a model like the discriminator of mnist_acgan: real or fake, and the class."""
    given = tf.keras.layers.Input((8,))
    body = tf.keras.layers.Dense(12, activation="relu", name="body")(given)
    fake = tf.keras.layers.Dense(1, activation="sigmoid", name="generation")(body)
    aux = tf.keras.layers.Dense(3, activation="softmax", name="auxiliary")(body)
    return tf.keras.Model(given, [fake, aux])


def trained(out=None, y=None, **options):
    with tf.Graph().as_default(), tf.Session():
        tf.set_random_seed(5)
        y = {"auxiliary": DIGIT, "generation": REAL} if y is None else y
        model = discriminator()
        return qatviz.train(model, (X, y), out, quiet=True, steps=60, batch_size=16, learning_rate=0.01, **options)


def test_each_output_is_trained_by_its_name(tmp_path):
    result = trained(str(tmp_path / "run"), loss_weights={"auxiliary": 2.0}, metric={"generation": "auc"})
    assert result.network.output_names == ("generation", "auxiliary")
    description = RunRecord.read(str(tmp_path / "run")).description
    assert [(row["output"], row["loss"], row["weight"], row["metric"]) for row in description["heads"]] == [
        ("generation", "binary_cross_entropy", 1.0, "auc"),
        ("auxiliary", "cross_entropy", 2.0, "accuracy"),
    ]
    assert result.outcome.metric.name == "auc" and result.scores["quantized"] > 0.7
    (auxiliary,) = result.outcome.further
    assert auxiliary.output == "auxiliary" and auxiliary.scores["quantized"] > 0.6
    again = qatviz.evaluate(tmp_path / "run")
    assert again.scores == result.scores and again.further == result.outcome.further
    assert any("sigmoid 'generation/sigmoid' at the end is left" in notice.text for notice in result.notices)


def test_targets_and_choices_may_be_in_the_order_of_the_outputs():
    result = trained(y=(REAL, DIGIT), loss=["auto", "cross_entropy"], loss_weights=[1, 0.5])
    assert [head.output for head in result._spec.heads] == ["generation", "auxiliary"]
    assert [head.weight for head in result._spec.heads] == [1.0, 0.5]


def test_an_import_computes_what_keras_computes():
    from qatviz.network.keras_import import import_model
    from qatviz.network.plan import quantization_plan
    from qatviz.protocol.settings_book import SettingsBook
    from qatviz.quant import live_state
    from qatviz.training.lowering.forward_pass import lower

    with tf.Graph().as_default(), tf.Session():
        model = discriminator()
        imported = import_model(model)
        expected = tf.keras.backend.get_session().run(model.outputs, {model.inputs[0]: X})
    plan = quantization_plan(imported.network)
    book = SettingsBook.from_preset(plan, "float")
    layout = live_state.layout(plan)
    with tf.Graph().as_default(), tf.Session() as session:
        state = {
            name: tf.constant(value)
            for name, value in {
                **live_state.initial_ranges(layout),
                **live_state.settings_arrays(layout, book.quantizers, book.run, 0),
            }.items()
        }
        parameters = {name: tf.constant(value) for name, value in imported.parameters.items()}
        outputs = lower(imported.network, plan, tf.constant(X), parameters, state, training=False).outputs
        fake, logits = session.run([outputs[0], tf.nn.softmax(outputs[1])])
    np.testing.assert_allclose(fake, expected[0], atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], atol=1e-5)


def test_what_does_not_fit_is_refused_with_the_keyword():
    for options, message in (
        (
            {"loss": {"aux": "cross_entropy"}},
            "loss is stated for the output 'aux': expected one of 'generation', 'a",
        ),
        ({"loss": "cross_entropy"}, "the network has the outputs 'generation', 'auxiliary': state it for each"),
        ({"loss_weights": 0.5}, "loss_weights is 0.5: expected a number for each output"),
        ({"loss_weights": {"auxiliary": -1}}, "loss_weight is -1: expected a number of at least 0"),
    ):
        with pytest.raises(SettingError, match=message):
            trained(**options)
    with pytest.raises(NetworkError, match="has targets of one output, but the network has the outputs"):
        trained(y=DIGIT)


def test_a_request_keeps_what_is_chosen_for_outputs():
    request = NewRunRequest(heads={"digit": {"loss": "mse", "loss_weight": 0.5}})
    request.check()
    assert RunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    with pytest.raises(SettingError, match="expected loss, loss_weight, metric, task, class_weights by name or index"):
        NewRunRequest(heads={"digit": {"color": "red"}}).check()


def test_a_task_that_is_stated_by_index_is_that_of_the_output():
    given = {"auxiliary": DIGIT, "generation": REAL}  # not in the order of the outputs
    with tf.Graph().as_default(), tf.Session(), pytest.raises(DataError) as no:
        qatviz.train(discriminator(), (X, given), quiet=True, steps=1, task={0: "regression"})
    assert "stated for the output 0, but arrays has its targets in another order: state it for 'generation'" in str(
        no.value
    )


def test_a_keras_file_has_both_outputs(tmp_path):
    written = trained().export(tmp_path / "net.h5", "keras")
    assert written.report.as_expected and not written.report.faults
    with tf.Graph().as_default(), tf.Session():
        outputs = tf.keras.models.load_model(str(written.paths[0]), compile=False).predict_on_batch(X[:9])
    assert [values.shape for values in outputs] == [(9, 1), (9, 3)]
    np.testing.assert_allclose(outputs[1].sum(axis=1), 1, rtol=1e-5)
    assert outputs[0].min() > 0 and outputs[0].max() < 1


def test_weights_of_classes_and_examples_are_those_of_an_output(tmp_path):
    w = np.linspace(0, 2, 300)
    data = (X, {"auxiliary": DIGIT, "generation": REAL}, {"generation": w})
    options = {"quiet": True, "steps": 5, "batch_size": 16}
    with tf.Graph().as_default(), tf.Session():
        result = qatviz.train(
            discriminator(), data, str(tmp_path / "run"), class_weights={"auxiliary": {0: 2.0, "2": 0.5}}, **options
        )
    rows = RunRecord.read(str(tmp_path / "run")).description["heads"]
    assert [row.get("class_weights") for row in rows] == [None, "0=2.0,2=0.5"]
    again = recorded_state(str(tmp_path / "run"))[1].dataset
    generation, auxiliary = again.heads
    assert auxiliary.w_train is None and again.fingerprint == result._spec.dataset.fingerprint
    np.testing.assert_array_equal(generation.w_train, result._spec.dataset.w_train)
    assert set(np.round(generation.w_train, 6)) <= set(np.round(w.astype(np.float32), 6))
    in_order = request_of("a.h5", None, None, {"class_weights": ["balanced", {"1": 3}]})
    assert in_order.heads == {"0": {"class_weights": "balanced"}, "1": {"class_weights": "1=3"}}
    assert request_of("a.h5", None, None, {"class_weights": {"cat": 3}}).class_weights == "cat=3"
    with pytest.raises(SettingError, match="class_weights is 'balanced', but the network has the outputs 'generation'"):
        trained(class_weights="balanced")


def batches():
    for start in range(0, 300, 20):
        rows = slice(start, start + 20)
        yield X[rows], {"generation": REAL[rows], "auxiliary": DIGIT[rows]}, {"auxiliary": np.ones(20) / 2}


def tensors():
    return tf.data.Dataset.from_tensor_slices((X, {"generation": REAL, "auxiliary": DIGIT})).batch(32)


@pytest.mark.parametrize("form", [batches, tensors], ids=["generator", "tf.data"])
def test_generators_and_tf_data_have_targets_of_each_output(form):
    with tf.Graph().as_default(), tf.Session():
        data = form()
        result = qatviz.train(discriminator(), data, quiet=True, steps=3, batch_size=16)
        arrays = qatviz.train(
            discriminator(), (X, {"auxiliary": DIGIT, "generation": REAL}), quiet=True, steps=3, batch_size=16
        )
    found, expected = result._spec.dataset, arrays._spec.dataset
    for head, own in zip(expected.heads, found.heads):
        assert (own.output, own.task) == (head.output, head.task)
        np.testing.assert_array_equal(own.y_train, head.y_train)
        np.testing.assert_array_equal(own.x_test, head.x_test)
    weights = found.further[0].w_train
    assert weights is None if form is tensors else set(weights) == {0.5}


class Frame:
    """Stand-in for a pandas data frame."""

    def __init__(self, columns):
        self._columns = [np.asarray(values) for values in columns.values()]
        self.columns, self.iloc = list(columns), self
        self.shape, self.index = (len(self._columns[0]), len(columns)), np.arange(len(self._columns[0]))

    def __getitem__(self, key):
        return self._columns[key[1]]


def frame_model():
    given = tf.keras.layers.Input((2,))
    outputs = [tf.keras.layers.Dense(size, name=name)(given) for name, size in (("kind", 3), ("box", 2))]
    return tf.keras.Model(given, outputs)


def test_a_frame_has_columns_for_each_output():
    columns = {"a": X[:, 0], "b": X[:, 1], "label": np.array(["x", "y", "z"])[DIGIT], "u": X[:, 2], "v": X[:, 3]}
    targets = {"box": ["u", "v"], "kind": "label"}
    with tf.Graph().as_default(), tf.Session():
        result = qatviz.train(frame_model(), Frame(columns), quiet=True, steps=3, batch_size=16, targets=targets)
        rest = {name: columns[name] for name in ("a", "b")}
        y = {"kind": columns["label"], "box": np.stack([columns["u"], columns["v"]], axis=1)}
        pair = qatviz.train(frame_model(), (Frame(rest), y), quiet=True, steps=3, batch_size=16)
    kind, box = result._spec.dataset.heads
    assert (kind.output, kind.class_names, box.output, box.task) == ("kind", ("x", "y", "z"), "box", "regression")
    for head, own in zip(result._spec.dataset.heads, pair._spec.dataset.heads):
        np.testing.assert_array_equal(head.y_train, own.y_train)
        np.testing.assert_allclose(head.x_train, own.x_train, rtol=1e-6)
