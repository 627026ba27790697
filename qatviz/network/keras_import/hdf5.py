"""Reader of Keras HDF5 files, which runs in a separate process (see `hdf5_reader.py`)."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, BinaryIO, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data.checks import memory_limit
from qatviz.errors import NetworkError

_READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdf5_reader.py")

# A damaged file may keep the HDF5 library busy forever. A slow disk reads about 10 MB/s.
_TIMEOUT_S = 60.0
_MIN_BYTES_PER_S = 1e7

StoredLayers = List[Tuple[str, List[Tuple[str, np.ndarray]]]]
"""Layers and their arrays, both with Keras' names."""


class KerasHdf5(NamedTuple):
    """Contents of a file: the model's description as JSON, and the weights; None if the file does not have them."""

    config: Optional[str]
    layers: Optional[StoredLayers]


def read_hdf5(path: str) -> KerasHdf5:
    """Return the contents of the file at `path`.

    Raises
    ------
    NetworkError
        If the file cannot be read, or crashes the HDF5 library or keeps it busy for too long.
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
            contents = json.load(file)
        if "error" in contents:
            raise NetworkError(f"cannot be read ({contents['error']})")
        with open(os.path.join(folder, "arrays.bin"), "rb") as arrays:
            return KerasHdf5(contents["config"], _stored_layers(contents["layers"], arrays))


def _stored_layers(layers: Any, arrays: BinaryIO) -> Optional[StoredLayers]:
    if layers is None:
        return None
    return [
        (name, [(weight, _array(arrays, np.dtype(type_name), shape)) for weight, type_name, shape in weights])
        for name, weights in layers
    ]


def _array(arrays: BinaryIO, dtype: np.dtype, shape: List[int]) -> np.ndarray:
    return np.fromfile(arrays, dtype, int(np.prod(shape, dtype=np.int64))).reshape(shape)
