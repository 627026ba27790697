"""Values that the program remembers for the user, in a file that may be edited, damaged or of another version."""

from typing import Any, List

from PyQt5 import QtCore


class UserSettings(QtCore.QSettings):
    """Settings in which a value of another type than that of its default counts as not remembered."""

    def value(self, key: str, default: Any = None, type: Any = None) -> Any:
        """Return the remembered value in the type of the default, or the default."""
        expected = type or default.__class__
        if default is None or expected is list:
            return super().value(key, default)
        try:
            found = super().value(key, default, type=expected)
        except TypeError:  # it can't be converted
            return default
        return found if isinstance(found, expected) else default


def remembered_paths(settings: QtCore.QSettings, key: str) -> List[str]:
    """Return a remembered list of paths."""
    found = settings.value(key, [])
    if isinstance(found, str):  # a list of one is stored like its item
        return [found]
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
