"""Exports that a server writes and a viewer fetches in small pieces, between which telemetry is sent."""

import contextlib
import itertools
import math
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Deque, Dict, List, Tuple

from qatviz.atomic_files import atomic_file
from qatviz.errors import ExportError, QatvizError
from qatviz.export.progress import Progress
from qatviz.protocol import values
from qatviz.remote.client import Client
from qatviz.remote.errors import FrameError
from qatviz.remote.forms import form_of, value_of
from qatviz.session.record_requests import ExportRequest
from qatviz.session.workplace import Workplace

#: Largest size of a piece of a file, in bytes.
_PIECE = 1 << 16
#: Largest number of pieces requested at once.
_MOST_REQUESTS = 16
#: Ratio to the time of the fastest piece above which a piece has waited for others.
_QUEUED = 1.5
#: Fraction done, of an export and its transfer, when the export is complete.
_THERE = 0.9
#: Largest number of files of an export, and of bytes of one.
_MOST_FILES, _LARGEST_FILE = 10_000, 1 << 34

_clock = time.monotonic


class ExportedFiles:
    """Exports of one viewer, in temporary folders on the server's machine. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: Dict[str, Path] = {}  # of complete exports, by id
        self._is_closed = False

    def export(self, workplace: Workplace, rows: Any, progress: Progress) -> Dict[str, Any]:
        """Export to a temporary folder, which :meth:`forget` or :meth:`close` deletes.

        Parameters
        ----------
        workplace : Workplace
        rows : object
            Arguments of the call: the form of an ExportRequest.
        progress : Progress

        Returns
        -------
        dict
            JSON-able: the export's ``id``, the ``record`` of the proof, the path ``folder``, and ``files`` with the
            path of each in the folder and its size in bytes.

        Raises
        ------
        ExportError
            If the export fails, or the connection has ended meanwhile; the folder is deleted.
        FrameError, ValueError
            If the arguments are invalid.
        Cancelled
        """
        (row,) = values.sequence(rows, "arguments")
        request: ExportRequest = value_of(ExportRequest, row)
        name = Path(request.out).name
        if not name or name in (".", ".."):
            raise ExportError(f"{request.out}: expected the path of a file or folder")
        folder, id = Path(tempfile.mkdtemp(prefix="qatviz-export-")), uuid.uuid4().hex
        try:
            record = workplace.export(ExportRequest(**{**vars(request), "out": str(folder / name)}), progress)
            files = [
                [path.relative_to(folder).as_posix(), path.stat().st_size]
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ]
            with self._lock:
                if self._is_closed:
                    raise ExportError(f"{request.out}: the connection has ended during the export")
                self._folders[id] = folder
        except BaseException:
            shutil.rmtree(str(folder), ignore_errors=True)
            raise
        return {"id": id, "record": record, "folder": str(folder), "files": files}

    def read(self, rows: Any) -> bytes:
        """Return a piece of a file; empty at the end of the file.

        ``rows`` are the arguments of the call: id of the export, path of the file in its folder, offset in bytes.

        Raises
        ------
        ExportError
            If the export was deleted.
        FrameError, ValueError
            If the arguments are invalid.
        """
        id, name, offset = values.sequence(rows, "arguments")
        with self._lock:
            folder = self._folders.get(str(id))
        if folder is None:
            raise ExportError(f"{name}: the export was deleted on the other machine")
        path = folder / values.name(name, "file")
        if folder.resolve() not in path.resolve().parents:
            raise FrameError(f"{name!r} is no file of the export")
        with open(str(path), "rb") as file:
            file.seek(values.whole(offset, "offset"))
            return file.read(_PIECE)

    def forget(self, rows: Any) -> None:
        """Delete the export with the id in ``rows``, after the viewer has fetched it or given up."""
        (id,) = values.sequence(rows, "arguments")
        with self._lock:
            folder = self._folders.pop(str(id), None)
        if folder is not None:
            shutil.rmtree(str(folder), ignore_errors=True)

    def close(self) -> None:
        """Delete all exports; one in progress will fail and be deleted at its end."""
        with self._lock:
            self._is_closed = True
            folders, self._folders = list(self._folders.values()), {}
        for folder in folders:
            shutil.rmtree(str(folder), ignore_errors=True)


def fetched_export(client: Client, request: ExportRequest, progress: Progress) -> Dict[str, Any]:
    """Export on the other machine, write the files to ``request.out`` here, and return the record of the proof.

    Raises
    ------
    ExportError
        If the export fails, or a file can't be written here.
    LinkError
        If the connection is lost meanwhile.
    Cancelled
    """
    found, _ = client.call("export", [form_of(request, [])], [], progress.part(0.0, _THERE))
    try:
        found = values.mapping(found, "export")
        id, folder = values.text(found["id"], "id"), values.text(found["folder"], "folder")
        record = values.mapping(found["record"], "record")
        files = _checked_files(found["files"], Path(request.out).name)
    except (ValueError, KeyError) as error:
        raise FrameError(f"an invalid answer of {client.place}: {error}") from error
    target = Path(request.out).absolute().parent
    try:
        _fetch(client, id, files, target, progress.part(_THERE, 1.0))
    finally:
        with contextlib.suppress(QatvizError):  # the files are complete here, or another error is raised
            client.call("forget", [id], [])
    return _moved(record, folder, str(target))


def _fetch(client: Client, id: str, files: List[Tuple[str, int]], target: Path, progress: Progress) -> None:
    """Write the files of an export, with their names and sizes in bytes, to the folder ``target``."""
    total, done = sum(size for _, size in files) or 1, 0
    pace = _Pace()
    offsets = ((name, position) for name, size in files for position in range(0, size, _PIECE))
    pieces: Deque[Future[bytes]] = deque()  # of this file and the next ones
    pool = ThreadPoolExecutor(_MOST_REQUESTS, "qatviz-fetch")
    try:
        for name, size in files:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                position = 0
                while position < size:
                    progress.at(f"fetching {name}", done / total)
                    for wanted in itertools.islice(offsets, max(0, pace.requests - len(pieces))):
                        pieces.append(pool.submit(_piece, client, id, *wanted, pace))
                    piece = pieces.popleft().result()
                    if len(piece) != min(_PIECE, size - position):
                        found = position + len(piece)
                        raise ExportError(f"{name}: has {found:,} bytes on {client.place}, expected {size:,}")
                    file.write(piece)
                    position += len(piece)
                    done += len(piece)
    except OSError as error:
        raise ExportError(f"{error.filename or target}: can't be written: {error.strerror or error}") from error
    finally:
        pool.shutdown()


def _piece(client: Client, id: str, name: str, position: int, pace: "_Pace") -> bytes:
    """Return the piece of a file at an offset in bytes."""
    began = _clock()
    form, arrays = client.call("read", [id, name, position], [])
    pace.note(_clock() - began)
    piece: bytes = value_of(bytes, form, arrays)
    return piece


class _Pace:
    """Number of pieces to request at once, so that a long round trip does not limit the throughput.

    It grows while pieces take about as long as the fastest one. Where they take longer, the network is the limit, and
    more of them at once would only delay telemetry. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shortest_s = math.inf
        self.requests = 1

    def note(self, seconds: float) -> None:
        """Adapt to the time that a piece took from its request to its arrival."""
        with self._lock:
            self._shortest_s = min(self._shortest_s, seconds)
            is_queued = seconds > _QUEUED * self._shortest_s
            self.requests = max(1, self.requests - 1) if is_queued else min(_MOST_REQUESTS, self.requests + 1)


