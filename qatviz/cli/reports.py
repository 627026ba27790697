"""``qatviz report`` and ``qatviz tensorboard``: export of a recorded run as one HTML file, or as event files."""

import argparse
import json
from typing import Any, Callable

from qatviz.cli.messages import OK, print_output
from qatviz.number_format import bytes_text
from qatviz.safe_text import shell_word
from qatviz.training.quiet import keep_tensorflow_quiet


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the commands; ``add(name, function, help)`` makes a parser."""
    parser = add("report", report, "write a recorded run as one self-contained HTML file, also while it trains")
    parser.add_argument("directory", metavar="RUN", help="the run's directory")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: RUN/report.html)")
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="add which tensors tolerate few bits, estimated and measured on the newest checkpoint",
    )
    parser.add_argument("--json", action="store_true", help="print the file's path and size as one line of JSON")
    parser = add("tensorboard", tensorboard, "write a recorded run as event files for TensorBoard")
    parser.add_argument("directory", metavar="RUN", help="the run's directory")
    parser.add_argument("--out", metavar="DIR", help="directory of the files (default: RUN/tensorboard)")


def report(options: argparse.Namespace) -> int:
    """Write the report, and print its path.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If the report can't be written.
    """
    from qatviz.session.report import write_recorded  # slow to import; no other command needs it

    keep_tensorflow_quiet()

    written = write_recorded(options.directory, options.out, options.sensitivity)
    if options.json:
        print_output(json.dumps({"file": str(written.path), "bytes": written.nbytes, "step": written.step}))
    else:
        print_output(f"{written.path}: the run up to step {written.step:,}, {bytes_text(written.nbytes)}")
    return OK


def tensorboard(options: argparse.Namespace) -> int:
    """Write the event files, and print how to show them.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If the event files can't be written.
    """
    from qatviz.session.tensorboard import write_recorded

    written = write_recorded(options.directory, options.out)
    print_output(
        f"{written.path}: scalars at {written.steps:,} steps, histograms of {written.snapshots:,} snapshots, "
        f"{bytes_text(written.bytes)}"
    )
    print_output(f"to show them: tensorboard --logdir {shell_word(str(written.path.parent))}")
    return OK
