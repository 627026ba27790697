"""Details of a failure, and the list of shortcuts."""

import pytest
from PyQt5 import QtWidgets

from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.dialogs.glossary import GlossaryDialog
from qatviz.gui.dialogs.shortcuts import EVERYWHERE, ShortcutsDialog
from qatviz.measures import MEASURES
from qatviz.presentation.histogram import LEGEND
from qatviz.settings import QUANTIZER_SETTINGS


@pytest.fixture
def failure(context, app):
    dialog = DetailsDialog("Training failed", "conv1 is not finite", "Traceback: line 3")
    dialog.show()
    app.processEvents()
    yield dialog
    dialog.close()
    app.processEvents()


def test_details_are_hidden_until_expanded(failure, app):
    assert not failure.details.isVisible() and failure.message.isVisible()
    height = failure.height()
    failure.expand.click()
    app.processEvents()
    assert failure.details.isVisible() and failure.height() > height
    assert failure.details.geometry().bottom() <= failure.height()
    failure.expand.click()
    assert not failure.details.isVisible()


def test_message_and_details_are_copied(failure, app):
    failure.copy.click()
    text = app.clipboard().text()
    assert [part in text for part in ("Training failed", "conv1 is not finite", "Traceback: line 3")] == [True] * 3


def test_a_failure_without_details_cannot_be_expanded(context, app):
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


def test_the_list_of_keys_has_nonempty_groups_and_common_keys(context, show):
    dialog = show(ShortcutsDialog([("Run", [("Pause", "Space")]), ("Help", []), ("View", [("Fit & follow", "F")])]))
    assert texts(dialog) == {
        "Run": [("Pause", "Space")],
        "View": [("Fit & follow", "F")],
        "Everywhere": list(EVERYWHERE),
    }


def test_the_glossary_explains_colours_measures_and_settings(context, show):
    dialog = show(GlossaryDialog(context.theme), 640, 560)
    text = dialog.browser.toPlainText()
    entries = [(entry.label, entry.about) for entry in LEGEND]
    entries += [(term.label, term.help) for term in [*MEASURES.values(), *QUANTIZER_SETTINGS.values()]]
    assert all(f"{label}: {about}" in text for label, about in entries)
    html = dialog.browser.toHtml()
    for name in ("float_values", "in_range", "clipped", "flushed", "range_edge", "ghost"):
        assert getattr(context.theme.colors, name) in html, name


def test_no_action_or_key_in_the_list_of_shortcuts_is_cut(window, app):
    window.named["shortcuts"].trigger()
    (dialog,) = [found for found in window.findChildren(ShortcutsDialog) if found.isVisible()]
    app.processEvents()
    tree = dialog.tree
    for column in range(2):
        assert tree.columnWidth(column) >= tree.sizeHintForColumn(column)
    room = QtWidgets.QApplication.primaryScreen().availableSize().width()
    assert not tree.horizontalScrollBar().isVisible() or dialog.width() == room, "else it scrolls"
    dialog.close()
