"""Default directories for recorded runs."""

import os
import time
from typing import Optional

from qatviz.errors import SettingError

#: Environment variable with the path of another folder.
RUNS_VARIABLE = "QATVIZ_RUNS"


def user_folder() -> Optional[str]:
    """Return the program's user data directory; None if the user has no home directory."""
    import platformdirs

    try:
        folder: str = platformdirs.user_data_dir("qatviz", appauthor=False)
    except RuntimeError:  # of newer versions
        return None
    return None if folder.startswith("~") else folder


def runs_folder() -> str:
    """Return ``$QATVIZ_RUNS``, else the folder "runs" in the program's user data directory.

    Raises
    ------
    SettingError
        If the user has no home directory.
    """
    if os.environ.get(RUNS_VARIABLE):
        return os.environ[RUNS_VARIABLE]
    folder = user_folder()
    if folder is None:
        raise SettingError(
            f"there is no home directory in which to record the run: expected the path of a folder in {RUNS_VARIABLE}"
        )
    return os.path.join(folder, "runs")


def new_run_directory(network: str, folder: Optional[str] = None) -> str:
    """Return the path of a new directory, named after the time and the network; the run's record creates it.

    Parameters
    ----------
    network : str
    folder : str, optional
        By default, that of :func:`runs_folder`, whose error may be raised.
    """
    parent = runs_folder() if folder is None else folder
    stem = os.path.join(parent, f"{time.strftime('%Y%m%d-%H%M%S')}-{network}")
    path, number = stem, 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}"
    return path
