"""Check paths that the user enters before anything is written to them."""

import os


def path_problem(path: str, expected: str = "expected a directory") -> str:
    """Return the reason why ``path`` (absolute) can't be created; empty if it can.

    ``expected`` ends the message if a part of the path is a file.
    """
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        return f"{path}: is a file; {expected}"
    return "" if os.access(path, os.W_OK) else f"{path}: no permission to write there"
