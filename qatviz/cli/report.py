"""``qatviz report``: a recorded run as one HTML file."""

import argparse
import json
from typing import Any, Callable

from qatviz.cli.messages import OK
from qatviz.number_format import bytes_text
from qatviz.telemetry.record.run_record import RunRecord


def add_command(command: Callable[..., Any]) -> None:
    """Declare the command; ``command`` makes its parser from a name, a function and a summary."""
    parser = command(
        "report", report, "write a recorded run as one HTML file that needs nothing else, also while it goes on"
    )
    parser.add_argument("directory", metavar="RUN", help="the run's directory")
    parser.add_argument("--out", metavar="FILE", help="(default: RUN/report.html)")
    parser.add_argument("--json", action="store_true", help="print where it is, and its size, as one line of JSON")


def report(options: argparse.Namespace) -> int:
    """Write the report, and say where it is.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If it can't be written.
    """
    from qatviz.report.writing import write_report  # much to import for all other commands

    written = write_report(RunRecord.read(options.directory), options.out)
    if options.json:
        print(json.dumps({"file": str(written.path), "bytes": written.nbytes, "step": written.step}))
    else:
        print(f"{written.path}: the run up to step {written.step:,}, {bytes_text(written.nbytes)}")
    return OK
