"""The command line: options turned into requests, results printed as text, tables and JSON.

TensorFlow is imported by the training thread alone, so that all other commands answer at once.
"""

import os
import sys
from typing import List, Optional

from qatviz.cli.messages import FAILED, USER_ERROR, complain, option_name
from qatviz.cli.window import has_display, window_of_defaults, without_display
from qatviz.errors import QatvizError

__all__ = ["main"]


def main(argv: Optional[List[str]] = None) -> int:
    """Carry out a command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, 2 for what the user got wrong, 1 for everything else.
    """
    argv = sys.argv[1:] if argv is None else argv
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a name that the terminal can't show must not end the program
    try:
        if not argv:
            return window_of_defaults() if has_display() else without_display()
        from qatviz.cli.parser import parse  # all commands, of which a window of defaults needs none

        arguments = parse(argv)
        code: int = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except QatvizError as error:
        complain(f"error: {error.worded(option_name(error.field))}")
        return USER_ERROR
    except KeyboardInterrupt:
        complain("interrupted")
        return FAILED
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SystemExit as ended:  # argparse, after --help and --version
        return int(ended.code or 0)
