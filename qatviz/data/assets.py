"""Where the files that come with qatviz are, installed or in a checkout."""

import os

from qatviz.errors import DataError

_PACKAGE_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def asset_dirs():
    """Return the directories that may hold the assets, the installed one first.

    Returns
    -------
    tuple of str
        ``<package>/assets`` (put there by an install from a wheel) and ``<repository>/assets`` (a checkout or an
        editable install, where the directory stays at the top level).
    """
    return os.path.join(_PACKAGE_DIR, "assets"), os.path.join(os.path.dirname(_PACKAGE_DIR), "assets")


def asset_path(name):
    """Return the absolute path of a bundled file.

    Parameters
    ----------
    name : str
        File name below the assets directory, for instance ``"mnist_5k.npz"``.

    Raises
    ------
    DataError
        If neither place has the file; the message names both.
    """
    candidates = [os.path.join(directory, name) for directory in asset_dirs()]
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise DataError(
        "{!r} is missing from this installation of qatviz: looked for {} and {}. Install qatviz again.".format(
            name, *candidates
        )
    )
