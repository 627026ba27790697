"""Folders in which file dialogs start: for each kind of file, the one that was used last."""

import os
from typing import Optional

from PyQt5 import QtCore

from qatviz.errors import SettingError
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.user_settings import is_of_place, place_of
from qatviz.session.folders import new_run_directory, runs_folder

#: Keys of the remembered folders: of new runs, saved pictures and tables, TensorBoard files, data sets, and recipes.
RUNS, FIGURES, TENSORBOARD, DATA = "new_run/place", "figures/directory", "tensorboard/directory", "new_run/data_place"
RECIPES = "recipe/directory"
#: Key of the default folder of runs in place of which the user chose another one.
_INSTEAD_OF = "new_run/place_instead_of"


def folder_of_runs(settings: QtCore.QSettings) -> str:
    """Return the folder in which the user last recorded a new run, else the default one.

    A new default (``QATVIZ_RUNS``) takes precedence over an earlier choice. Without a choice, the result is empty if
    there is no default, as without a home directory, and on another machine, whose default is known there only.
    """
    if place_of(settings):
        return settings.value(RUNS, "")
    try:
        default = runs_folder()
    except SettingError:
        return settings.value(RUNS, "")
    return (settings.value(_INSTEAD_OF, "") == default and settings.value(RUNS, "")) or default


def new_run_folder(settings: QtCore.QSettings, launcher: Optional[Launcher], network: str) -> str:
    """Return the path of a new directory for a run of ``network``, on the machine of the launcher.

    Raises
    ------
    SettingError
        If there is no folder of runs.
    QatvizError
        If the other machine does not answer.
    """
    folder = folder_of_runs(settings)
    if launcher is not None and launcher.place:
        return launcher.new_run_directory(network, folder)
    return new_run_directory(network, folder or None)


def remember_folder_of_runs(settings: QtCore.QSettings, folder: str) -> None:
    """Remember the folder that the user has chosen for new runs."""
    if place_of(settings):
        settings.setValue(RUNS, folder)
        return
    try:
        default = runs_folder()
    except SettingError:
        default = ""
    folder = os.path.abspath(os.path.expanduser(folder))
    settings.setValue(RUNS, "" if default and folder == os.path.abspath(default) else folder)
    settings.setValue(_INSTEAD_OF, default)


def start_folder(settings: QtCore.QSettings, key: str, *defaults: str) -> str:
    """Return the first of these folders that exists: the remembered one, ``defaults``, the home directory.

    On another machine, it is the remembered folder, which may not exist; empty if there is none.
    """
    if is_of_place(settings, key):
        return settings.value(key, "")
    known = [settings.value(key, ""), *defaults]
    return next((folder for folder in known if folder and os.path.isdir(folder)), os.path.expanduser("~"))


def figures_folder(settings: QtCore.QSettings) -> str:
    """Return the folder that a picture or table was last saved to, else the user's pictures."""
    return start_folder(
        settings, FIGURES, QtCore.QStandardPaths.writableLocation(QtCore.QStandardPaths.PicturesLocation)
    )
