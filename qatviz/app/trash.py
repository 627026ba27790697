"""Trash of the desktop, in which deleted files can be found again."""

# Apart from the windows: the command line needs it without them.

import contextlib
import os

from PyQt5 import QtCore

from qatviz.errors import RecordError


def move_to_trash(path: str) -> None:
    """Move a file or directory to the trash of its volume or of the user.

    Raises
    ------
    RecordError
        If that fails; the file is where it was.
    """
    data = QtCore.QStandardPaths.writableLocation(QtCore.QStandardPaths.GenericDataLocation)
    with contextlib.suppress(OSError):  # Qt makes the trash in it, but not the folder itself
        os.makedirs(data, exist_ok=True)
    file = QtCore.QFile(path)
    if not file.moveToTrash():
        raise RecordError(f"{path}: can't be moved to the trash: {file.errorString()}")
