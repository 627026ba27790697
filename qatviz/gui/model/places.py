"""Check paths that the user names before anything is written to them."""

import os


def place_problem(path: str, expected: str = "expected a directory") -> str:
    """Return why nothing can be created at the absolute ``path``; empty if something can.

    ``expected`` ends the message where a file is in the way.
    """
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        return f"{path}: is a file; {expected}"
    return "" if os.access(path, os.W_OK) else f"{path}: no permission to write there"
