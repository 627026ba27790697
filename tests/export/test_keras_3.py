"""Exported Keras models in Keras 3, and the descriptions in them.

Without a newer Python that has it (see :mod:`newer_tensorflow`), the tests that run it are skipped.
"""

import json

import newer_python
import newer_tensorflow
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, images_for, predicted
from test_keras_h5 import NETWORK, arrays_in, export, imported_from, mine, source_of, trained, with_code
from test_tflite_lowering import everything

from qatviz.network import layers as own
from qatviz.network.graph import NetworkBuilder

layers, initializers = tf.keras.layers, tf.keras.initializers
assert mine  # a fixture


@pytest.fixture(scope="session")
def keras_3():
    """Return the newer Python."""
    return newer_tensorflow.find() or pytest.skip(newer_tensorflow.MISSING)


def kinds():
    """Build a model with entries that Keras 3 refuses, and with initializers of all forms."""
    image = layers.Input((12, 12, 3), name="image")
    stem = layers.Conv2D(6, 3, padding="same", name="conv", kernel_initializer="he_normal")(image)
    stem = layers.BatchNormalization(name="bn", moving_variance_initializer=initializers.RandomUniform(0.5, 1.0))(stem)
    stem = layers.Activation("relu", name="act")(stem)
    side = layers.DepthwiseConv2D(
        3, padding="same", name="dw", activation=tf.nn.relu6, depthwise_initializer=initializers.VarianceScaling(2.0)
    )(stem)
    both = layers.Add(name="sum")([stem, layers.SeparableConv2D(6, 3, padding="same", name="sep")(side)])
    for layer in (layers.SpatialDropout2D, layers.GaussianNoise, layers.AlphaDropout, layers.GaussianDropout):
        both = layer(0.1)(both)
    both = layers.ActivityRegularization(1e-3)(layers.ZeroPadding2D(1)(layers.AveragePooling2D(2)(both)))
    both = layers.Concatenate()([layers.GlobalMaxPooling2D()(both), layers.GlobalAveragePooling2D()(both)])
    both = layers.Dense(5, bias_initializer=initializers.RandomNormal(0, 0.1), name="hidden")(layers.Dropout(0.2)(both))
    return tf.keras.Model(image, layers.Softmax(name="classes")(layers.Dense(4, name="logits")(layers.ReLU(6.0)(both))))


