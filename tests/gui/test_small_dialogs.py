"""Details of a failure, and the list of shortcuts."""

import pytest
from PyQt5 import QtWidgets

from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.dialogs.shortcuts import ALWAYS, ShortcutsDialog


@pytest.fixture
def failure(context, app):
    dialog = DetailsDialog("Training failed", "conv1 is not finite", "Traceback: line 3")
    dialog.show()
    app.processEvents()
    yield dialog
    dialog.close()
    app.processEvents()


def test_details_are_folded_away_until_asked_for(failure, app):
    assert not failure.details.isVisible() and failure.message.isVisible()
    height = failure.height()
    failure.expand.click()
    app.processEvents()
    assert failure.details.isVisible() and failure.height() > height
    assert failure.details.geometry().bottom() <= failure.height()
    failure.expand.click()
    assert not failure.details.isVisible()


def test_all_of_it_is_copied(failure, app):
    failure.copy.click()
    text = app.clipboard().text()
    assert [part in text for part in ("Training failed", "conv1 is not finite", "Traceback: line 3")] == [True] * 3


def test_without_details_there_is_nothing_to_unfold(context, app):
    dialog = DetailsDialog("No display", "There is none.")
    dialog.show()
    assert not dialog.expand.isVisible()
    dialog.close()
    app.processEvents()


def texts(dialog):
    tops = [dialog.tree.topLevelItem(i) for i in range(dialog.tree.topLevelItemCount())]
    return {
        top.text(0): [(top.child(i).text(0), top.child(i).text(1)) for i in range(top.childCount())] for top in tops
    }


def test_shortcuts_are_those_of_the_actions(context, show):
    pause, new, plain = QtWidgets.QAction("&Pause"), QtWidgets.QAction("&New run…"), QtWidgets.QAction("About")
    pause.setShortcut("Space")
    new.setShortcuts(["Ctrl+N", "F2"])
    both = QtWidgets.QAction("Fit && follow")
    both.setShortcut("F")
    dialog = show(ShortcutsDialog([("Run", [pause, new, plain]), ("Help", [plain]), ("View", [both, pause])]))
    found = texts(dialog)
    assert found["Run"] == [("Pause", "Space"), ("New run", "Ctrl+N, F2")]
    assert found["View"] == [("Fit & follow", "F")] and "Help" not in found
    assert len(found["Everywhere"]) == len(ALWAYS)
