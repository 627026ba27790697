"""Exports that are written by a server and fetched by the viewer, in small pieces between which telemetry passes."""

import os
import shutil
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any, Dict, List, Tuple

from qatviz.atomic_files import atomic_file
from qatviz.errors import ExportError
from qatviz.export.progress import Progress
from qatviz.protocol import values
from qatviz.remote.client import Client
from qatviz.remote.errors import FrameError
from qatviz.remote.forms import form_of, value_of
from qatviz.session.record_requests import ExportRequest
from qatviz.session.workplace import Workplace

#: Bytes of a piece of a file.
_PIECE = 1 << 16
#: Fraction of the progress that the export there takes.
_THERE = 0.9
#: Largest number of files of an export, and of bytes of one.
_MOST_FILES, _LARGEST_FILE = 10_000, 1 << 34


class ExportedFiles:
    """Exports of one viewer, in temporary folders of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: Dict[str, Path] = {}

    def export(self, workplace: Workplace, rows: Any, progress: Progress) -> Dict[str, Any]:
        """Export to a temporary folder; return its id, the record of the proof, and names and sizes of the files."""
        (row,) = values.sequence(rows, "arguments")
        request: ExportRequest = value_of(ExportRequest, row)
        name = Path(request.out).name
        if not name or name in (".", ".."):
            raise ExportError(f"{request.out}: expected the path of a file or folder")
        folder, id = Path(tempfile.mkdtemp(prefix="qatviz-export-")), uuid.uuid4().hex
        with self._lock:
            self._folders[id] = folder
        fields = {**vars(request), "out": str(folder / name)}
        record = workplace.export(ExportRequest(**fields), progress)
        files = [
            [path.relative_to(folder).as_posix(), path.stat().st_size]
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        return {"id": id, "record": record, "folder": str(folder), "files": files}

    def read(self, rows: Any) -> bytes:
        """Return a piece of a file."""
        id, name, offset = values.sequence(rows, "arguments")
        with self._lock:
            folder = self._folders.get(str(id))
        if folder is None:
            raise ExportError("the export is not there any more")
        path = folder / values.name(name, "file")
        if folder.resolve() not in path.resolve().parents:
            raise FrameError(f"{name!r} is no file of the export")
        with open(str(path), "rb") as file:
            file.seek(values.whole(offset, "offset"))
            return file.read(_PIECE)

    def forget(self, rows: Any) -> None:
        """Delete an export, which the viewer has fetched."""
        (id,) = values.sequence(rows, "arguments")
        with self._lock:
            folder = self._folders.pop(str(id), None)
        if folder is not None:
            shutil.rmtree(str(folder), ignore_errors=True)

    def close(self) -> None:
        """Delete all exports."""
        with self._lock:
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
        record, folder = values.mapping(found["record"], "record"), values.text(found["folder"], "folder")
        files = _checked_files(found["files"], Path(request.out).name)
    except (ValueError, KeyError) as error:
        raise FrameError(f"an invalid answer of {client.place}: {error}") from error
    target = Path(request.out).absolute().parent
    total, done = sum(size for _, size in files) or 1, 0
    try:
        for name, size in files:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                position = 0
                while position < size:
                    progress.at(f"fetching {name}", _THERE + (1 - _THERE) * done / total)
                    form, arrays = client.call("read", [found["id"], name, position], [])
                    piece: bytes = value_of(bytes, form, arrays)
                    if not piece:
                        raise ExportError(f"{name}: is shorter than expected")
                    file.write(piece)
                    position += len(piece)
                    done += len(piece)
    except OSError as error:
        raise ExportError(f"{error.filename or target}: can't be written: {error.strerror or error}") from error
    finally:
        client.call("forget", [found["id"]], [])
    return _moved(record, folder, str(target))


def _checked_files(rows: Any, name: str) -> List[Tuple[str, int]]:
    """Return names and sizes of the files of an export; they may be nowhere but at its own path."""
    listed = values.sequence(rows, "files")
    if not 0 < len(listed) <= _MOST_FILES:
        raise values.refusal("number of files", len(listed), f"1 to {_MOST_FILES}")
    found = []
    for row in listed:
        file, size = values.sequence(row, "file")
        parts = values.name(file, "file").split("/")
        if not parts[0].startswith(name) or any(part in ("", ".", "..") or os.sep in part for part in parts):
            raise values.refusal("file", file, f"a file of {name}")
        found.append((file, values.whole(size, "size", 0, _LARGEST_FILE)))
    return found


def _moved(record: Dict[str, Any], folder: str, target: str) -> Dict[str, Any]:
    """Return the record with the paths of the files here."""
    files = [
        target + text[len(folder) :] if isinstance(text, str) and text.startswith(folder) else text
        for text in record.get("files", [])
    ]
    return dict(record, files=files)
