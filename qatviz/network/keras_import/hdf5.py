"""What is in a Keras HDF5 file, read by a process of its own (see `hdf5_reader.py`)."""

import json
import os
import subprocess
import sys
import tempfile
from typing import BinaryIO, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data.checks import memory_limit
from qatviz.errors import NetworkError

_READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdf5_reader.py")

# Damaged files may also keep the library busy for ever. Slow disks read some 10 MB a second.
_PATIENCE_S = 60.0
_SLOWEST_BYTES_PER_S = 1e7

StoredLayers = List[Tuple[str, List[Tuple[str, np.ndarray]]]]
"""Layers with their arrays, by Keras' names for both."""


class KerasHdf5(NamedTuple):
    """`config` is the model's record as text; each is None where the file has no such thing."""

    config: Optional[str]
    layers: Optional[StoredLayers]


def read_hdf5(path: str) -> KerasHdf5:
    """The contents of the file at `path`.

    Raises
    ------
    NetworkError
        When it cannot be read, be it that the HDF5 library does not survive it.
    """
    with tempfile.TemporaryDirectory(prefix="qatviz-import-") as folder:
        patience_s = _PATIENCE_S + os.path.getsize(path) / _SLOWEST_BYTES_PER_S
        try:
            done = subprocess.run(
                [sys.executable, _READER, path, folder, str(memory_limit() // 2)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=patience_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NetworkError(
                f"the HDF5 library did not come to an end with it in {patience_s:.0f} s; is it damaged?"
            ) from error
        contents_path = os.path.join(folder, "contents.json")
        if done.returncode or not os.path.exists(contents_path):
            told = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise NetworkError(
                "the HDF5 library failed on it (exit code "
                f"{done.returncode}{': ' + told[-1] if told else ''}); is it damaged?"
            )
        with open(contents_path, encoding="utf-8") as file:
            contents = json.load(file)
        if "error" in contents:
            raise NetworkError(f"it cannot be read ({contents['error']})")
        with open(os.path.join(folder, "arrays.bin"), "rb") as arrays:
            return KerasHdf5(contents["config"], _with_values(contents["layers"], arrays))


def _with_values(layers, arrays: BinaryIO) -> Optional[StoredLayers]:
    if layers is None:
        return None
    return [
        (name, [(weight, _array(arrays, np.dtype(type_name), shape)) for weight, type_name, shape in weights])
        for name, weights in layers
    ]


def _array(arrays: BinaryIO, dtype: np.dtype, shape: List[int]) -> np.ndarray:
    return np.fromfile(arrays, dtype, int(np.prod(shape, dtype=np.int64))).reshape(shape)
