"""A current onnxruntime, which needs a newer Python than TensorFlow 1.15.

It is that of the Python that QATVIZ_ONNXRUNTIME_PYTHON names, or of the first one on PATH that has it.
"""

import newer_python
import numpy as np

VARIABLE = "QATVIZ_ONNXRUNTIME_PYTHON"
MISSING = f"there is no newer Python with onnxruntime; {VARIABLE} can name one"
#: Optimization level for each type of codes (see :class:`qatviz.export.onnx.runtime.OnnxRunner`).
LEVELS = {"uint8": "ORT_ENABLE_ALL", "int8": "ORT_ENABLE_BASIC"}
#: Runs files on an array: the name of the array, then levels of optimization, one for each file.
_PROGRAM = """
import sys
import numpy as np
import onnxruntime
images = np.load(sys.argv[1])
def fed(inputs):
    parts = [images]
    if len(inputs) > 1:
        ends = np.cumsum([int(np.prod(each.shape[1:])) for each in inputs])[:-1]
        parts = np.split(images, ends, axis=1)
        parts = [part.reshape([len(images), *each.shape[1:]]) for each, part in zip(inputs, parts)]
    return {each.name: part.astype(np.int32) if "int32" in each.type else part for each, part in zip(inputs, parts)}
for i, level in enumerate(sys.argv[2:]):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession("{}.onnx".format(i), options, providers=["CPUExecutionProvider"])
    np.savez("{}.npz".format(i), *session.run(None, fed(session.get_inputs())))
"""


def find():
    """Return the first one found (:class:`newer_python.Newer`); None if there is none."""
    return newer_python.find(VARIABLE, "onnxruntime")


def run_files(newer, directory, images, *files):
    """Return the outputs of files (:class:`qatviz.export.onnx.lowering.OnnxModel`) for images, as lists of arrays.

    Of several inputs, ``images`` are rows.
    ``directory`` (a Path) is for the exchanged files.
    """
    if files[0].layout == "nchw":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    np.save(str(directory / "images.npy"), images)
    for i, file in enumerate(files):
        (directory / f"{i}.onnx").write_bytes(file.content)
    levels = [LEVELS[file.storage.name] for file in files]
    newer_python.run(newer, _PROGRAM, directory, "images.npy", *levels)
    found = []
    for i in range(len(files)):
        with np.load(str(directory / f"{i}.npz")) as arrays:
            found.append([arrays[f"arr_{j}"] for j in range(len(arrays.files))])
    return found
