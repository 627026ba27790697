"""Export of trained weights to Keras: to the user's own model, or to a new one of the same layers."""

import json
import os
import zipfile

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, network_of, state_of
from keras_import_cases import fresh_keras, randomize
from tensorflow.python.keras.layers import core

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import KERAS
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.network import layers as own
from qatviz.network.keras_import import import_model, load_model_file
from qatviz.network.keras_import.origin import KerasOrigin

layers = tf.keras.layers
NETWORK = network_of(
    (6, 6, 2),
    (own.Conv2D, "conv", {"filters": 4, "use_bias": False}),
    (own.BatchNorm, "bn", {}),
    (own.ReLU6, "relu", {}),
    (own.GlobalAveragePool, "means", {}),
    (own.Dense, "logits", {"units": 3}),
)

KERAS_3_FILES = os.path.join(os.path.dirname(__file__), "..", "network", "keras_files", "keras-3.15.zip")


def source_of(network, keras=None, state=None, examples=20):
    random = np.random.RandomState(3)
    images = random.standard_normal((24, *tuple(network.input_shape))).astype(np.float32)
    outputs = network.num_outputs
    labels = (np.arange(24) % outputs).astype(np.int32)
    dataset = from_arrays("noise", "a test", (images, labels), (images, labels))
    return ExportSource(
        network,
        book_of(network),
        state_of(network) if state is None else state,
        dataset,
        None,
        {"step": 3},
        keras,
        examples,
    )


def trained(imported, seed=5):
    """Return a state after training: new values for the arrays that Keras has, the others unchanged."""
    state = state_of(imported.network, seed=seed)
    state.update((name, value) for name, value in imported.parameters.items() if name not in imported.origin.arrays)
    return state


def export(source, path, progress=Progress(), **options):
    return KERAS.export(source, path, options, progress)


def imported_from(build):
    with fresh_keras():
        model = build()
        randomize(model)
        return import_model(model)


def arrays_in(path, **options):
    """Return values by the names of Keras' variables, and the model's description."""
    with fresh_keras():
        model = tf.keras.models.load_model(str(path), compile=False, **options)
        return dict(zip([weight.name for weight in model.weights], model.get_weights())), json.loads(model.to_json())


def body():
    """Build layers that the import rewrites: nested, separable, batch norms without a layer to fold into or gamma."""
    base = tf.keras.Sequential(
        [
            layers.InputLayer((8, 7, 3)),
            layers.SeparableConv2D(4, 3, name="sep", activation=tf.nn.relu6),
            layers.BatchNormalization(name="bn", scale=False),
            layers.ReLU(name="act"),
            layers.BatchNormalization(name="bn2"),
            layers.Dense(3, name="pixels"),
        ],
        name="base",
    )
    return tf.keras.Sequential(
        [layers.InputLayer((8, 7, 3)), base, layers.Flatten(), layers.Dense(3, activation="softmax", name="logits")],
        name="mine",
    )


@pytest.fixture(scope="module")
def mine():
    return imported_from(body)


# Into the user's own model


def test_trained_weights_written_to_the_users_model_can_be_imported(mine, tmp_path):
    state = trained(mine)
    written = export(source_of(mine.network, mine.origin, state), tmp_path / "mine.h5")
    assert written.report.as_expected and not written.report.faults and not written.report.notes
    names = [path.name for path in written.paths]
    proof = ["parity.json", "parity.txt", "golden.npz", "README.md", "check.py"]
    assert names == ["mine.h5", *(f"mine.h5.{part}" for part in proof)]
    found, config = arrays_in(tmp_path / "mine.h5", custom_objects={"relu6": tf.nn.relu6})
    assert config["config"] == json.loads(mine.origin.config)["config"]
    assert len(found) == len(mine.origin.arrays)
    for name, (path, array) in mine.origin.arrays.items():
        value = next(value for known, value in found.items() if known.endswith(f"{path[-1]}/{array}:0"))
        np.testing.assert_array_equal(value.ravel(), state[name].ravel())
    again = load_model_file(tmp_path / "mine.h5")
    assert again.network == mine.network
    assert set(again.parameters) == {name for name in state if name in mine.parameters}
    for name, value in again.parameters.items():
        np.testing.assert_array_equal(value, state[name])


