"""Where runs are kept that were given no directory. No Qt: the terminal asks, too."""

import os
import sys
import time

#: Names another folder for them.
RUNS_VARIABLE = "QATVIZ_RUNS"


def runs_folder() -> str:
    """``$QATVIZ_RUNS``, else a folder of the user's data."""
    if os.environ.get(RUNS_VARIABLE):
        return os.environ[RUNS_VARIABLE]
    home = os.path.expanduser("~")
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA", os.path.join(home, "AppData", "Local"))
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(base, "qatviz", "runs")


def new_run_directory(network: str) -> str:
    """A directory that does not exist yet, named after the time and the network."""
    folder = runs_folder()
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, f"{time.strftime('%Y%m%d-%H%M%S')}-{network}")
    path, number = stem, 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}"
    return path
