"""An export and its proof on disk: all of it, or nothing."""

import io
import json
import os
from pathlib import Path
from typing import Dict, List, Union

import numpy as np

from qatviz.export.errors import ExportError
from qatviz.export.parity_report import ParityReport


def write_export(path: Union[str, Path], content: bytes, report: ParityReport) -> List[Path]:
    """Write a file, and beside it its proof: ``<name>.parity.json``, ``<name>.parity.txt`` and ``<name>.golden.npz``.

    ``<name>`` is the file's without its last suffix. Files that are there are replaced. The export itself comes last:
    where it is, there is its proof.

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
    _check_no_directory(path)
    vectors = io.BytesIO()
    np.savez_compressed(vectors, **report.golden)
    beside = {
        ".parity.json": (json.dumps(report.to_record(), indent=1, allow_nan=False) + "\n").encode("utf-8"),
        ".parity.txt": (report.to_text() + "\n").encode("utf-8"),
        ".golden.npz": vectors.getvalue(),
    }
    contents = {path.with_name(path.stem + suffix): proof for suffix, proof in beside.items()}
    contents[path] = content
    _write_together(contents)
    return [path] + [other for other in contents if other != path]


def _write_together(contents: Dict[Path, bytes]) -> None:
    """Write files under other names; once all are on disk, give them theirs."""
    for path in contents:
        _check_no_directory(path)
    unfinished = {path: path.with_name(".{}.{}.part".format(path.name, os.getpid())) for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(str(unfinished[path]), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            os.replace(str(unfinished[path]), str(path))
    except OSError as error:
        raise ExportError("{}: can't be written: {}".format(error.filename, error.strerror or error)) from error
    finally:
        for part in unfinished.values():
            if part.exists():
                part.unlink()


def _check_no_directory(path: Path) -> None:
    if path.is_dir():
        raise ExportError("{}: is a directory; expected the name of a file".format(path))
