"""Recipes of the window: saved from a run, and loaded as one change."""

from PyQt5 import QtWidgets
from window_stage import file_dialog

from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.recipe import read_recipe, recipe_of


def changes_of(run):
    """Return the number of changes of settings that were sent; panels also send requests for evaluations."""
    return sum(isinstance(command, ChangeSettings) for command in run.sent)


def test_a_recipe_is_saved_and_loaded_as_one_change(staged_window, monkeypatch, tmp_path, app):
    window, run, advance = staged_window
    file, saved = tmp_path / "mine.json", window.model.book
    window.named["save_recipe"].trigger()
    dialog = file_dialog(app)
    dialog.selectFile(str(file))
    dialog.accept()
    assert read_recipe(file) == recipe_of(saved)
    window.edits.edit(["conv1.weights", "conv2.weights"], "num_bits", 3)
    window.edits.apply()
    advance(1)
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    before = changes_of(run)
    window.named["load_recipe"].trigger()
    advance(1)
    assert changes_of(run) == before + 1 and window.model.book.quantizers == saved.quantizers
    window.named["undo"].trigger()
    advance(1)
    assert window.model.book.of("conv2.weights").num_bits == 3


def test_a_recipe_that_does_not_fit_changes_nothing_and_the_message_names_the_rule(
    staged_window, monkeypatch, tmp_path
):
    window, _run, _advance = staged_window
    file = tmp_path / "other.json"
    file.write_text('{"recipe": 1, "rules": [{"tensors": "conv9", "settings": {"num_bits": 4}}]}')
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    window.named["load_recipe"].trigger()
    assert f"{file}: rule 1 (conv9): conv9.num_bits: no tensor is named 'conv9'" in window.banner.text.text()
    assert window.edits.pending == {}
