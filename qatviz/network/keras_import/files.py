"""Import of Keras models from files. Code in a file is run only if the user allows it."""

import contextlib
import json
import os
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

from qatviz.errors import CodeRefused, NetworkError, QatvizError
from qatviz.network.keras_import.archive import read_archive, read_folder
from qatviz.network.keras_import.config import LAMBDA, parse_model
from qatviz.network.keras_import.convert import ImportedModel, InputShape, convert, supported_layers
from qatviz.network.keras_import.keras_session import isolated_keras
from qatviz.network.keras_import.reader_process import KerasFile, Stored, read_hdf5
from qatviz.network.keras_import.saved_model import read_checkpoint, read_saved_model
from qatviz.network.keras_import.versions import is_of_old_package, with_old_names
from qatviz.network.keras_import.weights import assign_weights
from qatviz.network.keras_import.wrappers import is_wrapped, unwrapped, unwrapped_weights
from qatviz.network.model_formats import WEIGHTS_FORMATS, Format, format_of, located

#: Field of errors about the file with the weights of an architecture.
WEIGHTS_FIELD = "model_weights"
_READERS: Dict[Format, Callable[[str], KerasFile]] = {
    Format.HDF5: read_hdf5,
    Format.ARCHIVE: read_archive,
    Format.FOLDER: read_folder,
    Format.SAVED_MODEL: read_saved_model,
    Format.CHECKPOINT: read_checkpoint,
}


def load_model_file(
    path: Any, weights_path: Any = None, allow_code: bool = False, input_shape: Optional[InputShape] = None
) -> ImportedModel:
    """Import the Keras model in a file.

    Parameters
    ----------
    path : str or path-like
        Whole model (``.keras``, ``.h5`` or the folder of a SavedModel, all of which ``model.save`` writes) or
        architecture (JSON, ``model.to_json()``).
    weights_path : str or path-like, optional
        Weights for an architecture (``.weights.h5``, ``.h5`` or a TensorFlow checkpoint, ``model.save_weights``, or a
        whole model). Without it, the result of an architecture has no parameters.
    allow_code : bool
        True allows Python code in the file (Lambda layers) to be run, with all of the user's permissions.
    input_shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of one example, or shapes of several inputs by name; required if the model does not fix it.

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


def _load(path: str, weights_path: Optional[str], allow_code: bool, input_shape: Optional[InputShape]) -> ImportedModel:
    path = located(path)
    kind = format_of(path)
    if kind in _READERS:
        if weights_path is not None:
            raise NetworkError(
                "it is a whole model, which includes weights; allowed: a weights file only with a JSON file",
                WEIGHTS_FIELD,
            )
        whole = _READERS[kind](path)
        if whole.config is None or whole.weights is None:
            raise NetworkError(_incomplete(whole, kind))
        return _convert(_Source(path, None, kind, whole.version), whole.config, whole.weights, allow_code, input_shape)
    with open(path, encoding="utf-8") as text:
        config = text.read()
    stored = None
    if weights_path is not None:
        with _naming_weights_file(weights_path):
            stored = _read_weights(weights_path)
    return _convert(_Source(path, weights_path, kind), config, stored, allow_code, input_shape)


class _Source(NamedTuple):
    """Files of a model; no file of weights for a whole model, or for an architecture alone.

    ``version`` is that of Keras, if it is not in the description.
    """

    path: str
    weights_path: Optional[str]
    format: Format
    version: Optional[str] = None


def _incomplete(contents: KerasFile, kind: Format) -> str:
    """Return the message about a file without architecture or weights."""
    if kind is Format.SAVED_MODEL and contents.config is None:
        return (
            "it is a SavedModel without Keras' description of its layers, only for inference; supported: the Keras "
            "model that it was exported from, saved by model.save"
        )
    if contents.config is not None:
        return "no weights found; expected: a file that Keras' model.save wrote"
    if contents.weights is not None:
        return "only weights found, no architecture; give the model's JSON file, and this file as weights_path"
    return "no architecture found; expected: a file that Keras' model.save wrote"


def _read_weights(path: str) -> Stored:
    """Return the weights in a file, archive, folder or checkpoint."""
    path = located(path)
    kind = format_of(path)
    if kind not in _READERS:
        raise NetworkError(f"it has no weights; supported: {WEIGHTS_FORMATS}, which model.save_weights writes")
    stored = _READERS[kind](path).weights
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


def _convert(
    source: _Source, config: str, stored: Optional[Stored], allow_code: bool, input_shape: Optional[InputShape]
) -> ImportedModel:
    """Convert a description (JSON) with its weights, or the architecture alone without any.

    The architecture is converted once without weights, so that errors about it come first.
    """
    record = json.loads(config)
    spec = parse_model(record)
    notes: Tuple[str, ...] = ()
    if is_wrapped(record):
        with _naming_weights_file(source.weights_path):
            stored = None if stored is None else unwrapped_weights(stored, record)
        record = unwrapped(record)
        spec, config = parse_model(record), json.dumps(record)
        notes = ("tfmot's wrappers are removed; pruned weights are 0, and qatviz quantizes in place of tfmot",)
    if is_of_old_package(source.version or record.get("keras_version")):
        spec = spec._replace(layers=tuple(layer._replace(config=with_old_names(layer.config)) for layer in spec.layers))
    code = [layer for layer in spec.layers if layer.kind == LAMBDA]
    if code:
        supported_layers(layer for layer in spec.layers if layer.kind != LAMBDA)
        found = f"layer {code[0].path[-1]!r} ({code[0].kind}): it contains Python code"
        if source.format not in (Format.HDF5, Format.TEXT):
            raise NetworkError(
                f"{found}, which needs the version of Keras that wrote the file; nearest: Keras' own layers and "
                "operations in its place"
            )
        found += ", which would run with your permissions"
        if not allow_code:
            raise CodeRefused(f"{found}; allowed: files that you trust, with allow_code", code=found)
        return _load_with_keras(source.path, source.weights_path, input_shape)
    imported = convert(spec, None, input_shape)
    if stored is not None:
        with _naming_weights_file(source.weights_path):
            imported = convert(spec, assign_weights(stored, record), input_shape)
    return imported._replace(notes=notes + imported.notes, origin=replace(imported.origin, config=config))


def _load_with_keras(path: str, weights_path: Optional[str], input_shape: Optional[InputShape]) -> ImportedModel:
    """Load the model with Keras, which runs the file's code."""
    from qatviz.network.keras_import.objects import import_model

    with isolated_keras():
        import tensorflow.compat.v1 as tf

        if weights_path is None:
            model = tf.keras.models.load_model(path, compile=False)
        else:
            with open(path, encoding="utf-8") as text:
                model = tf.keras.models.model_from_json(text.read())
            model.load_weights(weights_path)
        return import_model(model, input_shape)
