"""Models with several inputs that Keras 3 saves: import, and the models that are exported for it."""

import newer_python
import newer_tensorflow
import numpy as np
import pytest
from integer_cases import book_of, state_of

from qatviz.export.proof.graph import EvaluationGraph
from qatviz.inputs import packed_examples
from qatviz.network.keras_import import load_model_file

#: Program for Keras 3 and TensorFlow 2, which saves models of the same layers, in lists and by name, and their outputs.
_PROGRAM = """
import numpy as np, keras
layers, folder = keras.layers, "."
left, right = layers.Input((8, 8, 1), name="left"), layers.Input((8, 8, 2), name="right")
age = layers.Input((3,), name="age")
x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(layers.Concatenate()([left, right]))
x = layers.Concatenate()([layers.Flatten()(x), layers.Dense(4, activation="relu", name="of_age")(age)])
out = layers.Dense(3, name="out")(x)
random = np.random.RandomState(1)
given = [random.standard_normal((5, *shape)).astype("float32") for shape in ((8, 8, 1), (3,), (8, 8, 2))]
for name, inputs in (("listed", [left, age, right]), ("named", {"left": left, "age": age, "right": right})):
    model = keras.Model(inputs, out, name=name)
    for form in ("keras", "h5"):
        model.save(f"{folder}/{name}.{form}")
    if name == "listed":
        np.save(f"{folder}/y.npy", model.predict(given, verbose=0))
"""


@pytest.fixture(scope="module")
def keras_3():
    found = newer_tensorflow.find()
    if found is None:
        pytest.skip(newer_tensorflow.MISSING)
    return found


def test_files_are_imported_exactly(keras_3, tmp_path):
    newer_python.run(keras_3, _PROGRAM, tmp_path)
    random, expected = np.random.RandomState(1), np.load(str(tmp_path / "y.npy"))
    shapes = {"left": (8, 8, 1), "age": (3,), "right": (8, 8, 2)}
    given = {name: random.standard_normal((5, *shape)).astype(np.float32) for name, shape in shapes.items()}
    for name in ("listed.keras", "listed.h5", "named.keras", "named.h5"):
        imported = load_model_file(tmp_path / name)
        network = imported.network
        assert dict(network.inputs) == shapes
        if name.startswith("listed"):
            assert network.input_names == tuple(shapes)
        rows = packed_examples([given[each] for each in network.input_names])
        state = {**state_of(network), **imported.parameters}
        with EvaluationGraph(network, book_of(network), state) as graph:
            found = graph.logits(rows, quantized=False)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), name
