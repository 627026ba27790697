"""``qatviz tensorboard``: a recorded run as event files."""

import argparse
from typing import Any, Callable

from qatviz.cli.messages import OK
from qatviz.number_format import bytes_text
from qatviz.session.tensorboard import write_recorded


def add_command(command: Callable[..., Any]) -> None:
    """Declare the command; ``command`` makes its parser from a name, a function and a summary."""
    parser = command("tensorboard", tensorboard, "write a recorded run as event files for TensorBoard")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--out", metavar="DIR", help="a directory of its own (default: DIR/tensorboard)")


def tensorboard(options: argparse.Namespace) -> int:
    """Write the event files, and say how to look at them.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If they can't be written.
    """
    written = write_recorded(options.directory, options.out)
    print(
        f"{written.path}: scalars at {written.steps:,} steps, histograms of {written.snapshots:,} snapshots, "
        f"{bytes_text(written.bytes)}"
    )
    print(f"to look at it: tensorboard --logdir {written.path.parent}")
    return OK
