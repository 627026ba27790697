"""Formats of model files, which are recognized by their contents; other formats are refused with the nearest way."""

import enum
import os
import re
import stat
import zipfile
from typing import NamedTuple, Optional

from qatviz.errors import NetworkError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"  # at byte 4, the identifier of flatbuffers
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
#: Members of an archive, or files in a folder, that `model.save("x.keras")` writes.
CONFIG_MEMBER, WEIGHTS_MEMBER = "config.json", "model.weights.h5"
#: Files in the folder of a SavedModel, at its top.
SAVED_MODEL, METADATA = "saved_model.pb", "keras_metadata.pb"
_CHECKPOINT = re.compile(r"(.+)\.(index|data-\d{5}-of-\d{5})")
_SCRIPT = re.compile(r"(?P<path>.*\.py)(:(?P<name>[A-Za-z_]\w*))?")
#: Suffixes of model files; those of other programs are refused with instructions for the user.
MODEL_ENDINGS = (".h5", ".hdf5", ".json", ".py", ".keras", ".pb", ".tflite", ".onnx", ".pt", ".pth")
#: All formats, for labels and help texts.
MODEL_FORMATS = "a Keras model: .keras, .h5, the folder of a SavedModel, .json (an architecture), or script.py:function"
WEIGHTS_FORMATS = ".weights.h5, .h5 or a TensorFlow checkpoint (its .index)"
#: Filters of file dialogs.
MODEL_FILES = "Keras models (*.keras *.h5 *.hdf5 *.json *.py saved_model.pb);;All files (*)"
WEIGHTS_FILES = "Keras weights (*.h5 *.hdf5 *.index *.keras);;All files (*)"
#: All formats, for messages.
SUPPORTED = "a .keras, .h5 or .json file, or the folder of a SavedModel"
_WAY_BACK = f"supported: the Keras model that it was made from, as {SUPPORTED}"


class Script(NamedTuple):
    """Python file and the name of a function or model in it; "" if none was given."""

    path: str
    name: str


def parse_script_spec(spec: str) -> Optional[Script]:
    """Parse ``path.py:function``; return None for any other form."""
    match = _SCRIPT.fullmatch(spec)
    return None if match is None else Script(match.group("path"), match.group("name") or "")


class Format(enum.Enum):
    """Format of a model or its weights."""

    HDF5 = "HDF5"
    ARCHIVE = "archive"
    FOLDER = "folder"
    SAVED_MODEL = "SavedModel"
    CHECKPOINT = "checkpoint"
    TEXT = "text"


def is_model_folder(path: str) -> bool:
    """Return whether a path is the folder of a SavedModel, or of an archive's members."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (SAVED_MODEL, WEIGHTS_MEMBER))


def located(path: str) -> str:
    """Return the path of a model or its weights from the path of one of its files.

    This is the folder of a SavedModel for a file in it, and the prefix of a checkpoint's files for one of them, or for
    a folder with one checkpoint.
    """
    if os.path.basename(path) in (SAVED_MODEL, METADATA):
        return os.path.dirname(path) or os.curdir
    match = _CHECKPOINT.fullmatch(path)
    if match:
        return match.group(1)
    if os.path.isdir(path) and not is_model_folder(path):
        indices = sorted(name for name in os.listdir(path) if name.endswith(".index"))
        if len(indices) == 1:
            return os.path.join(path, indices[0][: -len(".index")])
    return path


def exists(path: str) -> bool:
    """Return whether there is a file, folder or checkpoint at a path."""
    return os.path.exists(path) or os.path.exists(path + ".index")


def format_of(path: str) -> Format:
    """Return the format of the file, folder or checkpoint at a `located` path; text if it is none of the others.

    Raises
    ------
    NetworkError
        If it is a model of another program, or not a regular file.
    """
    if os.path.isdir(path):
        return _format_of_folder(path)
    if os.path.isfile(path + ".index"):
        return Format.CHECKPOINT
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or device, from which reading may block forever
        raise NetworkError(f"it is not a regular file; supported: {SUPPORTED}")
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start.startswith(_HDF5):
        return Format.HDF5
    if start.startswith(_ZIP):
        return _format_of_archive(path)
    foreign = _foreign(path, start)
    if foreign:
        raise NetworkError(f"it is {foreign}; {_WAY_BACK}")
    return Format.TEXT


def _format_of_folder(path: str) -> Format:
    for member, kind in ((SAVED_MODEL, Format.SAVED_MODEL), (CONFIG_MEMBER, Format.FOLDER)):
        if os.path.isfile(os.path.join(path, member)):
            return kind
    raise NetworkError(
        f"it is a folder without {SAVED_MODEL} or {CONFIG_MEMBER}; supported: {SUPPORTED}; in Keras, "
        "model.save('model.h5') writes one"
    )


def _format_of_archive(path: str) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise NetworkError(f"it is a damaged zip archive ({error}); expected: one that model.save wrote") from error
    if CONFIG_MEMBER in names:
        return Format.ARCHIVE
    if any(name.endswith("data.pkl") for name in names):
        raise NetworkError(f"it is a PyTorch model; supported: the same network in Keras, as {SUPPORTED}")
    raise NetworkError(
        f"it is a zip archive without {CONFIG_MEMBER}; supported: {SUPPORTED}; in Keras, model.save('model.keras') "
        "writes one"
    )


def _foreign(path: str, start: bytes) -> Optional[str]:
    """Return what a file of another program is; None if it is not known as one."""
    ending = os.path.splitext(path)[1].lower()
    if start[4:8] == _TFLITE or ending == ".tflite":
        return "a TensorFlow Lite model, which has no weights to be trained"
    if ending == ".pb":
        return "a frozen TensorFlow graph, which has no layers and no weights to be trained"
    if ending == ".onnx":
        return "an ONNX model, which has no Keras layers"
    if ending in (".pt", ".pth") or start.startswith(_PICKLES):
        return "a PyTorch model or a pickle, which would run code when it is loaded"
    return None
