"""Writing of reports, atomically."""

from dataclasses import replace
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Tuple, Union

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.atomic_files import write_file
from qatviz.errors import ExportError
from qatviz.presentation.budget_texts import AdviceTable
from qatviz.presentation.export_sizes import FormatSize
from qatviz.report.page import GENERATOR, page
from qatviz.report.run_data import KnownResults, RunData, read_run
from qatviz.telemetry.record.reader import RecordReader

#: Name of the report in a run's directory.
FILE_NAME = "report.html"
#: Number of bytes that contain `GENERATOR` if a file is a report.
_BEGINNING = 512


class WrittenReport(NamedTuple):
    """Result of writing a report: path, size in bytes, and the last training step in it."""

    path: Path
    nbytes: int
    step: int


def write_report(
    reader: RecordReader,
    path: Optional[Union[str, Path]] = None,
    sizes: Optional[Callable[[RunData], Tuple[FormatSize, ...]]] = None,
    chip: Optional[Callable[[RunData], Optional[ChipEstimate]]] = None,
    known: KnownResults = KnownResults(),
    advice: Optional[AdviceTable] = None,
) -> WrittenReport:
    """Write the report of a recorded run, which may still be running.

    Parameters
    ----------
    reader : RecordReader
    path : str or Path, optional
        Path of the report; by default, `FILE_NAME` in the run's directory. Only a report is replaced.
    sizes : callable, optional
        Function that returns the sizes of the run's exports.
    chip : callable, optional
        Function that returns the network on a chip.
    known : KnownResults
        Results on a state of the run.
    advice : AdviceTable, optional
        Bits within a budget.

    Raises
    ------
    RecordError
        If the record is damaged.
    ExportError
        If the file cannot be written, or is an existing file other than a report.
    """
    path = Path(reader.directory / FILE_NAME if path is None else path).absolute()
    check_free(path)
    run = replace(read_run(reader), advice=advice, **known._asdict())
    run = run if chip is None else replace(run, chip=chip(run))
    return save(run if sizes is None else replace(run, sizes=sizes(run)), path)


def save(run: RunData, path: Path) -> WrittenReport:
    """Write the report of collected data; see :func:`write_report` for the errors."""
    return save_page(page(run), path, run.outcome.step)


def save_page(html: str, path: Path, step: int) -> WrittenReport:
    """Write an HTML document whose last training step is ``step``; ExportError if that fails."""
    content = html.encode("utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error
    return WrittenReport(path, len(content), step)


def check_free(path: Path) -> None:
    """Raise an :class:`ExportError` if a path is a directory or an existing file other than a report."""
    if path.is_dir():
        raise ExportError(f"{path}: found a directory; expected the path of a file")
    if not path.exists():
        return
    try:
        with open(str(path), "rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from error
    if beginning and GENERATOR.encode("ascii") not in beginning:
        raise ExportError(f"{path}: found another file, not a report; expected another path")
