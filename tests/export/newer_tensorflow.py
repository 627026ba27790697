"""TensorFlow 2 with Keras 3, which need a newer Python than TensorFlow 1.15.

They are those of the Python that QATVIZ_TENSORFLOW2_PYTHON names, or of the first one on PATH that has them.
"""

import newer_python
import numpy as np

VARIABLE = "QATVIZ_TENSORFLOW2_PYTHON"
MISSING = f"there is no newer Python with TensorFlow 2; {VARIABLE} can name one"
#: Runs a graph or SavedModel on an array: paths of the model, of the array, of the result; names of tensors or outputs.
_GRAPH = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
path, images, results, *names = sys.argv[1:]
images = tf.constant(np.load(images))
if os.path.isdir(path):
    found = tf.saved_model.load(path).signatures["serving_default"](input=images)
    values = [found[name] for name in names]
else:
    definition = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        definition.ParseFromString(file.read())
    graph = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    values = graph.prune("input:0", names)(images)
np.savez(results, *[value.numpy() for value in values])
"""
#: Runs Keras models on arrays: for each its path, and the paths of its array and of its result or error.
_KERAS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
assert keras.__version__ >= "3"
for path, images, result in zip(*[iter(sys.argv[1:])] * 3):
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        np.savez(result, error=str(error))
    else:
        np.savez(result, found=model.predict(np.load(images), verbose=0))
"""


def find():
    """Return the first one found (:class:`newer_python.Newer`); None if there is none."""
    return newer_python.find(VARIABLE, "tensorflow")


def run_graph(newer, directory, path, images, names):
    """Return the values of tensors of a frozen graph, or of outputs of a SavedModel, by name."""
    np.save(str(directory / "images.npy"), images)
    newer_python.run(newer, _GRAPH, directory, path, "images.npy", "results.npz", *names)
    with np.load(str(directory / "results.npz")) as arrays:
        return {name: arrays[f"arr_{place}"] for place, name in enumerate(names)}


def run_keras(newer, directory, models):
    """Return what Keras 3 makes of models, ``(path, images)`` each: predictions, or the text of the error."""
    arguments = []
    for place, (path, images) in enumerate(models):
        np.save(str(directory / f"images{place}.npy"), images)
        arguments += [path, f"images{place}.npy", f"result{place}.npz"]
    newer_python.run(newer, _KERAS, directory, *arguments)
    results = []
    for place in range(len(models)):
        with np.load(str(directory / f"result{place}.npz")) as arrays:
            results.append(arrays["found"] if "found" in arrays.files else str(arrays["error"]))
    return results
