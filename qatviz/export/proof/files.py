"""Writing an export and its proof: all files, or none."""

import io
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

import numpy as np

from qatviz.atomic_files import atomic_directory, write_files
from qatviz.errors import ExportError
from qatviz.export.guide.guide import Guide, guide_files
from qatviz.protocol.recipe import VERSION_KEY, recipe_of
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.record.own_files import refusal_to_replace

#: File that marks a directory as an earlier export: only such a directory is replaced.
_MARK = "parity.json"


def write_export(
    path: Union[str, Path],
    content: Union[bytes, Mapping[str, bytes]],
    report: Any,
    book: SettingsBook,
    beside: Mapping[str, bytes] = {},
    guide: Optional[Guide] = None,
) -> List[Path]:
    """Write a file and, beside it, its proof: ``<name>.parity.json``, ``<name>.parity.txt`` and ``<name>.golden.npz``.

    ``<name>`` is the file's whole name, such as ``net.tflite``. Existing files are replaced. The export itself is
    written last, so there is never an export without its proof. A format of several files is a directory, with the
    proof in it as ``parity.json``, ``parity.txt`` and ``golden.npz``; it replaces an earlier export, but no other
    directory.

    Parameters
    ----------
    path : str or Path
    content : bytes, or dict of str to bytes
        Content of the file, or of the files of a directory by their paths in it, with ``/``.
    report : ParityReport, or similar
        With ``to_record()``, ``to_text()``, and ``golden``: arrays by name, which may be empty.
    book : SettingsBook
        Settings of the exported state, whose recipe the record of the proof contains.
    beside : dict of str to bytes
        Further files of the export, by the suffix that replaces that of the file, such as ``.json``.
    guide : Guide, optional
        Content of ``README.md`` and ``check.py``, whose names have the same prefix as those of the proof.

    Returns
    -------
    list of Path
        The export, then the others.

    Raises
    ------
    ExportError
        If a file can't be written, or belongs to the record of a run; then none is, and existing files stay.
    """
    path = Path(path).absolute()
    proof = _proof(report, book)
    if not isinstance(content, bytes):
        if guide is not None:
            proof.update(guide_files(guide, report, path.name, "", (*content, *proof)))
        _write_directory(path, {**content, **proof})
        return [path] + [path / name for name in (*content, *proof)]
    _check_no_directory(path)  # first, because "/" has no name to derive others from
    contents = {path.with_name(path.stem + suffix): part for suffix, part in beside.items()}
    contents.update((path.with_name(f"{path.name}.{name}"), part) for name, part in proof.items())
    if guide is not None:
        files = [path.name, *(other.name for other in contents)]
        texts = guide_files(guide, report, path.name, path.name + ".", files)
        contents.update((path.with_name(name), text) for name, text in texts.items())
    contents[path] = content
    for other in contents:
        _check_no_directory(other)
        refusal = refusal_to_replace(other)
        if refusal is not None:
            raise ExportError(f"{other}: {refusal}")
    with _export_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_files(contents)
    return [path] + [other for other in contents if other != path]


def proof_record(report: Any, book: SettingsBook) -> Dict[str, Any]:
    """Return the record of a proof with the recipe of the exported settings, for JSON."""
    return dict(report.to_record(), **{VERSION_KEY: recipe_of(book).to_dict()})


def _proof(report: Any, book: SettingsBook) -> Dict[str, bytes]:
    record = proof_record(report, book)
    proof = {
        _MARK: (json.dumps(record, indent=1, allow_nan=False) + "\n").encode("utf-8"),
        "parity.txt": (report.to_text() + "\n").encode("utf-8"),
    }
    if report.golden:
        vectors = io.BytesIO()
        np.savez_compressed(vectors, **report.golden)
        proof["golden.npz"] = vectors.getvalue()
    return proof


def _write_directory(path: Path, contents: Dict[str, bytes]) -> None:
    if path.exists() and not (path / _MARK).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ExportError(f"{path}: exists and is not an earlier export; expected a new name, or an empty directory")
    with _export_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_directory(path) as temporary:
            for name, content in contents.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(content)


@contextmanager
def _export_errors(path: Path) -> Iterator[None]:
    """Raise an :class:`ExportError` for an OSError."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{error.filename or path}: can't be written: {error.strerror or error}") from error


def _check_no_directory(path: Path) -> None:
    if path.is_dir():
        raise ExportError(f"{path}: is a directory; expected the name of a file")
