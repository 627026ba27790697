"""What was opened lately."""

from typing import List

from PyQt5 import QtCore

_KEY, _KEPT = "recent/paths", 12


class Recent:
    """Paths of run directories and data sets, the newest first, remembered in ``settings``."""

    def __init__(self, settings: QtCore.QSettings):
        self._settings = settings

    def add(self, path: str) -> None:
        """Put a path first."""
        paths = [path] + [known for known in self.paths() if known != path]
        self._settings.setValue(_KEY, paths[:_KEPT])

    def paths(self) -> List[str]:
        """The newest first."""
        value = self._settings.value(_KEY, [])
        return [value] if isinstance(value, str) else list(value or [])