def test_a_trained_parameter_that_the_users_model_lacks_is_refused(mine, tmp_path):
    state = trained(mine)
    not_keras = sorted(set(mine.parameters) - set(mine.origin.arrays))
    assert not_keras == ["bn.gamma", "bn/scale.weights", "bn2/scale.weights"]
    for name in not_keras:
        changed = dict(state, **{name: state[name] * np.float32(1.5)})
        reason = f"its {name.split('.')[1]} was trained.*possible with the option rebuild"
        with pytest.raises(ExportError, match=reason):
            export(source_of(mine.network, mine.origin, changed), tmp_path / "no.h5")
    assert list(tmp_path.iterdir()) == []
    written = export(source_of(mine.network, mine.origin, changed), tmp_path / "new.h5", rebuild=True)
    names = [layer["name"] for layer in arrays_in(tmp_path / "new.h5")[1]["config"]["layers"]]
    assert written.report.as_expected and {"bn", "bn_scale", "bn2", "bn2_scale", "sep_depthwise"} <= set(names)


def test_weights_without_effect_are_initialized_again_and_noted(tmp_path):
    def build():
        image = layers.Input((6,))
        both = tf.keras.Model(image, [layers.Dense(4, name="read")(image), layers.Dense(2, name="unread")(image)])
        outer = layers.Input((6,))
        return tf.keras.Model(outer, layers.Dense(3, name="logits")(both(outer)[0]))

    imported = imported_from(build)
    notes = export(source_of(imported.network, imported.origin), tmp_path / "net.h5").report.notes
    assert notes[0].startswith("2 weights of the Keras model have no effect on the network's output")


def with_code():
    image = layers.Input((6, 6, 3))
    convolved = layers.Conv2D(3, 3, padding="same", name="conv")(image)
    both = layers.Lambda(lambda x: x[0] + x[1], name="sum")([image, convolved])
    return tf.keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(both)))


def test_code_runs_only_if_allowed(tmp_path):
    imported = imported_from(with_code)
    assert imported.origin.has_code
    source = source_of(imported.network, imported.origin)
    with pytest.raises(
        ExportError, match="Python code.*possible with the option allow_code.*or with the option rebuild"
    ):
        export(source, tmp_path / "no.h5")
    assert list(tmp_path.iterdir()) == []
    before = dict(vars(core))
    for option in ("allow_code", "rebuild"):
        assert export(source, tmp_path / (option + ".h5"), **{option: True}).report.as_expected
    assert vars(core) == before, "names of this module are among Keras' own"
    with open(str(tmp_path / "allow_code.h5"), "rb") as allowed, open(str(tmp_path / "rebuild.h5"), "rb") as rebuilt:
        assert b'"Lambda"' in allowed.read() and b'"Lambda"' not in rebuilt.read()


@pytest.mark.parametrize(
    "config, reason",
    [
        ("{", "JSONDecodeError"),
        (
            json.dumps(
                {
                    "class_name": "Sequential",
                    "config": {
                        "name": "x",
                        "layers": [{"class_name": "Dense", "config": {"name": "logits", "units": 2, "nonsense": 1}}],
                    },
                }
            ),
            "nonsense",
        ),
        (json.dumps({"class_name": "Sequential", "config": {"name": "x", "layers": []}}), "No such layer: logits"),
    ],
)
def test_descriptions_that_keras_refuses_are_export_errors(config, reason, tmp_path):
    network = network_of((4,), (own.Dense, "logits", {"units": 2, "use_bias": False}))
    origin = KerasOrigin(config, {"logits.weights": (("logits",), "kernel")})
    with pytest.raises(ExportError, match="Keras can't build the model from its description: .*" + reason):
        export(source_of(network, origin), tmp_path / "no.h5", allow_code=True)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_another_shape_are_refused(mine, tmp_path):
    origin = KerasOrigin(mine.origin.config, dict(mine.origin.arrays, **{"logits.bias": (("logits",), "kernel")}))
    with pytest.raises(ExportError, match=r"logits.bias: has the shape \(3,\); the Keras model's logits/kernel:0"):
        export(source_of(mine.network, origin, trained(mine)), tmp_path / "no.h5")


