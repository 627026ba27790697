"""Recognition of the formats of model files by their contents; other formats are refused with the nearest way."""

import enum
import os
import stat
import zipfile
from typing import Optional

from qatviz.errors import NetworkError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"  # at byte 4, the identifier of flatbuffers
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
#: Members of an archive, or files in a folder, that `model.save("x.keras")` writes.
CONFIG_MEMBER, WEIGHTS_MEMBER = "config.json", "model.weights.h5"
_SAVED_MODEL = "saved_model.pb"
#: All formats, for messages.
SUPPORTED = "a .keras, .h5 or .json file"
_WAY_BACK = f"supported: the Keras model that it was made from, as {SUPPORTED}"


class Format(enum.Enum):
    """Format of a model or its weights."""

    HDF5 = "HDF5"
    ARCHIVE = "archive"
    FOLDER = "folder"
    TEXT = "text"


def format_of(path: str) -> Format:
    """Return the format of the file or folder at `path`; text if it is none of the others.

    Raises
    ------
    NetworkError
        If it is a model of another program, or not a regular file.
    """
    if os.path.isdir(path):
        return _format_of_folder(path)
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
    if os.path.exists(os.path.join(path, CONFIG_MEMBER)):
        return Format.FOLDER
    raise NetworkError(
        f"it is a folder without {CONFIG_MEMBER}, perhaps a SavedModel; supported: {SUPPORTED}; in Keras, "
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
