"""Whether something can be written to a place that the user names, told before it is tried."""

import os


def place_problem(path: str, expected: str = "expected a directory") -> str:
    """Why nothing can be made at ``path`` (absolute), or above it; empty where there is no reason.

    ``expected`` ends the message where a file is in the way.
    """
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        return f"{path}: is a file; {expected}"
    return "" if os.access(path, os.W_OK) else f"{path}: you may not write there"