# Into a model of the network's layers


def test_a_network_without_a_keras_origin_becomes_a_keras_model(tmp_path):
    state = state_of(NETWORK)
    written = export(source_of(NETWORK, state=state), tmp_path / "net.h5")
    assert written.report.outputs["file to float"].relative <= 1e-4 and written.report.as_expected
    assert "Keras model, float of chain" in written.report.to_text()
    found, config = arrays_in(tmp_path / "net.h5")
    assert [layer["name"] for layer in config["config"]["layers"]] == ["input", "conv", "bn", "relu", "means", "logits"]
    np.testing.assert_array_equal(found["bn/gamma:0"], state["bn.gamma"])
    again = load_model_file(tmp_path / "net.h5")
    assert again.network == NETWORK and not again.notes
    for name, value in again.parameters.items():
        np.testing.assert_array_equal(value, state[name])


def test_a_model_without_a_description_is_rebuilt_and_that_is_noted(tmp_path):
    report = export(source_of(NETWORK, KerasOrigin(None, {})), tmp_path / "net.h5").report
    assert "no description" in report.notes[0]


def test_a_model_of_a_later_keras_is_rebuilt_and_that_is_noted(tmp_path):
    """The file of Keras 3.15 is that of the tests of the import; TensorFlow 1.15 can't build its description."""
    with zipfile.ZipFile(KERAS_3_FILES) as archive:
        archive.extract("sequence.keras", str(tmp_path))
    imported = load_model_file(tmp_path / "sequence.keras")
    state = state_of(imported.network)
    state.update(imported.parameters)
    written = export(source_of(imported.network, imported.origin, state), tmp_path / "new.h5")
    assert written.report.as_expected and "later version of Keras" in written.report.notes[0]
    again = load_model_file(tmp_path / "new.h5")
    for name, value in imported.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], value)


def test_probabilities_are_compared_with_the_softmax_of_the_logits(tmp_path):
    network = network_of(
        (5,),
        (own.Dense, "hidden", {"units": 4}),
        (own.ReLU, "act", {}),
        (own.Dense, "logits", {"units": 3}),
        (own.Softmax, "softmax", {}),
    )
    report = export(source_of(network), tmp_path / "net.h5").report
    assert report.as_expected
    np.testing.assert_allclose(report.golden["file_output"].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-7, 1e-5])
def test_an_epsilon_that_keras_replaces_is_compensated_for(epsilon, tmp_path):
    network = network_of(
        (6, 6, 2),
        (own.Conv2D, "conv", {"filters": 4}),
        (own.BatchNorm, "bn", {"epsilon": epsilon}),
        (own.Flatten, "flat", {}),
        (own.Dense, "logits", {"units": 3}),
    )
    state = state_of(network, bn__moving_variance=[2e-5, 1e-4, 1e-5, 1.0])
    assert export(source_of(network, state=state), tmp_path / "net.h5").report.as_expected


def test_the_proof_detects_wrong_weights(tmp_path, monkeypatch):
    from qatviz.export.keras import export as keras_h5

    monkeypatch.setattr(
        keras_h5, "arrays_for_keras", lambda network, origin, arrays: {name: -arrays[name] for name in origin.arrays}
    )
    report = export(source_of(NETWORK), tmp_path / "net.h5").report
    assert report.faults and not report.as_expected and "WRONG" in report.to_text()


# Failures


def test_missing_parameters_are_refused(tmp_path):
    state = state_of(NETWORK)
    del state["bn.beta"]
    with pytest.raises(ExportError, match="layer 'bn': the state has no values for bn.beta"):
        export(source_of(NETWORK, state=state), tmp_path / "net.h5")


def test_the_default_graph_of_keras_is_unchanged(tmp_path):
    before = len(tf.get_default_graph().get_operations())
    export(source_of(NETWORK), tmp_path / "net.h5")
    assert len(tf.get_default_graph().get_operations()) == before
