"""Scroll areas of panels and dialogs: without room, they scroll, so that all controls can be reached."""

import pytest
from PyQt5 import QtCore, QtWidgets
from window_stage import draw

from qatviz.gui.panels.moments.panel import MomentsPanel
from qatviz.gui.widgets.scrolled import Scrolled
from qatviz.protocol import events

CONTROLS = (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QAbstractSlider)


def settle(window, app):
    for _ in range(6):  # fonts, minimum sizes, docks
        draw(window, app)


def content_of(control, panel):
    """The widget that a control scrolls with: the panel, or the contents of a scroll area within it."""
    inside = control.parentWidget()
    while inside is not panel:
        area = inside.parentWidget() and inside.parentWidget().parentWidget()
        if isinstance(area, QtWidgets.QScrollArea) and area.widget() is inside:
            return inside
        inside = inside.parentWidget()
    return panel


def hidden_parts(panel):
    """The controls of a panel that are smaller than they need, or not wholly in what scrolls."""
    found = [part for kind in CONTROLS for part in panel.findChildren(kind) if part.isVisibleTo(panel)]
    # Scroll bars and tab bars have parts that Qt shrinks.
    found = [
        p for p in found if not isinstance(p, QtWidgets.QScrollBar) and not isinstance(p.parent(), QtWidgets.QTabBar)
    ]
    assert found or isinstance(panel, MomentsPanel)  # which has none without a comparison
    for part in found:
        content = content_of(part, panel)
        rect = QtCore.QRect(part.mapTo(content, QtCore.QPoint()), part.size())
        least = part.minimumSizeHint().boundedTo(part.maximumSize())
        if part.minimumWidth():  # a list whose field may cut its names
            least.setWidth(part.minimumWidth())
        if not content.rect().contains(rect) or rect.width() < least.width() or rect.height() < least.height():
            yield part.accessibleName() or getattr(part, "text", str)(), rect, content.rect(), least


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("points, width, height", [(18, 900, 600), (14, 900, 600), (18, 1280, 800), (9, 900, 560)])
@pytest.mark.always("18-900-600-True", "9-900-560-False", "18-1280-800-False")
def test_all_controls_of_all_panels_can_be_reached(staged_window, app, points, width, height, ended):
    window, run, advance = staged_window
    if ended:  # the settings can be evaluated
        run.end(events.Finished(3))
        advance(0)
        window.edits.edit(["conv1.weights"], "num_bits", 3)
    window.theme.set_font_points(points)
    window.resize(width, height)
    for panel in window.panels.all():
        window.docks.open(panel.name)
        settle(window, app)
        place = panel.parentWidget().parentWidget()
        assert list(hidden_parts(panel)) == [], panel.name
        for bar, room, whole in (
            (place.verticalScrollBar(), place.viewport().height(), panel.height()),
            (place.horizontalScrollBar(), place.viewport().width(), panel.width()),
        ):
            assert bar.maximum() == max(whole - room, 0) and room > 0, panel.name
    window.theme.set_font_points(0)


def test_in_the_smallest_window_the_buttons_below_the_settings_are_in_view(staged_window, app):
    """The settings above them scroll alone."""
    window, run, advance = staged_window
    run.end(events.Finished(3))
    advance(0)
    window.edits.edit(["conv1.weights"], "num_bits", 3)
    window.resize(900, 600)
    settle(window, app)
    place, panel = window.docks.docks["quantization"].widget(), window.panels["quantization"]
    button = panel.what_if_bar.evaluate
    at = button.mapTo(place.viewport(), QtCore.QPoint())
    assert place.viewport().rect().contains(QtCore.QRect(at, button.size()))
    assert not place.verticalScrollBar().isVisible() and panel.column.verticalScrollBar().isVisible()


def test_content_with_room_fills_the_area_and_without_it_scrolls(app, show):
    panel = QtWidgets.QWidget()
    rows = QtWidgets.QVBoxLayout(panel)
    buttons = [QtWidgets.QPushButton(text, minimumHeight=80, minimumWidth=200) for text in "ab"]
    for button in buttons:
        rows.addWidget(button)
    place = show(Scrolled(panel), 400, 300)
    assert panel.size() == place.viewport().size() == QtCore.QSize(400, 300)
    least = panel.minimumSizeHint()
    assert place.minimumSizeHint() == least
    place.limit_minimum(QtCore.QSize(150, 100))
    assert place.minimumSizeHint() == QtCore.QSize(150, 100)
    place.resize(400, 100)
    app.processEvents()
    assert panel.height() == least.height() and panel.width() == place.viewport().width() < 400
    place.ensureWidgetVisible(buttons[1])
    at = buttons[1].mapTo(place.viewport(), QtCore.QPoint())
    assert place.viewport().rect().contains(QtCore.QRect(at, buttons[1].size()))
    place.resize(150, 100)
    assert panel.width() == least.width() and place.horizontalScrollBar().maximum() > 0
    buttons[0].setMinimumHeight(150)  # more than before
    for _ in range(3):
        app.processEvents()
    assert panel.height() == panel.minimumSizeHint().height() > least.height()
    place.resize(400, 300)
    app.processEvents()
    assert panel.size() == place.viewport().size()


@pytest.mark.parametrize("name", ["new_run", "export", "shortcuts", "glossary"])
@pytest.mark.always("new_run", "export")
def test_dialogs_with_large_text_fit_on_a_small_screen(staged_window, app, name):
    """Their contents scroll; the buttons below them are always in view."""
    window, _run, _advance = staged_window
    window.theme.set_font_points(18)
    window.named[name].trigger()
    (dialog,) = [found for found in window.findChildren(QtWidgets.QDialog) if found.isVisible()]
    room = QtWidgets.QApplication.primaryScreen().availableSize()
    for _ in range(4):
        app.processEvents()
    least = dialog.minimumSizeHint()
    assert least.width() <= room.width() and least.height() <= room.height()
    dialog.resize(room.boundedTo(QtCore.QSize(900, 600)))
    for _ in range(4):
        app.processEvents()
    for area in dialog.findChildren(Scrolled):
        assert not area.isVisible() or list(hidden_parts(area.widget())) == []
    buttons = [found for found in dialog.findChildren(QtWidgets.QPushButton) if found.isVisible()]
    outer = [
        button for button in buttons if not any(area.isAncestorOf(button) for area in dialog.findChildren(Scrolled))
    ]
    assert outer
    for button in outer:
        assert dialog.rect().contains(QtCore.QRect(button.mapTo(dialog, QtCore.QPoint()), button.size())), button.text()
    dialog.close()
    window.theme.set_font_points(0)
