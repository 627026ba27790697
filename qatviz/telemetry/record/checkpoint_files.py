"""Checkpoints on disk: one uncompressed ``.npz`` file each, written atomically and validated when read.

A file is a zip archive of ``.npy`` members, which ``numpy.load`` can open, too. The member ``__meta__`` is JSON: it
lists the names of all arrays, so that a missing member is detected. The CRC-32 of the archive protects the content of
each member. Pickles and compressed members are rejected.
"""

import errno
import json
import re
import time
import zipfile
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type

import numpy as np

from qatviz.atomic_files import atomic_file, remove_leftovers
from qatviz.errors import QatvizError, RecordError
from qatviz.protocol import values
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.wire import to_json
from qatviz.telemetry.record.legacy import save_reason_of
from qatviz.telemetry.record.own_files import CHECKPOINTS
from qatviz.telemetry.record.schema import reading

SUFFIX = ".npz"
_META = "__meta__"
#: Suffix of the temporary files of version 0.1.0.
_UNFINISHED = ".unfinished"
#: Smallest difference between the times of two checkpoints.
_TIME_STEP_S = 0.001
_ALLOWED_KINDS = "biuf"
_MAX_ITEM_BYTES = 8
#: The header that ``numpy.lib.format`` writes (version 1.0). NumPy's own parser evaluates it as Python,
#: which is not safe for untrusted files.
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][biuf][1248])', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]*)\), \} *\n",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
#: Names that Windows reserves for devices, whatever the suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: Exceptions that zipfile, json and numpy raise for a damaged or malicious archive.
_DAMAGE: Tuple[Type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, TypeError, KeyError, IndexError),
    *(ArithmeticError, AttributeError, EOFError, RecursionError, QatvizError),
)


class CheckpointInfo(NamedTuple):
    """Description of a checkpoint, without its arrays.

    ``created`` is Unix time in seconds, which increases in the order of saving; ``branch`` and ``position`` are the
    place of the state on the branches of the run. ``error`` is empty, or the reason why the file cannot be used;
    ``step`` is -1 then. ``branches`` are parent and starting step of the run's branches from number 1, if the
    checkpoint was saved after its record had failed; else empty.
    """

    name: str
    step: int
    reason: SaveReason
    created: float
    nbytes: int
    error: str = ""
    branch: int = 0
    position: Optional[int] = None
    branches: Tuple[Tuple[int, int], ...] = ()

    @property
    def point(self) -> BranchPoint:
        """Place of the state on the branches of the run."""
        return BranchPoint(self.branch, self.step, self.position)


