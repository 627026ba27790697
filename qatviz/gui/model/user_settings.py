"""Values that the program remembers for the user, in a file that may be edited, damaged or of another version."""

from typing import Any, List

from PyQt5 import QtCore

#: Prefixes of the keys of paths on the machine of a window's runs, and of other choices for its runs.
_OF_PLACE = ("recent/", "new_run/", "sweep/")


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


class PlaceSettings(UserSettings):
    """Settings of a window on another machine: paths there are remembered apart from those of this machine.

    Parameters
    ----------
    settings : QSettings
        Settings of the windows on this machine, with which all other values are shared.
    place : str
        Name of the machine.
    """

    def __init__(self, settings: QtCore.QSettings, place: str):
        super().__init__(settings.fileName(), settings.format())
        self.place = place

    def value(self, key: str, default: Any = None, type: Any = None) -> Any:
        return super().value(self._key(key), default, type)

    def setValue(self, key: str, value: Any) -> None:
        super().setValue(self._key(key), value)

    def _key(self, key: str) -> str:
        place = self.place.replace("/", "_").replace("\\", "_")
        return f"places/{place}/{key}" if key.startswith(_OF_PLACE) else key


def is_of_place(settings: QtCore.QSettings, key: str) -> bool:
    """Return whether settings remember under ``key`` a path on another machine."""
    return bool(place_of(settings)) and key.startswith(_OF_PLACE)


def place_of(settings: QtCore.QSettings) -> str:
    """Return the name of the machine whose paths settings remember; empty for this one."""
    place: str = getattr(settings, "place", "")
    return place


def remembered_paths(settings: QtCore.QSettings, key: str) -> List[str]:
    """Return a remembered list of paths."""
    found = settings.value(key, [])
    if isinstance(found, str):  # a list of one is stored like its item
        return [found]
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