def _checked_files(rows: Any, name: str) -> List[Tuple[str, int]]:
    """Return names and sizes, in bytes, of an export's files; ValueError if one is not of its path ``name``.

    Some formats write a second file beside it, such as ``a.json`` or ``a_torch.encodings``.
    """
    stem = Path(name).stem
    beginnings = (name, stem + ".", stem + "_")
    listed = values.sequence(rows, "files")
    if not 0 < len(listed) <= _MOST_FILES:
        raise values.refusal("number of files", len(listed), f"1 to {_MOST_FILES}")
    found = []
    for row in listed:
        file, size = values.sequence(row, "file")
        parts = values.name(file, "file").split("/")
        if not parts[0].startswith(beginnings) or any(part in ("", ".", "..") or os.sep in part for part in parts):
            raise values.refusal("file", file, f"a file of {name}")
        found.append((file, values.whole(size, "size", 0, _LARGEST_FILE)))
    return found


def _moved(record: Dict[str, Any], folder: str, target: str) -> Dict[str, Any]:
    """Return the record with the paths of the files in ``target`` in place of those in ``folder``."""
    files = [
        target + text[len(folder) :] if isinstance(text, str) and text.startswith(folder) else text
        for text in record.get("files", [])
    ]
    return dict(record, files=files)
