"""A report on disk: all of it, or nothing."""

from pathlib import Path
from typing import NamedTuple, Optional, Union

from qatviz.atomic_files import write_file
from qatviz.errors import ExportError
from qatviz.report.page import GENERATOR, page
from qatviz.report.run_data import RunData, read_run
from qatviz.telemetry.record.reader import RecordReader

#: Where in a run's directory its report is.
FILE_NAME = "report.html"
#: A report says within so many bytes what it is.
_BEGINNING = 512


class WrittenReport(NamedTuple):
    """What was written: where, how many bytes, and the last step that it tells of."""

    path: Path
    nbytes: int
    step: int


def write_report(reader: RecordReader, path: Optional[Union[str, Path]] = None) -> WrittenReport:
    """Write the report of a recorded run, which may be going on.

    Parameters
    ----------
    reader : RecordReader
    path : str or Path, optional
        The file; by default `FILE_NAME` in the run's directory. A report that is there is replaced, nothing else is.

    Raises
    ------
    RecordError
        If the record is damaged.
    ExportError
        If the file can't be written, or is there and is no report.
    """
    path = Path(reader.directory / FILE_NAME if path is None else path).absolute()
    check_free(path)
    return save(read_run(reader), path)


def save(run: RunData, path: Path) -> WrittenReport:
    """Write the report of what was gathered; raises as :func:`write_report`."""
    content = page(run).encode("utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror or error}") from error
    return WrittenReport(path, len(content), run.outcome.step)


def check_free(path: Path) -> None:
    """Before anything is read: a record of a run, say, must not be replaced by its report; :class:`ExportError`."""
    if path.is_dir():
        raise ExportError(f"{path}: is a directory; expected the name of a file")
    if not path.exists():
        return
    try:
        with open(str(path), "rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError as error:
        raise ExportError(f"{path}: can't be read: {error.strerror or error}") from error
    if beginning and GENERATOR.encode("ascii") not in beginning:
        raise ExportError(f"{path}: is there already, and is no report; expected another name")
