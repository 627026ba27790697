"""Paths of the bundled files: in the package of an installation, or beside the package in a checkout."""

import os
from typing import Tuple

from qatviz.errors import DataError

_PACKAGE_DIR = os.path.dirname(os.path.abspath(__file__))


def asset_dirs() -> Tuple[str, str]:
    """Return the directories that may contain the bundled files, that of an installation first.

    Returns
    -------
    tuple of str
        ``<package>/assets`` (installation from a wheel) and ``<repository>/assets`` (checkout or editable
        installation).
    """
    return os.path.join(_PACKAGE_DIR, "assets"), os.path.join(os.path.dirname(_PACKAGE_DIR), "assets")


def asset_path(name: str) -> str:
    """Return the absolute path of a bundled file.

    Parameters
    ----------
    name : str
        Path below the directory of bundled files, such as ``"mnist_5k.npz"``.

    Raises
    ------
    DataError
        If neither directory has the file; the message names both paths.
    """
    candidates = [os.path.join(directory, name) for directory in asset_dirs()]
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise DataError(f"bundled file {name!r} is missing; expected {' or '.join(candidates)}; reinstall qatviz")
