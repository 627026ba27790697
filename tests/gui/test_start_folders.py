"""Folders in which dialogs start."""

from PyQt5 import QtWidgets
from staging import StagedRun
from window_stage import file_dialog, prepared_of

from qatviz.errors import SettingError
from qatviz.gui.model.folders import folder_of_runs, remember_folder_of_runs


def test_runs_are_opened_from_the_folder_of_recordings(window, monkeypatch, tmp_path):
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path))
    asked = []
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *a: asked.append(a[2]) or "")
    window.named["open_run"].trigger()
    assert asked == [str(tmp_path)]
    run = StagedRun("mlp")
    window.show_prepared(prepared_of(run, "/runs/a"))
    window.named["open_run"].trigger()
    assert asked[1] == "/runs", "beside the run that is shown"


def test_runs_forks_and_open_share_one_folder_which_a_changed_default_replaces(settings, monkeypatch, tmp_path):
    for name in ("runs", "mine", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path / "runs"))
    assert folder_of_runs(settings) == str(tmp_path / "runs")
    remember_folder_of_runs(settings, str(tmp_path / "mine"))
    assert folder_of_runs(settings) == str(tmp_path / "mine")
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path / "other"))
    assert folder_of_runs(settings) == str(tmp_path / "other"), (
        "not a folder that was chosen instead of another default"
    )
    remember_folder_of_runs(settings, str(tmp_path / "other"))
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path / "runs"))
    assert folder_of_runs(settings) == str(tmp_path / "runs"), "the default itself is not a choice"


def test_without_a_home_directory_open_still_asks_for_a_run(window, monkeypatch):
    asked = []
    monkeypatch.setattr("qatviz.gui.model.folders.runs_folder", lambda: (_ for _ in ()).throw(SettingError("no home")))
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", lambda *a: asked.append(a[2]) or "")
    window.named["open_run"].trigger()
    assert asked == [""]


def test_each_kind_of_file_has_a_folder_of_its_own(staged_window, settings, monkeypatch, tmp_path, app):
    """Opening a run does not move the folder of pictures, and figures and the window are saved to the same one."""
    window, _, _ = staged_window
    for name in ("pictures", "board", "runs"):
        (tmp_path / name).mkdir()
    settings.setValue("figures/directory", str(tmp_path / "pictures"))
    window.launcher.kinds = {str(tmp_path / "runs" / "a"): "run"}
    window.handlers.open_path(str(tmp_path / "runs" / "a"))
    window.named["save_picture"].trigger()
    dialog = file_dialog(app)
    assert dialog.directory().absolutePath() == str(tmp_path / "pictures")
    dialog.reject()
    asked, answers = [], [str(tmp_path / "board"), ""]
    monkeypatch.setattr(window.launcher, "write_tensorboard", lambda *_: None)
    monkeypatch.setattr(
        QtWidgets.QFileDialog, "getExistingDirectory", lambda *a: asked.append(a[2]) or answers[len(asked) - 1]
    )
    for _ in range(2):
        window.named["tensorboard"].trigger()
    assert asked[1] == str(tmp_path / "board")
