"""The command line: options turned into requests, results printed as text, tables and JSON.

Only the training thread imports TensorFlow, so that all other commands respond at once.
"""

import sys
from typing import List, Optional

from qatviz.cli.messages import FAILED, USER_ERROR, print_problem
from qatviz.errors import OutputError, QatvizError, explanation
from qatviz.memory import check_room_for_numpy
from qatviz.option_names import option_name
from qatviz.tensorflow_presence import spare_xla
from qatviz.terminal import open_closed_streams

__all__ = ["main"]


def main(argv: Optional[List[str]] = None) -> int:
    """Execute a command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0; 2 for an error of the user; 1 for any other error.
    """
    argv = sys.argv[1:] if argv is None else argv
    open_closed_streams()
    spare_xla()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a name that the terminal can't show must not end the program
    try:
        check_room_for_numpy()  # which all else imports
        if not argv:
            from qatviz.cli.window import has_display, open_default_window, run_without_display

            return open_default_window() if has_display() else run_without_display()
        from qatviz.cli.parser import parse  # imports all commands, which the default window does not need

        arguments = parse(argv)
        code: int = arguments.command(arguments)
        return code
    except OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # head and less end when they have seen enough
            print_problem(f"error: {error}")
        return FAILED
    except QatvizError as error:
        print_problem(f"error: {error.worded(option_name(error.field))}")
        return USER_ERROR
    except KeyboardInterrupt:
        print_problem("interrupted")
        return FAILED
    except SystemExit as ended:  # argparse, after --help and --version
        return int(ended.code or 0)
    except Exception as error:
        explained = explanation(error)
        if explained is None:
            raise
        print_problem(f"error: {explained}")
        return FAILED
