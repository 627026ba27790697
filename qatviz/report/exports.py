"""Search and parsing of the proofs of exports in and next to a run's directory; the content of files is not trusted."""

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from qatviz.number_format import bytes_text

#: Name of a proof in the directory of an export, and suffix of its name next to an export that is a file.
PROOF = "parity.json"
#: Limits of the search: size of a proof, depth and number of folders, number of proofs.
MAX_BYTES, MAX_DEPTH, MAX_FOLDERS, MAX_PROOFS = 8_000_000, 6, 2000, 200


class FoundExport(NamedTuple):
    """Proof of an export on disk.

    Attributes
    ----------
    name : str
        Path relative to the run's directory, with ``/``.
    record : dict
        Content of the file, of which only ``about`` is known to be a dict; empty if there is a ``problem``.
    problem : str
        Reason why the file cannot be used; completes a sentence that begins with the name. Empty if there is none.
    is_own : bool
        Whether the file declares that the export is of this run.
    """

    name: str
    record: Dict[str, Any]
    problem: str
    is_own: bool


def find_exports(directory: Path, run_id: Optional[str]) -> List[FoundExport]:
    """Return the proofs in a run's directory and below, then those next to it that declare to be of this run.

    Both are sorted by name. Links to folders are not followed.
    """
    found = [_read(path, directory, run_id) for path in sorted(_proofs_below(directory))[:MAX_PROOFS]]
    beside = [_read(path, directory, run_id) for path in sorted(_proofs_beside(directory))[:MAX_PROOFS]]
    return found + [export for export in beside if export.is_own]


def _proofs_below(directory: Path) -> Iterator[Path]:
    """Yield the paths of proofs in a directory and below, within the limits."""
    top = len(directory.parts)
    for number, (folder, folders, files) in enumerate(os.walk(str(directory))):
        if number >= MAX_FOLDERS:
            return
        if len(Path(folder).parts) - top >= MAX_DEPTH:
            del folders[:]
        yield from (Path(folder) / name for name in files if _is_proof(name))


def _proofs_beside(directory: Path) -> Iterator[Path]:
    """Yield the paths of proofs of files and folders in the parent of a run's directory."""
    try:
        entries = sorted(os.listdir(str(directory.parent)))[:MAX_FOLDERS]
    except OSError:  # the parent may not be readable
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
        if not path.is_file() or nbytes > MAX_BYTES:
            raise ValueError(f"found {bytes_text(nbytes)}; expected a file of at most {bytes_text(MAX_BYTES)}")
        record = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return FoundExport(name, {}, f"cannot be read: {getattr(error, 'strerror', None) or error}", False)
    if not isinstance(record, dict) or not isinstance(record.get("about"), dict):
        return FoundExport(name, {}, "is not a proof of an export: the object 'about' is missing", False)
    return FoundExport(name, record, "", run_id is not None and record["about"].get("run") == run_id)


def named_rows(record: Dict[str, Any], key: str) -> List[Tuple[str, Dict[str, Any]]]:
    """Return the (name, fields) pairs of the dict under ``key``; omit anything that does not have this form."""
    part = record.get(key)
    return [(name, row) for name, row in part.items() if isinstance(row, dict)] if isinstance(part, dict) else []


def rows(record: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    """Return the dicts in the list under ``key``; omit anything that does not have this form."""
    part = record.get(key)
    return [row for row in part if isinstance(row, dict)] if isinstance(part, list) else []


def numbers(record: Dict[str, Any], key: str) -> Dict[str, float]:
    """Return the numbers in the dict under ``key`` by name."""
    part = record.get(key)
    return {name: value for name, value in part.items() if is_number(value)} if isinstance(part, dict) else {}


def texts(record: Dict[str, Any], key: str) -> List[str]:
    """Return the strings in the list under ``key``."""
    part = record.get(key)
    return [text for text in part if isinstance(text, str)] if isinstance(part, list) else []


def is_number(value: Any) -> bool:
    """Return whether a value is a float, or an int that fits in 64 bits, but not a bool."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and not (isinstance(value, int) and abs(value) >= 2**63)
    )


def is_count(value: Any) -> bool:
    """Return whether a value is an int that fits in 64 bits, but not a bool."""
    return is_number(value) and isinstance(value, int)