class CheckpointFiles:
    """Checkpoints of the run in ``directory``, or other arrays in another ``subdirectory``.

    Methods may be called from any thread, but no two threads may write the same name at once.
    """

    def __init__(self, directory: Path, subdirectory: str = CHECKPOINTS):
        self._run = directory
        self._directory = directory / subdirectory
        self._latest: Optional[float] = None

    def save(self, name: str, arrays: Dict[str, np.ndarray], meta: Dict[str, Any]) -> CheckpointInfo:
        """Write a checkpoint, atomically replacing one of the same name.

        Parameters
        ----------
        name : str
            Letters, digits, ``.``, ``_``, ``-``; at most 100.
        arrays : dict of str to np.ndarray
            Arrays of bool, integer or float type.
        meta : dict
            JSON-able; ``step`` (int) and ``reason`` (`SaveReason.to_wire`) are required, ``created`` is added.

        Raises
        ------
        RecordError
            If the name is not allowed, or the file cannot be written; an earlier file then still exists.
        KeyError, ValueError, TypeError
            If an entry of ``meta`` is missing or invalid, or an array's name or type is not allowed.
        """
        path = self._path(name)
        meta = {"created": self._next_time(), **meta, "arrays": sorted(arrays)}
        info = _info(name, meta, 0)
        encoded = np.frombuffer(to_json(meta).encode("utf-8"), np.uint8)
        for array_name, array in arrays.items():
            dtype = np.asarray(array).dtype
            if array_name == _META or dtype.kind not in _ALLOWED_KINDS or dtype.itemsize > _MAX_ITEM_BYTES:
                raise TypeError(f"array {array_name!r} of checkpoint {name!r}: name or type {dtype} is not allowed")
        try:
            if not self._run.is_dir():
                raise FileNotFoundError(errno.ENOENT, "the directory of the run no longer exists")
            self._directory.mkdir(exist_ok=True)
            with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                for array_name, array in [(_META, encoded), *arrays.items()]:
                    with archive.open(f"{array_name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            return info._replace(nbytes=path.stat().st_size)
        except OSError as error:
            raise RecordError(f"{path}: checkpoint not written: {error.strerror or error}") from error

    def _next_time(self) -> float:
        """Return the present time, or if the clock was set back, a time after those of all checkpoints.

        The order of these times determines which checkpoint is the newest, and which is deleted as the oldest.
        """
        if self._latest is None:
            self._latest = max([info.created for info in self.list()], default=0.0)
        self._latest = max(time.time(), self._latest + _TIME_STEP_S)
        return self._latest

    def load(self, name: str) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
        """Return the validated arrays and metadata of a checkpoint.

        Raises
        ------
        RecordError
            If there is no such checkpoint, or it is damaged.
        """
        path = self._path(name)
        if not path.is_file():
            names = ", ".join(sorted(self._names())) or "none"
            raise RecordError(f"{path}: no such checkpoint; available: {names}")
        with _reading(path), _open_archive(path) as archive:
            meta = _read_meta(archive)
            expected = sorted(f"{array_name}.npy" for array_name in [*meta["arrays"], _META])
            if sorted(archive.namelist()) != expected:
                raise ValueError(f"has the members {sorted(archive.namelist())}, expected {expected}")
            _info(name, meta, 0)
            arrays = {array_name: _read_array(archive, array_name) for array_name in meta.pop("arrays")}
        return arrays, meta

    def list(self) -> List[CheckpointInfo]:
        """Return all checkpoints sorted by step and time; one that cannot be read is listed with its error."""
        infos = []
        for name in self._names():
            path = self._path(name)
            try:
                with _reading(path), _open_archive(path) as archive:
                    nbytes = path.stat().st_size
                    infos.append(_info(name, _read_meta(archive), nbytes))
            except RecordError as error:
                if path.exists():  # otherwise it was deleted after the directory was listed
                    infos.append(CheckpointInfo(name, -1, SaveReason(SaveKind.OTHER), 0.0, 0, str(error)))
        return sorted(infos, key=lambda info: (info.step, info.created, info.name))

    def delete(self, name: str) -> None:
        """Delete a checkpoint; RecordError if that fails."""
        path = self._path(name)
        try:
            path.unlink()
        except OSError as error:
            raise RecordError(f"{path}: checkpoint not deleted: {error.strerror or error}") from error

    def remove_unfinished(self) -> None:
        """Remove partial files of a killed process; call only while no other process writes the run."""
        remove_leftovers(self._directory)
        for path in self._directory.glob(f"*{SUFFIX}{_UNFINISHED}"):
            with suppress(OSError):
                path.unlink()

    def _path(self, name: str) -> Path:
        if not _is_name(name):
            raise RecordError(
                f"{name!r} is not allowed as the name of a checkpoint: use at most 100 letters, digits, '.', '_', '-'"
            )
        return self._directory / (name + SUFFIX)

    def _names(self) -> List[str]:
        if not self._directory.is_dir():
            return []
        with _reading(self._directory):  # it may vanish meanwhile
            names = [path.name[: -len(SUFFIX)] for path in self._directory.iterdir() if path.name.endswith(SUFFIX)]
        return list(filter(_is_name, names))


def _is_name(name: str) -> bool:
    """Return whether a checkpoint can have this name, on all systems; other files are not checkpoints."""
    return bool(_NAME.fullmatch(name) and not name.endswith(".") and not _DEVICES.fullmatch(name))


def _info(name: str, meta: Dict[str, Any], nbytes: int) -> CheckpointInfo:
    """Return the description of a checkpoint from its checked metadata."""
    if "seconds" in meta:
        values.seconds(meta["seconds"])
    return CheckpointInfo(
        name,
        values.step(meta["step"]),
        save_reason_of(meta["reason"]),
        values.date(meta["created"], "created"),
        nbytes,
        branch=values.whole(meta.get("branch", 0), "branch"),
        position=values.optional_whole(meta.get("position"), "position"),
        branches=tuple(
            _branch(row, number)
            for number, row in enumerate(values.sequence(meta.get("branches", []), "branches"), start=1)
        ),
    )


def _branch(row: Any, number: int) -> Tuple[int, int]:
    parent, step = values.sequence(row, f"branch {number}")
    return values.whole(parent, f"parent of branch {number}", 0, number - 1), values.step(step)


def _reading(path: Path) -> ContextManager[None]:
    return reading(path, "a checkpoint", _DAMAGE)


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive without compressed members, so that its content cannot be larger than the file."""
    if not path.is_file():
        raise ValueError("it is not a file")  # such as a pipe, on which opening would block
    with zipfile.ZipFile(str(path)) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"member {member.filename!r} is compressed")
        yield archive


def _read_meta(archive: zipfile.ZipFile) -> Dict[str, Any]:
    meta = json.loads(_read_array(archive, _META).astype(np.uint8).tobytes().decode("utf-8"))
    if not isinstance(meta, dict) or not isinstance(meta.get("arrays"), list):
        raise ValueError("its metadata is not that of a checkpoint")
    return meta


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one member as an array; reading all of it makes zipfile verify its CRC."""
    content = archive.read(f"{name}.npy")
    match = _NPY_HEADER.match(content)
    if match is None:
        raise ValueError(f"member {name!r} is not an array of bool, integer or float type")
    type_name, fortran_order, shape_text = (group.decode("ascii") for group in match.groups())
    dtype = np.dtype(type_name)
    shape = tuple(int(n) for n in shape_text.split(",") if n.strip())
    size = 1
    for n in shape:
        size *= n
    if size * dtype.itemsize != len(content) - match.end():
        raise ValueError(f"member {name!r} of the shape {shape} has {len(content) - match.end()} bytes")
    array = np.frombuffer(content, dtype, size, match.end())
    return array.reshape(shape, order="F" if fortran_order == "True" else "C").copy(order="K")