def sequence():
    """Build a Sequential whose first layer states the input."""
    return tf.keras.Sequential(
        [
            layers.Flatten(input_shape=(6, 5, 1)),
            layers.Dense(4, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def source_from(build):
    imported = imported_from(build)
    return source_of(imported.network, imported.origin, trained(imported))


def slashes():
    """Return a network with names that Keras 3 does not allow."""
    net = NetworkBuilder("a/b", (6, 6, 2))
    for name in ("block", "block/conv", "_c"):
        net.add(own.Conv2D, name, filters=3)
    net.add(own.Flatten, "flat")
    net.add(own.Dense, "out/logits", units=3)
    return net.network()


def check_predictions(keras_3, directory, written, networks):
    """Check that Keras 3 and tf.keras of TensorFlow 1.15 open files and compute the same for them."""
    models = [(str(one.paths[0]), images_for(network, 9)) for one, network in zip(written, networks)]
    for (path, images), found in zip(models, newer_tensorflow.run_keras(keras_3, directory, models)):
        assert isinstance(found, np.ndarray), (path, found)
        with fresh_keras():
            model = tf.keras.models.load_model(path, compile=False, custom_objects={"relu6": tf.nn.relu6})
            expected = predicted(model, images)
        assert found.shape == expected.shape and np.ptp(expected) > 1e-3
        assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max(), path


def written_from(source, directory):
    """Export a source; check its proof, which has no note that Keras 3 does not open the file."""
    written = export(source, directory / f"{source.network.name.replace('/', '_')}.h5")
    assert written.report.as_expected and not any("Keras 3" in note for note in written.report.notes)
    return written


def test_an_exported_model_opens_in_keras_3_with_equal_predictions(keras_3, tmp_path):
    sources = [source_of(NETWORK), source_of(slashes())]
    written = [written_from(source, tmp_path) for source in sources]
    check_predictions(keras_3, tmp_path, written, [source.network for source in sources])


def test_the_check_program_runs_a_file_of_any_name_in_keras_3(keras_3, tmp_path):
    export(source_of(NETWORK), tmp_path / "net")
    newer_python.run(keras_3, "import runpy; runpy.run_path('net.check.py', run_name='__main__')", tmp_path)


@pytest.mark.slow
def test_all_kinds_of_layers_and_the_users_models_open_in_keras_3(mine, keras_3, tmp_path):
    sources = [source_of(everything()), source_of(mine.network, mine.origin, trained(mine))]
    sources += map(source_from, (kinds, sequence))
    written = [written_from(source, tmp_path) for source in sources]
    check_predictions(keras_3, tmp_path, written, [source.network for source in sources])


def descriptions(path):
    import h5py

    with h5py.File(str(path), "r") as file:
        return json.loads(file.attrs["model_config"])


def entries(value):
    """Yield all objects in a description."""
    if isinstance(value, list):
        for item in value:
            yield from entries(item)
    elif isinstance(value, dict):
        yield value
        yield from entries(list(value.values()))


def test_descriptions_have_no_entry_that_keras_3_refuses(tmp_path):
    found = descriptions(export(source_from(kinds), tmp_path / "net.h5").paths[0])
    initial = [
        value
        for entry in entries(found)
        for name, value in entry.items()
        if name.endswith("_initializer") and value is not None
    ]
    assert len(initial) > 10 and not any("dtype" in value["config"] for value in initial)
    separable = next(entry["config"] for entry in entries(found) if entry.get("class_name") == "SeparableConv2D")
    assert {"depthwise_initializer", "pointwise_initializer", "kernel_size"} <= set(separable)
    assert not {"kernel_initializer", "kernel_regularizer", "kernel_constraint"} & set(separable)


def test_the_input_of_a_sequential_is_a_layer(tmp_path):
    path = export(source_from(sequence), tmp_path / "net.h5").paths[0]
    first, second = descriptions(path)["config"]["layers"][:2]
    assert first["class_name"] == "InputLayer" and first["config"]["batch_input_shape"] == [None, 6, 5, 1]
    assert second["class_name"] == "Flatten" and "batch_input_shape" not in second["config"]
    again = arrays_in(path)[1]["config"]["layers"]
    assert [layer["class_name"] for layer in again] == ["Flatten", "Dense", "Dense"]


def nested():
    inner = tf.keras.Sequential([layers.InputLayer((8, 8, 3)), layers.Conv2D(4, 3, name="conv")], name="inner")
    image = layers.Input((8, 8, 3))
    return tf.keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(inner(image))))


def summed():
    image = layers.Input((6, 6, 3))
    both = image + layers.Conv2D(3, 3, padding="same", name="conv")(image)
    return tf.keras.Model(image, layers.Dense(3, name="a/logits")(layers.Flatten()(both)))


OBSTACLES = [
    (nested, ["'inner' is a model within a functional model"]),
    (summed, ["is an operation that is no layer", "layer 'a/logits' has a / in its name"]),
    (with_code, ["layer 'sum' is a Lambda layer"]),
]


@pytest.mark.parametrize("build, reasons", OBSTACLES, ids=lambda value: getattr(value, "__name__", ""))
def test_models_that_keras_3_does_not_open_are_noted(build, reasons, tmp_path):
    source = source_from(build)
    allowed = {"allow_code": True} if build is with_code else {}
    (note,) = export(source, tmp_path / "net.h5", **allowed).report.notes
    assert note.startswith("Keras 3 does not open the file: ") and all(reason in note for reason in reasons)
    assert not export(source, tmp_path / "rebuilt.h5", rebuild=True).report.notes


@pytest.mark.slow
def test_the_note_is_true_and_rebuilt_models_open(keras_3, tmp_path):
    sources = [source_from(build) for build, _ in OBSTACLES]
    written = [
        [export(source, tmp_path / f"{place}{option}.h5", **{option: True}) for option in ("allow_code", "rebuild")]
        for place, source in enumerate(sources)
    ]
    models = [(files[0].paths[0], images_for(source.network, 2)) for files, source in zip(written, sources)]
    assert all(isinstance(found, str) for found in newer_tensorflow.run_keras(keras_3, tmp_path, models))
    networks = [source.network for source in sources]
    check_predictions(keras_3, tmp_path, [rebuilt for _, rebuilt in written], networks)
