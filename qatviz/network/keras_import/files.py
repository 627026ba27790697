"""Keras models from files. No code of a file is run, unless the user allows it."""

import contextlib
import json
import os
from dataclasses import replace
from typing import Any, Iterator, Optional

from qatviz.errors import CodeRefused, NetworkError, QatvizError
from qatviz.network.checks import Shape
from qatviz.network.keras_import.config import model_spec
from qatviz.network.keras_import.convert import ImportedModel, convert
from qatviz.network.keras_import.hdf5 import StoredLayers, read_hdf5
from qatviz.network.keras_import.keras_session import own_keras
from qatviz.network.keras_import.weights import assigned

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_HOLDS_CODE = ("Lambda",)


def load_model_file(
    path: Any, weights_path: Any = None, allow_code: bool = False, input_shape: Optional[Shape] = None
) -> ImportedModel:
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
    CodeRefused
        When the file holds code and ``allow_code`` is False.
    NetworkError
        When a file cannot be read or is not such a file, or a layer cannot be imported.
    """
    path = os.fspath(path)
    weights_path = None if weights_path is None else os.fspath(weights_path)
    try:
        return _load(path, weights_path, allow_code, input_shape)
    except QatvizError as error:
        raise type(error)(f"model file {path!r}: {error}") from error
    # A damaged file makes the libraries that read it raise nearly anything; the cause is kept and told.
    except Exception as error:
        raise NetworkError(f"model file {path!r}: it cannot be read ({type(error).__name__}: {error})") from error


def _load(path: str, weights_path: Optional[str], allow_code: bool, input_shape: Optional[Shape]) -> ImportedModel:
    if _first_bytes(path).startswith(_HDF5):
        if weights_path is not None:
            raise NetworkError("it is a whole model, with weights of its own; allowed: weights beside a JSON file")
        whole = read_hdf5(path)
        if whole.config is None or whole.layers is None:
            raise NetworkError(
                "it holds no {}".format(
                    "weights"
                    if whole.config is not None
                    else "architecture; expected is what Keras' model.save wrote"
                    if whole.layers is None
                    else "architecture, only weights; give the model's JSON file, and this one as weights_path"
                )
            )
        return _converted(path, None, whole.config, whole.layers, allow_code, input_shape)
    with open(path, encoding="utf-8") as text:
        config = text.read()
    stored = None
    if weights_path is not None:
        with _weights_file(weights_path):
            stored = _stored_weights(weights_path)
    return _converted(path, weights_path, config, stored, allow_code, input_shape)


def _stored_weights(path: str) -> StoredLayers:
    if not _first_bytes(path).startswith(_HDF5):
        raise NetworkError("it is not HDF5; allowed: what model.save_weights wrote to a name that ends in .h5")
    stored = read_hdf5(path).layers
    if stored is None:
        raise NetworkError("it holds no weights; expected is what Keras' model.save_weights wrote")
    return stored


@contextlib.contextmanager
def _weights_file(path: Optional[str]) -> Iterator[None]:
    """What goes wrong inside is the fault of the weights, and of their file if they have one of their own."""
    try:
        yield
    except NetworkError as error:
        if path is None:
            raise
        raise type(error)(f"weights file {path!r}: {error}") from error


def _first_bytes(path: str) -> bytes:
    if os.path.isdir(path):
        raise NetworkError(
            "it is a folder (a SavedModel?); allowed: an HDF5 or a JSON file; in Keras, "
            "model.save('model.h5') writes one"
        )
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device: reading it may take for ever
        raise NetworkError("it is not a file; allowed: an HDF5 or a JSON file")
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start.startswith(_ZIP):
        raise NetworkError(
            "it is a zip archive, the format of Keras 3; allowed: an HDF5 or a JSON file; in Keras, "
            "model.save('model.h5') writes one"
        )
    return start


def _converted(
    path: str,
    weights_path: Optional[str],
    config: str,
    stored: Optional[StoredLayers],
    allow_code: bool,
    input_shape: Optional[Shape],
) -> ImportedModel:
    record = json.loads(config)
    spec = model_spec(record)
    code = [layer for layer in spec.layers if layer.kind in _HOLDS_CODE]
    if code and not allow_code:
        raise CodeRefused(
            f"layer {code[0].path[-1]!r} ({code[0].kind}): it holds Python code, which would be run with your "
            "rights; allowed: only "
            "for a file that you trust, with allow_code"
        )
    if code:
        return _by_keras(path, weights_path, input_shape)
    imported = convert(spec, None, input_shape)  # what is wrong with it is told before what is wrong with the weights
    if stored is not None:
        with _weights_file(weights_path):
            imported = convert(spec, assigned(stored, record), input_shape)
    return imported._replace(origin=replace(imported.origin, config=config))


def _by_keras(path: str, weights_path: Optional[str], input_shape: Optional[Shape]) -> ImportedModel:
    """Loaded by Keras, which runs the file's code, in a graph and session of its own."""
    import tensorflow.compat.v1 as tf

    from qatviz.network.keras_import.objects import import_model

    with own_keras():
        if weights_path is None:
            model = tf.keras.models.load_model(path, compile=False)
        else:
            with open(path, encoding="utf-8") as text:
                model = tf.keras.models.model_from_json(text.read())
            model.load_weights(weights_path)
        return import_model(model, input_shape)
