"""Options of all commands that read a recorded run."""

from typing import Any


def add_recorded_run(parser: Any) -> None:
    """Declare the directory of the run."""
    parser.add_argument("directory", metavar="RUN", help="the run's directory")


def add_checkpoint_and_data(parser: Any) -> None:
    """Declare ``--checkpoint`` and ``--data``."""
    add_checkpoint(parser)
    add_data_path(parser)


def add_checkpoint(parser: Any) -> None:
    """Declare ``--checkpoint``."""
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="checkpoint to use; best: that of the best evaluation (default: the newest)",
    )


def add_data_path(parser: Any) -> None:
    """Declare ``--data``."""
    parser.add_argument(
        "--data", metavar="NAME_OR_PATH", help="current path of the run's data (default: the recorded path)"
    )
