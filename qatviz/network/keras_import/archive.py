"""Reader of ``.keras`` files: archives of the model's description (JSON) and its weights (HDF5), or such a folder."""

# A separate module, so that the limits on what is read from others' archives are in one place.

import os
import shutil
import tempfile
import zipfile
from typing import IO

from qatviz.data.checks import check_memory
from qatviz.errors import NetworkError
from qatviz.network.keras_import.reader_process import KerasFile, read_hdf5
from qatviz.network.model_formats import CONFIG_MEMBER, WEIGHTS_MEMBER

#: Maximum size of a description in bytes; those of the largest models in tf.keras.applications have 1 MB.
MAX_CONFIG_BYTES = 64_000_000
#: Maximum ratio of the sizes of weights and archive. Keras does not compress; weights in use hardly compress.
MAX_COMPRESSION = 100


def read_archive(path: str) -> KerasFile:
    """Return the contents of the archive at `path`; only two of its members are read, and unpacked under fixed names.

    Raises
    ------
    NetworkError
        If a member is larger than the limits or the memory that is available. For a missing or damaged one, the
        libraries that read it raise errors of their own.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="qatviz-import-") as folder:
        config = _config(archive.open(CONFIG_MEMBER), archive.getinfo(CONFIG_MEMBER).file_size)
        if WEIGHTS_MEMBER not in archive.namelist():
            return KerasFile(config, None)
        info = archive.getinfo(WEIGHTS_MEMBER)
        if info.file_size > MAX_COMPRESSION * os.path.getsize(path):
            raise NetworkError(
                f"{WEIGHTS_MEMBER} is declared with {info.file_size:,} bytes, more than weights compress to"
            )
        check_memory(path, info.file_size)
        weights_path = os.path.join(folder, "weights.h5")
        with archive.open(info) as member, open(weights_path, "wb") as file:
            shutil.copyfileobj(member, file)  # at most file_size bytes, of which zipfile checks the sum
        return KerasFile(config, read_hdf5(weights_path).weights)


def read_folder(path: str) -> KerasFile:
    """Return the contents of a folder with the members of an archive, which Keras writes with ``zipped=False``."""
    config_path, weights_path = os.path.join(path, CONFIG_MEMBER), os.path.join(path, WEIGHTS_MEMBER)
    with open(config_path, "rb") as file:
        config = _config(file, os.path.getsize(config_path))
    return KerasFile(config, read_hdf5(weights_path).weights if os.path.isfile(weights_path) else None)


def _config(file: IO[bytes], size: int) -> str:
    if size > MAX_CONFIG_BYTES:
        raise NetworkError(f"{CONFIG_MEMBER} has {size:,} bytes; allowed: at most {MAX_CONFIG_BYTES:,}")
    return file.read(size).decode("utf-8")
