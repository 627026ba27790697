"""Keras models from files. No code of a file is run, unless the user allows it."""

import json
import os
from typing import Any, Optional

from qatviz.errors import NetworkError, QatvizError
from qatviz.network.checks import Shape
from qatviz.network.keras_import.config import model_spec
from qatviz.network.keras_import.convert import ImportedModel, convert
from qatviz.network.keras_import.weights import read_weights

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_HOLDS_CODE = ("Lambda",)


def load_model_file(path: Any, weights_path: Any = None, allow_code: bool = False,
                    input_shape: Optional[Shape] = None) -> ImportedModel:
    """The network of a Keras model in a file.

    Parameters
    ----------
    path : str or path-like
        A whole model (HDF5, ``model.save("x.h5")``), or an architecture (JSON, ``model.to_json()``).
    weights_path : str or path-like, optional
        With an architecture: the weights (HDF5, ``model.save_weights("x.h5")``, or a whole model). Without, the result
        has no parameters.
    allow_code : bool
        Whether Python code in the file (Lambda layers) may be run. It can do whatever the user can.
    input_shape : tuple of int, optional
        Of one example, where the model leaves it open.

    Returns
    -------
    ImportedModel
        As of :func:`import_model`.

    Raises
    ------
    NetworkError
        When a file cannot be read, is not such a file or holds code, or a layer cannot be imported.
    """
    path = os.fspath(path)
    weights_path = None if weights_path is None else os.fspath(weights_path)
    try:
        return _load(path, weights_path, allow_code, input_shape)
    except QatvizError as error:
        raise type(error)("model file {!r}: {}".format(path, error)) from error
    # A damaged file makes the libraries that read it raise nearly anything; the cause is kept and told.
    except Exception as error:
        raise NetworkError("model file {!r}: it cannot be read ({}: {})".format(
            path, type(error).__name__, error)) from error


def _load(path: str, weights_path: Optional[str], allow_code: bool, input_shape: Optional[Shape]) -> ImportedModel:
    import h5py  # with TensorFlow's dependencies; not needed by who imports a model as an object
    start = _first_bytes(path)
    if start.startswith(_HDF5):
        if weights_path is not None:
            raise NetworkError("it is a whole model, with weights of its own; allowed: weights beside a JSON file")
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise NetworkError("it holds no architecture{}".format(
                    ", only weights; give the model's JSON file, and this one as weights_path"
                    if "layer_names" in file.attrs else "; expected is what Keras' model.save wrote"))
            record = json.loads(_text(file.attrs["model_config"]))
            return _converted(path, None, record, file, allow_code, input_shape)
    with open(path, encoding="utf-8") as text:
        record = json.load(text)
    if weights_path is None:
        return _converted(path, None, record, None, allow_code, input_shape)
    if not _first_bytes(weights_path).startswith(_HDF5):
        raise NetworkError("weights file {!r}: it is not HDF5; allowed: what model.save_weights wrote to a name that "
                           "ends in .h5".format(weights_path))
    with h5py.File(weights_path, "r") as file:
        return _converted(path, weights_path, record, file, allow_code, input_shape)


def _first_bytes(path: str) -> bytes:
    if os.path.isdir(path):
        raise NetworkError("it is a folder (a SavedModel?); allowed: an HDF5 or a JSON file; in Keras, "
                           "model.save('model.h5') writes one")
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start.startswith(_ZIP):
        raise NetworkError("it is a zip archive, the format of Keras 3; allowed: an HDF5 or a JSON file; in Keras, "
                           "model.save('model.h5') writes one")
    return start


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _converted(path, weights_path, record, file, allow_code, input_shape) -> ImportedModel:
    spec = model_spec(record)
    code = [layer for layer in spec.layers if layer.kind in _HOLDS_CODE]
    if code and not allow_code:
        raise NetworkError("layer {!r} ({}): it holds Python code, which would be run with your rights; allowed: only "
                           "for a file that you trust, with allow_code".format(code[0].path[-1], code[0].kind))
    if code:
        return _by_keras(path, weights_path, input_shape)
    if file is None:
        return convert(spec, None, input_shape)
    convert(spec, None, input_shape)  # what is wrong with the architecture comes before what is wrong with the weights
    return convert(spec, read_weights(file["model_weights"] if "model_weights" in file else file, record), input_shape)


def _by_keras(path: str, weights_path: Optional[str], input_shape: Optional[Shape]) -> ImportedModel:
    """Loaded by Keras, which runs the file's code, in a graph and session of its own."""
    import tensorflow.compat.v1 as tf

    from qatviz.network.keras_import.objects import import_model
    with tf.Graph().as_default(), tf.Session().as_default():
        if weights_path is None:
            model = tf.keras.models.load_model(path, compile=False)
        else:
            with open(path, encoding="utf-8") as text:
                model = tf.keras.models.model_from_json(text.read())
            model.load_weights(weights_path)
        return import_model(model, input_shape)
