"""Reader of Keras HDF5 files, which runs in a separate process (see `hdf5_reader.py`), and its result."""

import enum
import json
import os
import subprocess
import sys
import tempfile
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data.checks import memory_limit
from qatviz.errors import NetworkError

_READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdf5_reader.py")

#: Time limit of a read (seconds), as a damaged file may keep a library busy forever; and the speed of a slow disk.
_TIMEOUT_S = 60.0
_MIN_BYTES_PER_S = 1e7

StoredLayers = List[Tuple[str, List[Tuple[str, np.ndarray]]]]
"""Layers, or parts of them, with their arrays, under the names in the file."""


class Form(enum.Enum):
    """Names under which a file has layers and arrays."""

    #: Names of layers, in the order in which Keras saved them; the arrays of a nested model are those of one layer.
    NAMES = "names"
    #: Paths of classes, numbered, such as "layers/sequential/layers/conv2d_1"; numbered arrays.
    CLASSES = "classes"
    #: Paths of numbers, such as "layer_with_weights-0/layer_with_weights-2"; Keras' names of the arrays.
    OBJECTS = "objects"
    #: Names of TensorFlow's variables, such as "conv1/kernel", each with a single array.
    VARIABLES = "variables"


class Stored(NamedTuple):
    """Weights in a file."""

    form: Form
    layers: StoredLayers


class KerasFile(NamedTuple):
    """Contents of a file: the model's description as JSON, and the weights; None for what the file does not have.

    ``version`` is that of the Keras that wrote it, if the file has it apart from the description.
    """

    config: Optional[str]
    weights: Optional[Stored]
    version: Optional[str] = None


def read_hdf5(path: str) -> KerasFile:
    """Return the contents of the HDF5 file at `path`.

    Raises
    ------
    NetworkError
        If the file cannot be read, crashes the HDF5 library, keeps it busy for too long, or needs too much memory.
    """
    with tempfile.TemporaryDirectory(prefix="qatviz-import-") as folder:
        timeout_s = _TIMEOUT_S + os.path.getsize(path) / _MIN_BYTES_PER_S
        try:
            done = subprocess.run(
                [sys.executable, _READER, path, folder, str(memory_limit() // 2)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NetworkError(f"reading takes more than {timeout_s:.0f} s; the file may be damaged") from error
        contents_path = os.path.join(folder, "contents.json")
        if done.returncode or not os.path.exists(contents_path):
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise NetworkError(
                f"the HDF5 library failed (exit code {done.returncode}{': ' + lines[-1] if lines else ''}); the file "
                "may be damaged"
            )
        with open(contents_path, encoding="utf-8") as file:
            contents: Dict[str, Any] = json.load(file)
        if "error" in contents:
            raise NetworkError(f"cannot be read ({contents['error']})")
        with open(os.path.join(folder, "arrays.bin"), "rb") as arrays:
            return KerasFile(contents["config"], _stored(contents, arrays), contents["version"])


def _stored(contents: Dict[str, Any], arrays: BinaryIO) -> Optional[Stored]:
    if contents["layers"] is None:
        return None
    layers = [
        (name, [(weight, _array(arrays, np.dtype(type_name), shape)) for weight, type_name, shape in weights])
        for name, weights in contents["layers"]
    ]
    return Stored(Form(contents["form"]), layers)


def _array(arrays: BinaryIO, dtype: np.dtype, shape: List[int]) -> np.ndarray:
    return np.fromfile(arrays, dtype, int(np.prod(shape, dtype=np.int64))).reshape(shape)
