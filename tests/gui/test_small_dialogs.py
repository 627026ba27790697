"""Details of a failure, and the list of shortcuts."""

import pytest
from qt_use import listed_keys

from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.dialogs.glossary import GlossaryDialog
from qatviz.gui.dialogs.shortcuts import ALL, EVERYWHERE, ShortcutsDialog
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


def test_the_list_of_keys_has_nonempty_groups_and_common_keys(context, show):
    dialog = show(ShortcutsDialog([("Run", [("Pause", "Space")]), ("Help", []), ("View", [("Fit & follow", "F")])]))
    assert listed_keys(dialog) == {
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


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("size", [(900, 600), (1280, 800), (1920, 1080)])
@pytest.mark.always("size0-1.0", "size2-2.0")
def test_no_key_needs_scrolling_in_the_list_of_shortcuts(window, app, size, scale):
    """All of them at once, in columns, where there is room, else those of a group."""
    window.theme.set_font_points(int(window.font().pointSize() * scale))
    window.named["shortcuts"].trigger()
    (dialog,) = [found for found in window.findChildren(ShortcutsDialog) if found.isVisible()]
    dialog.hide()
    dialog.resize(*size)
    dialog.pages.setCurrentRow(0)
    dialog.show()
    app.processEvents()
    assert scale == 2.0 or size != (1920, 1080) or dialog.pages.currentItem().text() == ALL
    first = dialog.pages.currentRow()
    assert first <= 1
    for page in [first, *range(1, dialog.pages.count())]:
        dialog.pages.setCurrentRow(page)
        app.processEvents()
        across, down = dialog.browser.horizontalScrollBar(), dialog.browser.verticalScrollBar()
        assert across.maximum() == 0, dialog.pages.currentItem().text()
        # On the smallest window, twice as large text of the two longest groups is higher than the screen.
        assert down.maximum() == 0 or (size, scale) == ((900, 600), 2.0), dialog.pages.currentItem().text()
    dialog.close()
    window.theme.set_font_points(0)
