"""Files of recurrent and shared layers that Keras 3 wrote: the outputs that it computes.

Without a newer Python that has it (see :mod:`newer_tensorflow`), the tests are skipped.
"""

import newer_python
import newer_tensorflow
import numpy as np
import pytest
from keras_import_cases import plain_output

from qatviz.network.keras_import import load_model_file

#: Makes the models, and writes each as .keras and .h5, with its outputs for one array.
PROGRAM = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers

assert keras.__version__ >= "3"


def shared(x):
    own, norm = layers.Conv1D(3, 3, padding="same"), layers.BatchNormalization()
    twice = norm(own(layers.ReLU()(norm(own(x)))))
    inner = keras.Sequential([layers.Input((5, 3)), layers.Dense(3, activation="tanh")])
    return inner(inner(twice))


BODIES = {
    "lstm": layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True),
    "gru": layers.GRU(4),
    "gru_before": layers.GRU(4, reset_after=False, go_backwards=True),
    "simple": layers.SimpleRNN(4, dropout=0.2, recurrent_dropout=0.1),
    "both": layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
    "mixed": lambda x: layers.Bidirectional(layers.GRU(2), backward_layer=layers.LSTM(2, go_backwards=True))(
        layers.TimeDistributed(layers.Dense(4, activation="relu"))(layers.LSTM(3, return_sequences=True)(x))
    ),
    "shared": shared,
}
random = np.random.RandomState(0)
arrays = {"x": random.standard_normal((4, 5, 3)).astype(np.float32)}
for name, body in BODIES.items():
    x = layers.Input((5, 3))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(body(x))))
    model.set_weights([random.uniform(0.2, 1.0, w.shape) * random.choice([-1, 1], w.shape) if "variance" not in w.path
                       else random.uniform(0.5, 1.5, w.shape) for w in model.weights])
    arrays[name] = model.predict(arrays["x"], verbose=0)
    for ending in (".keras", ".h5"):
        model.save(name + ending)
np.savez("arrays.npz", **arrays)
"""
NAMES = ("lstm", "gru", "gru_before", "simple", "both", "mixed", "shared")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    newer = newer_tensorflow.find() or pytest.skip(newer_tensorflow.MISSING)
    found = tmp_path_factory.mktemp("keras3")
    newer_python.run(newer, PROGRAM, found)
    return found


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_equal_those_of_keras(folder, name, ending):
    imported = load_model_file(str(folder / (name + ending)))
    with np.load(str(folder / "arrays.npz")) as arrays:
        expected, found = arrays[name], plain_output(imported, arrays["x"])
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert any(layer.owner != layer.name for layer in imported.network.layers)
