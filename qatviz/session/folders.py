"""Default directories for recorded runs."""

import os
import time

#: Environment variable with the path of another folder.
RUNS_VARIABLE = "QATVIZ_RUNS"


def runs_folder() -> str:
    """Return ``$QATVIZ_RUNS``, else the folder "runs" in the program's user data directory."""
    if os.environ.get(RUNS_VARIABLE):
        return os.environ[RUNS_VARIABLE]
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("qatviz", appauthor=False), "runs")


def new_run_directory(network: str) -> str:
    """Return the path of a new directory, named after the time and the network."""
    folder = runs_folder()
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, f"{time.strftime('%Y%m%d-%H%M%S')}-{network}")
    path, number = stem, 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}"
    return path
