"""A script's model with several outputs: trained, recorded, evaluated and resumed with the targets of each."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import qatviz
from qatviz.errors import ExportError, NetworkError, SettingError
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
    with pytest.raises(SettingError, match="expected loss, loss_weight, metric, task by name or index"):
        NewRunRequest(heads={"digit": {"color": "red"}}).check()


def test_formats_that_hold_one_output_refuse_by_name(tmp_path):
    result = trained()
    with pytest.raises(ExportError, match="has the outputs 'generation', 'auxiliary', and the export to keras has"):
        result.export(tmp_path / "net.h5", "keras")
