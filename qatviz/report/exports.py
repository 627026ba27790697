"""Proofs of exports, as they lie in a run's directory and beside it. They are files: what is in them is not trusted."""

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from qatviz.number_format import bytes_text

#: What a proof is called in the directory of an export, and how its name ends beside an export that is a file.
PROOF = "parity.json"
#: Larger files are no proofs; deeper folders, and more of them, are not looked through.
MOST_BYTES, MOST_DEPTH, MOST_FOLDERS, MOST_PROOFS = 8_000_000, 6, 2000, 200


class FoundExport(NamedTuple):
    """A proof on disk.

    Attributes
    ----------
    name : str
        Where it is, from the run's directory, with ``/``.
    record : dict
        What is in it, as far as it has the form of a proof; empty where there is a ``problem``.
    problem : str
        Why it can't be told, in a sentence; else empty.
    is_own : bool
        Whether it says that it was made from this run.
    """

    name: str
    record: Dict[str, Any]
    problem: str
    is_own: bool


def find_exports(directory: Path, run_id: Optional[str]) -> List[FoundExport]:
    """The proofs in a run's directory and all below it, then those right beside it that say that they are of this run.

    By name. Links to folders are not followed.
    """
    found = [_read(path, directory, run_id) for path in sorted(_proofs_below(directory))[:MOST_PROOFS]]
    beside = [_read(path, directory, run_id) for path in sorted(_proofs_beside(directory))[:MOST_PROOFS]]
    return found + [export for export in beside if export.is_own]


def _proofs_below(directory: Path) -> Iterator[Path]:
    top = len(directory.parts)
    for number, (folder, folders, files) in enumerate(os.walk(str(directory))):
        if number >= MOST_FOLDERS:
            return
        if len(Path(folder).parts) - top >= MOST_DEPTH:
            del folders[:]
        yield from (Path(folder) / name for name in files if _is_proof(name))


def _proofs_beside(directory: Path) -> Iterator[Path]:
    """Of files in the same folder as the run's directory, and of directories there."""
    try:
        entries = sorted(os.listdir(str(directory.parent)))[:MOST_FOLDERS]
    except OSError:  # no right to look there: it is not the run's
        return
    for name in entries:
        path = directory.parent / name
        if path == directory:
            continue
        if _is_proof(name):
            yield path
        elif (path / PROOF).is_file():
            yield path / PROOF


def _is_proof(name: str) -> bool:
    return name == PROOF or name.endswith("." + PROOF)


def _read(path: Path, directory: Path, run_id: Optional[str]) -> FoundExport:
    name = os.path.relpath(str(path), str(directory)).replace(os.sep, "/")
    try:
        nbytes = path.stat().st_size
        if not path.is_file() or nbytes > MOST_BYTES:
            raise ValueError(f"it is no file, or has {bytes_text(nbytes)}; expected at most {bytes_text(MOST_BYTES)}")
        record = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return FoundExport(name, {}, f"can't be read: {getattr(error, 'strerror', None) or error}", False)
    if not isinstance(record, dict) or not isinstance(record.get("about"), dict):
        return FoundExport(name, {}, "is no proof of an export: it does not say what it is about", False)
    return FoundExport(name, record, "", run_id is not None and record["about"].get("run") == run_id)


def table(record: Dict[str, Any], key: str) -> List[Tuple[str, Dict[str, Any]]]:
    """The rows under ``key``, each a name and its fields; what does not have that form is left out."""
    part = record.get(key)
    return [(name, row) for name, row in part.items() if isinstance(row, dict)] if isinstance(part, dict) else []


def rows(record: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    """The rows under ``key``; what does not have that form is left out."""
    part = record.get(key)
    return [row for row in part if isinstance(row, dict)] if isinstance(part, list) else []


def numbers(record: Dict[str, Any], key: str) -> Dict[str, float]:
    """The numbers under ``key`` by name."""
    part = record.get(key)
    return {name: value for name, value in part.items() if is_number(value)} if isinstance(part, dict) else {}


def texts(record: Dict[str, Any], key: str) -> List[str]:
    """The texts under ``key``."""
    part = record.get(key)
    return [text for text in part if isinstance(text, str)] if isinstance(part, list) else []


def is_number(value: Any) -> bool:
    """Whether it is a number of a size that a computer counts with; a truth value is none."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and not (isinstance(value, int) and abs(value) >= 2**63)
    )


def is_count(value: Any) -> bool:
    """Whether it is a whole number."""
    return is_number(value) and isinstance(value, int)
