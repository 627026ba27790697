"""Models that people train: imported exactly, trained, exported, and run by each runtime with the same codes.

An electrocardiogram's network of 1-D layers and an autoencoder with transposed convolutions are tested by
tests/export/test_sequence_networks.py and test_autoencoder_networks.py, with data that they learn.
"""

import os
import subprocess

import newer_tensorflow
import numpy as np
import pytest
from keras_import_cases import fresh_keras, plain_outputs, predicted_in_double_precision, randomize
from public_models import MODELS
from trained_networks import REQUIRED, agreements, trained

from qatviz.network.keras_import import import_model, load_model_file

pytestmark = pytest.mark.slow

HERE = os.path.dirname(os.path.abspath(__file__))
#: Largest error of an imported model, relative to the largest output of Keras.
FLOAT_ERROR = 1e-5
#: Each operation alone is held to one code by the proof. What it makes of a code that the layers before it have changed
#: depends on the weights, whose last digits depend on the processor.
REQUIRED_OF_MANY_LAYERS = REQUIRED._replace(largest=255)
EXAMPLES, BATCH, STEPS = 48, 8, 2


def data_for(input_shape, targets, high, seed=0):
    """Return random examples and targets: classes for a number, values from 0 to 1 for a shape; a list for a list."""
    random = np.random.RandomState(seed)
    x = random.uniform(0, high, (EXAMPLES, *input_shape)).astype(np.float32)
    if isinstance(targets, list):
        return x, [targets_for(each, random) for each in targets]
    return x, targets_for(targets, random)


def targets_for(targets, random):
    if isinstance(targets, int):
        return np.arange(EXAMPLES) % targets
    return random.uniform(0, 1, (EXAMPLES, *targets)).astype(np.float32)


def assert_exact(imported, inputs, expected):
    """Compare each output in the precision of the expected ones."""
    expected = expected if isinstance(expected, list) else [expected]
    outputs = plain_outputs(imported, inputs, expected[0].dtype)
    assert len(outputs) == len(expected)
    for found, wanted in zip(outputs, expected):
        assert np.ptp(wanted) > 1e-3, "the expected outputs are constant"
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= FLOAT_ERROR * np.abs(wanted).max()


def assert_trains_and_exports(model, data, folder, imported, identical=REQUIRED.identical):
    """Train a model for two steps, evaluate it, export it, and compare the codes of each runtime.

    ``identical`` is the least fraction of identical codes in onnxruntime.
    """
    result = trained(model, data, steps=STEPS, batch_size=BATCH)
    assert np.isfinite(result.outcome.loss) and all(np.isfinite(score) for score in result.scores.values())
    state = result.final_state.arrays
    unchanged = [name for name in imported.origin.arrays if np.array_equal(state[name], imported.parameters[name])]
    # A batch norm subtracts the bias of the layer before it again: its gradient is 0.
    assert all(name.endswith(".bias") for name in unchanged)
    found = dict(agreements(result, folder))
    assert {"simulator to evaluation graph", "onnx"} <= set(found)
    for name, agreement in found.items():
        least = identical if "onnx" in name else REQUIRED.identical
        assert agreement.reaches(REQUIRED_OF_MANY_LAYERS._replace(identical=least)), (name, agreement)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_of_tf_keras(name, tmp_path):
    case = MODELS[name]
    with fresh_keras():
        model = case.build()
        randomize(model, head=case.head)
        data = data_for(model.input_shape[1:], case.targets, case.high)
        imported = import_model(model)
        expected = predicted_in_double_precision(case.build, model.get_weights(), data[0][:3])
        assert_exact(imported, data[0][:3], expected)
        assert_trains_and_exports(model, data, tmp_path, imported, case.identical)


def saved_by_keras_3(name, folder):
    """Let a newer Keras save a model in a folder; return the path without its ending, inputs and expected outputs."""
    newer = newer_tensorflow.find() or pytest.skip(newer_tensorflow.MISSING)
    environment = dict(os.environ, PYTHONPATH=os.path.join(os.path.dirname(HERE), "network"))
    program = os.path.join(HERE, "keras_3_models.py")
    subprocess.run([newer.python, program, str(folder), name], check=True, env=environment)
    with np.load(str(folder / (name + ".npz"))) as arrays:
        inputs, expected = arrays["x"], arrays["y"]
    varied = np.ptp(expected, axis=0).max() / expected.max()
    assert varied > 0.1, "the expected outputs are nearly the same for all inputs"
    return str(folder / name), inputs, expected


def imported_exactly(path, inputs, expected):
    """Return the model of the .keras file, after it and the .h5 file are compared with what Keras predicts."""
    models = [load_model_file(path + end) for end in (".keras", ".h5")]
    for imported in models:
        assert_exact(imported, inputs[: len(expected)], expected)
    return models[0]


@pytest.mark.parametrize(
    "name",
    [
        "augmented_groups",
        "efficientnet_b0",
        "efficientnet_lc",
        "mobilenet_v3_minimalistic",
        "mobilenet_v3_small",
        "transformer_encoder",
    ],
)
def test_a_model_of_keras_3(name, tmp_path):
    path, inputs, expected = saved_by_keras_3(name, tmp_path)
    imported = imported_exactly(path, inputs, expected)
    data = inputs, np.arange(len(inputs)) % expected.shape[1]
    assert_trains_and_exports(path + ".keras", data, tmp_path, imported)


@pytest.mark.parametrize(
    "name",
    [
        "densenet121",
        "efficientnet_v2_b0",
        "inception_v3",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "nasnet_mobile",
        "resnet50",
        "resnet50_v2",
        "xception",
    ],
)
def test_an_application_of_keras_3_is_imported_exactly(name, tmp_path):
    imported_exactly(*saved_by_keras_3(name, tmp_path))
