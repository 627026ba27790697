"""The default folder for runs on every platform."""

import os

import platformdirs
import pytest
from platformdirs import macos, unix, windows

from qatviz.errors import RecordError, SettingError
from qatviz.session.folders import RUNS_VARIABLE, new_run_directory, runs_folder
from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in (RUNS_VARIABLE, "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_on_linux_runs_are_in_the_user_data_directory(home, monkeypatch):
    monkeypatch.setattr(platformdirs, "PlatformDirs", unix.Unix)
    assert runs_folder() == str(home / ".local" / "share" / "qatviz" / "runs")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "elsewhere"))
    assert runs_folder() == str(home / "elsewhere" / "qatviz" / "runs")


def test_on_macos_runs_are_in_application_support(home, monkeypatch):
    monkeypatch.setattr(platformdirs, "PlatformDirs", macos.MacOS)
    assert runs_folder() == str(home / "Library" / "Application Support" / "qatviz" / "runs")


def test_on_windows_runs_are_in_local_application_data(home, monkeypatch):
    monkeypatch.setattr(platformdirs, "PlatformDirs", windows.Windows)
    monkeypatch.setattr(windows, "get_win_folder", windows.get_win_folder_from_env_vars)
    monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData" / "Local"))
    assert runs_folder() == str(home / "AppData" / "Local" / "qatviz" / "runs")


def test_the_folder_can_be_chosen_and_run_directories_are_unique(home, monkeypatch):
    monkeypatch.setenv(RUNS_VARIABLE, str(home / "mine"))
    first = new_run_directory("lenet")
    assert not os.path.exists(first) and os.path.basename(first).endswith("-lenet")
    os.makedirs(first)
    second = new_run_directory("lenet")
    assert os.path.dirname(first) == os.path.dirname(second) == str(home / "mine")
    assert first != second and not os.path.exists(second)
    assert os.path.dirname(new_run_directory("lenet", str(home / "other"))) == str(home / "other")


def test_without_a_home_directory_the_variable_is_named(monkeypatch):
    monkeypatch.setattr(platformdirs, "PlatformDirs", unix.Unix)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where the user is in no list of users
    with pytest.raises(SettingError, match=RUNS_VARIABLE):
        new_run_directory("lenet")


def test_a_folder_that_can_not_be_created_is_an_error_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "file" / "runs"))
    with pytest.raises(RecordError, match="cannot be created: Not a directory"):
        RunRecord.create(new_run_directory("lenet"), {})
