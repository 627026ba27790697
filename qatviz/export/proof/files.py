"""An export and its proof on disk: all of it, or nothing."""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Union

import numpy as np

from qatviz.export.errors import ExportError

#: What tells a directory that was exported from any other: only such a one is replaced.
_MARK = "parity.json"


def write_export(
    path: Union[str, Path], content: Union[bytes, Mapping[str, bytes]], report: Any, beside: Mapping[str, bytes] = {}
) -> List[Path]:
    """Write a file, and beside it its proof: ``<name>.parity.json``, ``<name>.parity.txt`` and ``<name>.golden.npz``.

    ``<name>`` is the file's whole name, such as ``net.tflite``. Files that are there are replaced. The export itself
    comes last: where it is, there is its proof. A format of several files is a directory, with the proof in it as
    ``parity.json``, ``parity.txt`` and ``golden.npz``; an earlier export of that name is replaced, no other directory
    is.

    Parameters
    ----------
    path : str or Path
    content : bytes, or dict of str to bytes
        Of the file; of the files of a directory, by their paths in it, with ``/``.
    report : ParityReport, or alike
        With ``to_record()``, ``to_text()``, and ``golden``: arrays by name, none if there are no such vectors.
    beside : dict of str to bytes
        Further files of the export by the suffix that takes the place of the file's own, such as ``.json``.

    Returns
    -------
    list of Path
        The export, then the others.

    Raises
    ------
    ExportError
        If they can't be written; then none of them is, and what was there stays.
    """
    path = Path(path).absolute()
    proof = _proof(report)
    if not isinstance(content, bytes):
        _write_directory(path, {**content, **proof})
        return [path] + [path / name for name in (*content, *proof)]
    _check_no_directory(path)
    contents = {path.with_name(path.stem + suffix): part for suffix, part in beside.items()}
    contents.update((path.with_name(f"{path.name}.{name}"), part) for name, part in proof.items())
    contents[path] = content
    _write_together(contents)
    return [path] + [other for other in contents if other != path]


def _proof(report: Any) -> Dict[str, bytes]:
    proof = {
        _MARK: (json.dumps(report.to_record(), indent=1, allow_nan=False) + "\n").encode("utf-8"),
        "parity.txt": (report.to_text() + "\n").encode("utf-8"),
    }
    if report.golden:
        vectors = io.BytesIO()
        np.savez_compressed(vectors, **report.golden)
        proof["golden.npz"] = vectors.getvalue()
    return proof


def _write_together(contents: Dict[Path, bytes]) -> None:
    """Write files under other names; once all are on disk, give them theirs. What was there is kept until all have
    it.
    """
    for path in contents:
        _check_no_directory(path)
    unfinished, old = (
        {path: path.with_name(f".{path.name}.{os.getpid()}.{what}") for path in contents} for what in ("part", "old")
    )
    done: List[Path] = []
    try:
        for path, content in contents.items():
            _write(unfinished[path], content)
        try:
            for path in contents:
                done.append(path)
                if path.exists():
                    os.replace(str(path), str(old[path]))
                os.replace(str(unfinished[path]), str(path))
        except BaseException:  # also what interrupts it: what was there is under another name
            for path in done:
                _put_back(path, old[path], unfinished[path])
            raise
        _remove(old.values())
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        _remove(unfinished.values())


def _remove(files: Iterable[Path]) -> None:
    for path in files:
        if path.exists():
            path.unlink()


def _put_back(path: Path, old: Path, unfinished: Path) -> None:
    """What was at ``path``, if anything, once ``unfinished`` may have taken its place."""
    if old.exists():
        os.replace(str(old), str(path))
    elif not unfinished.exists() and path.exists():
        path.unlink()


def _write_directory(path: Path, contents: Dict[str, bytes]) -> None:
    """Write a directory under another name; once all of it is on disk, give it its own."""
    if path.exists() and not (path / _MARK).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ExportError(
            f"{path}: is there already, and no earlier export; expected a new name, or an empty directory"
        )
    part, old = (path.with_name(f".{path.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        for name, content in contents.items():
            _write(part / name, content)
        try:
            if path.exists():
                os.replace(str(path), str(old))
            os.replace(str(part), str(path))
        except BaseException:
            if old.exists() and not path.exists():
                os.replace(str(old), str(path))
            raise
        shutil.rmtree(str(old), ignore_errors=True)
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        shutil.rmtree(str(part), ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(str(path), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unwritable(error: OSError) -> ExportError:
    return ExportError(f"{error.filename}: can't be written: {error.strerror or error}")


def _check_no_directory(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"{path}: is a directory; expected the name of a file")
