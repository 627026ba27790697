"""Import of Keras models from files. Code in a file is run only if the user allows it."""

import contextlib
import json
import os
from dataclasses import replace
from typing import Any, Iterator, Optional

from qatviz.errors import CodeRefused, NetworkError, QatvizError
from qatviz.network.checks import Shape
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import ImportedModel, convert
from qatviz.network.keras_import.hdf5 import KerasHdf5, StoredLayers, read_hdf5
from qatviz.network.keras_import.keras_session import isolated_keras
from qatviz.network.keras_import.weights import assign_weights

#: Field of errors about the file that contains the weights of an architecture.
WEIGHTS_FIELD = "model_weights"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_CODE_LAYERS = ("Lambda",)


def load_model_file(
    path: Any, weights_path: Any = None, allow_code: bool = False, input_shape: Optional[Shape] = None
) -> ImportedModel:
    """Import the Keras model in a file.

    Parameters
    ----------
    path : str or path-like
        Whole model (HDF5, ``model.save("x.h5")``) or architecture (JSON, ``model.to_json()``).
    weights_path : str or path-like, optional
        Weights for an architecture (HDF5, ``model.save_weights("x.h5")``, or a whole model). Without it, the result of
        an architecture has no parameters.
    allow_code : bool
        True allows Python code in the file (Lambda layers) to be run, with all of the user's permissions.
    input_shape : tuple of int, optional
        Shape of one example, required if the model does not fix it.

    Returns
    -------
    ImportedModel
        See :func:`qatviz.network.keras_import.import_model`.

    Raises
    ------
    CodeRefused
        If the file contains code and ``allow_code`` is False.
    NetworkError
        If a file cannot be read or has another format, or a layer cannot be imported.
    """
    path = os.fspath(path)
    weights_path = None if weights_path is None else os.fspath(weights_path)
    try:
        return _load(path, weights_path, allow_code, input_shape)
    except QatvizError as error:
        raise error.of_file(f"model file {path!r}") from error
    # For a damaged file, the libraries that read it raise almost any exception.
    except Exception as error:
        reason = NetworkError(f"cannot be read ({type(error).__name__}: {error})")
        raise reason.of_file(f"model file {path!r}") from error


def _load(path: str, weights_path: Optional[str], allow_code: bool, input_shape: Optional[Shape]) -> ImportedModel:
    if _first_bytes(path).startswith(_HDF5):
        if weights_path is not None:
            raise NetworkError(
                "it is a whole model, which includes weights; allowed: a weights file only with a JSON file",
                WEIGHTS_FIELD,
            )
        whole = read_hdf5(path)
        if whole.config is None or whole.layers is None:
            raise NetworkError(_incomplete(whole))
        return _convert(path, None, whole.config, whole.layers, allow_code, input_shape)
    with open(path, encoding="utf-8") as text:
        config = text.read()
    stored = None
    if weights_path is not None:
        with _naming_weights_file(weights_path):
            stored = _read_weights(weights_path)
    return _convert(path, weights_path, config, stored, allow_code, input_shape)


def _incomplete(contents: KerasHdf5) -> str:
    """Return the message about a file without architecture or weights."""
    if contents.config is not None:
        return "no weights found; expected: a file that Keras' model.save wrote"
    if contents.layers is not None:
        return "only weights found, no architecture; give the model's JSON file, and this file as weights_path"
    return "no architecture found; expected: a file that Keras' model.save wrote"


def _read_weights(path: str) -> StoredLayers:
    if not _first_bytes(path).startswith(_HDF5):
        raise NetworkError(
            "it is not an HDF5 file; allowed: a file that model.save_weights wrote under a name ending in .h5"
        )
    stored = read_hdf5(path).layers
    if stored is None:
        raise NetworkError("no weights found; expected: a file that Keras' model.save_weights wrote")
    return stored


@contextlib.contextmanager
def _naming_weights_file(path: Optional[str]) -> Iterator[None]:
    """Prefix errors raised in the context with the weights file, unless the weights are in the model file (None)."""
    try:
        yield
    except NetworkError as error:
        if path is None:
            raise
        error.field = WEIGHTS_FIELD
        raise error.of_file(f"weights file {path!r}") from error


def _first_bytes(path: str) -> bytes:
    if os.path.isdir(path):
        raise NetworkError(
            "it is a folder, perhaps a SavedModel; allowed: an HDF5 or JSON file; in Keras, model.save('model.h5') "
            "writes one"
        )
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or device, from which reading may block forever
        raise NetworkError("it is not a regular file; allowed: an HDF5 or JSON file")
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start.startswith(_ZIP):
        raise NetworkError(
            "it is a zip archive, the format of Keras 3; allowed: an HDF5 or JSON file; in Keras, "
            "model.save('model.h5') writes one"
        )
    return start


def _convert(
    path: str,
    weights_path: Optional[str],
    config: str,
    stored: Optional[StoredLayers],
    allow_code: bool,
    input_shape: Optional[Shape],
) -> ImportedModel:
    record = json.loads(config)
    spec = parse_model(record)
    code = [layer for layer in spec.layers if layer.kind in _CODE_LAYERS]
    if code and not allow_code:
        found = (
            f"layer {code[0].path[-1]!r} ({code[0].kind}): it contains Python code, which would run with your "
            "permissions"
        )
        raise CodeRefused(f"{found}; allowed: files that you trust, with allow_code", code=found)
    if code:
        return _load_with_keras(path, weights_path, input_shape)
    imported = convert(spec, None, input_shape)  # errors of the architecture are reported before errors of the weights
    if stored is not None:
        with _naming_weights_file(weights_path):
            imported = convert(spec, assign_weights(stored, record), input_shape)
    return imported._replace(origin=replace(imported.origin, config=config))


def _load_with_keras(path: str, weights_path: Optional[str], input_shape: Optional[Shape]) -> ImportedModel:
    """Load the model with Keras, which runs the file's code."""
    import tensorflow.compat.v1 as tf

    from qatviz.network.keras_import.objects import import_model

    with isolated_keras():
        if weights_path is None:
            model = tf.keras.models.load_model(path, compile=False)
        else:
            with open(path, encoding="utf-8") as text:
                model = tf.keras.models.model_from_json(text.read())
            model.load_weights(weights_path)
        return import_model(model, input_shape)
