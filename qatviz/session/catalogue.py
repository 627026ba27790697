"""Catalogue of the recorded runs in a folder: their summaries, the user's labels, and deletion."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from qatviz.atomic_files import write_file
from qatviz.errors import QatvizError, RecordError, SettingError
from qatviz.session.folders import runs_folder
from qatviz.telemetry.record.labels import RunLabels, check_is_run, read_labels
from qatviz.telemetry.record.run_lock import RunLock
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME
from qatviz.telemetry.run_summary import Catalogue, RunSummary, stored_summary, summarize

#: File with the summaries of a folder's runs, so that unchanged records are not read again.
CACHE_NAME = ".qatviz-runs.json"
#: Form of that file; one of another form is replaced.
_CACHE_FORM = 1
#: Maximum number of runs in a catalogue, which then has the newest ones.
MOST_RUNS = 5000
#: Largest file of summaries that is read, bytes.
_MAX_CACHE_BYTES = 1 << 25
#: Files whose size and time show whether a record has changed.
_CHANGING = (DATABASE_NAME, DATABASE_NAME + "-wal")

_Stamp = List[List[int]]
#: Called with the number of runs done, and of all; returns whether to continue.
Watch = Callable[[int, int], bool]


def read_catalogue(folder: Optional[str] = None, watch: Watch = lambda done, of: True) -> Catalogue:
    """Return the runs in a folder.

    Summaries of unchanged records come from a file in the folder, which is written if it can be; what it contains is
    checked. A folder that does not exist has no runs.

    Parameters
    ----------
    folder : str, optional
        By default :func:`qatviz.session.folders.runs_folder`, whose error may be raised.
    watch : callable
        Called before each record; if it returns False, the runs found so far are returned.

    Raises
    ------
    RecordError
        If the folder can't be read.
    """
    path = Path(os.path.expanduser(runs_folder() if folder is None else folder)).absolute()
    found = sorted(_directories(path), reverse=True)
    known = _read_cache(path)
    kept: Dict[str, Any] = {}
    runs, chosen = [], found[:MOST_RUNS]
    for done, (_, directory) in enumerate(chosen):
        if not watch(done, len(chosen)):
            break
        stamp, key = _stamp(directory), directory.relative_to(path).as_posix()
        summary = _from_cache(directory, stamp, known.get(key))
        if summary is None:
            summary = read_summary(directory)
        if not summary.error:
            kept[key] = {"stamp": stamp, "summary": summary.stored()}
        runs.append(summary._replace(labels=_labels(directory)))
    if kept != known and len(runs) == len(chosen):
        _write_cache(path, kept)
    runs.sort(key=lambda run: run.created, reverse=True)
    return Catalogue(str(path), tuple(runs), len(found) - len(chosen))


def read_summary(directory: Path) -> RunSummary:
    """Return the summary of a recorded run with its labels; that of an unreadable record has an error."""
    try:
        summary = summarize(RunRecord.read(directory))
    except QatvizError as error:
        summary = RunSummary(str(directory), error=str(error))
    return summary._replace(labels=_labels(directory))


def summaries_of(directories: Sequence[str]) -> List[RunSummary]:
    """Return the summaries of the runs in ``directories``.

    Raises
    ------
    RecordError
        For the first record that can't be read.
    """
    found = [read_summary(Path(os.path.expanduser(directory)).absolute()) for directory in directories]
    for summary in found:
        if summary.error:
            raise RecordError(summary.error)
    return found


def delete_run(directory: str, move_to_trash: Callable[[str], None]) -> None:
    """Move the directory of a run to the trash.

    Parameters
    ----------
    directory : str
    move_to_trash : callable
        Moves a path to the trash, or raises QatvizError.

    Raises
    ------
    RecordError
        If there is no run, it is being written, or ``directory`` is a link.
    """
    path = Path(os.path.expanduser(directory)).absolute()
    if path.is_symlink():
        raise RecordError(f"{path}: is a link; expected the directory of a run")
    check_is_run(path)
    RunLock(path).release()  # raises an error while another process writes the run
    move_to_trash(str(path))


def _directories(folder: Path, depth: int = 1) -> Iterator[Tuple[int, Path]]:
    """Yield time (ns) and path of each directory with a record in ``folder``, or in a folder in it, such as a sweep."""
    try:
        with os.scandir(str(folder)) as entries:
            for entry in entries:
                path = folder / entry.name
                try:
                    if not entry.is_dir():
                        continue
                    if (path / DATABASE_NAME).is_file():
                        yield (path / DATABASE_NAME).stat().st_mtime_ns, path
                    elif depth and not entry.is_symlink():
                        yield from _directories(path, depth - 1)
                except (OSError, RecordError):
                    continue  # it vanished, or may not be read
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _stamp(directory: Path) -> _Stamp:
    """Return size and times of the files of a record, which differ after it was written."""
    found = []
    for name in _CHANGING:
        try:
            status = os.stat(str(directory / name))
            found.append([status.st_size, status.st_mtime_ns, status.st_ino])
        except OSError:
            found.append([-1, 0, 0])
    return found


def _labels(directory: Path) -> RunLabels:
    try:
        return read_labels(directory)
    except RecordError:  # the labels are a comment: the run can be used without them
        return RunLabels()


def _from_cache(directory: Path, stamp: _Stamp, row: Any) -> Optional[RunSummary]:
    """Return the stored summary of an unchanged record; None if there is none."""
    try:
        return stored_summary(str(directory), row["summary"]) if row["stamp"] == stamp else None
    except (ValueError, TypeError, KeyError, SettingError):
        return None


def _read_cache(folder: Path) -> Dict[str, Any]:
    path = folder / CACHE_NAME
    try:
        if not path.is_file() or path.stat().st_size > _MAX_CACHE_BYTES:
            return {}
        with open(str(path), encoding="utf-8") as file:
            content = json.loads(file.read(_MAX_CACHE_BYTES))
        runs = content["runs"] if content["form"] == _CACHE_FORM else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return runs if isinstance(runs, dict) else {}


def _write_cache(folder: Path, runs: Dict[str, Any]) -> None:
    content = json.dumps({"form": _CACHE_FORM, "runs": runs}, allow_nan=False)
    with contextlib.suppress(OSError):  # the folder may be read-only: the records are read again then
        write_file(folder / CACHE_NAME, content.encode("utf-8"))
