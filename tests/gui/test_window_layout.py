"""The layout of the window: docks, their proportions, and larger text."""

import itertools

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from window_stage import draw

from qatviz.gui.panels.declarations import DECIDE, PANELS
from qatviz.gui.widgets.controls.column import Column
from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.window.docks import largest_share
from qatviz.gui.window.toolbar import RunToolBar
from qatviz.presentation.histogram import FROZEN, PENDING


def test_layout_is_remembered_and_can_be_reset(open_window, app):
    window = open_window()
    window.docks.docks["events"].close()
    window.docks.docks["network"].setFloating(True)
    window.close()
    again = open_window()
    assert again.docks.docks["events"].isHidden() and again.docks.docks["network"].isFloating()
    again.named["reset_layout"].trigger()
    app.processEvents()
    assert not again.docks.docks["events"].isHidden() and not again.docks.docks["network"].isFloating()


def test_the_scope_of_changes_is_remembered(open_window):
    box = open_window().menuBar().cornerWidget().box
    box.setCurrentIndex(box.findData("activations"))
    box.activated.emit(box.currentIndex())
    again = open_window()
    assert again.menuBar().cornerWidget().box.currentData() == again.edits.scope.kind == "activations"


def test_docks_keep_their_proportions_through_the_smallest_window(window, app):
    """The minimum sizes of panels in a small window change no proportions in a larger one."""
    names = ("quantization", "histograms", "tensor", "evolution")
    window.resize(1280, 800)
    window.show()
    for _ in range(3):
        app.processEvents()
    before = {name: window.docks.docks[name].size() for name in names}
    for size in ((900, 600), (1280, 800), (1900, 1000), (900, 600), (1000, 700), (1280, 800)):
        window.resize(*size)
        window.docks.open("events" if size[0] == 900 else "evolution")  # another tab needs more room
        for _ in range(3):
            app.processEvents()
    for name in names:
        size = window.docks.docks[name].size()
        assert abs(size.width() - before[name].width()) <= 4, name
        assert abs(size.height() - before[name].height()) <= 4, name


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.always("True")
def test_large_text_at_the_start_changes_no_proportions(open_window, app, settings, remembered):
    """Panels of large text need more room: the docks have their former sizes again when the text is small again."""

    def sizes(window):
        window.panels.all()  # those in front have room for large text
        window.resize(1280, 800)
        for _ in range(6):  # fonts, minimum sizes, docks
            app.processEvents()
        return {name: window.docks.docks[name].size() for name in ("quantization", "histograms", "tensor", "evolution")}

    window = open_window()
    wanted = sizes(window)
    window.close()
    if not remembered:
        settings.clear()
    window = open_window(18)
    large = sizes(window)
    assert abs(large["tensor"].width() - wanted["tensor"].width()) > 20, "it needs more"
    if remembered:
        window.close()
        window = open_window(18)
    window.theme.set_font_points(0)
    for name, size in sizes(window).items():
        assert abs(size.width() - wanted[name].width()) <= 2 and abs(size.height() - wanted[name].height()) <= 2, name


@pytest.mark.parametrize("points, width, height", [(9, 900, 600), (14, 1280, 800), (18, 1280, 800)])
def test_no_panel_is_cut_or_covers_another(staged_window, app, points, width, height):
    window, _run, _advance = staged_window
    window.theme.set_font_points(points)
    tensor = window.panels["tensor"]
    tensor._on_channel_picked(1)  # which adds a button to its header
    window.resize(width, height)
    for shown in (("quantization", "histograms", "evolution"), ("run_settings", "network", "events"), ("layers",)):
        for name in shown:
            window.docks.open(name)
        for _ in range(6):  # fonts, minimum sizes, docks
            draw(window, app)
        docks = [dock for dock in window.docks.docks.values() if window.docks._is_in_front(dock)]
        assert len(docks) == 4 and (window.width(), window.height()) == (width, height)
        for cell in tensor.header.cells.values():  # without room, the panel scrolls
            assert cell.height() >= cell.minimumSizeHint().height()
        assert window.docks.docks["tensor"].widget().verticalScrollBar().isVisible() == (points == 18)
        for dock in docks:
            assert window.rect().contains(dock.geometry()), dock.objectName()
            assert dock.rect().contains(dock.widget().geometry()), dock.objectName()
            column = dock.findChild(Column)
            if column is not None:  # controls and headings are whole
                assert column.viewport().width() >= column.widget().minimumSizeHint().width(), dock.objectName()
        assert_apart(docks)
    window.theme.set_font_points(0)


def assert_apart(docks):
    """Check that no dock covers another."""
    for dock, other in itertools.combinations(docks, 2):
        assert not dock.geometry().intersects(other.geometry()), (dock.objectName(), other.objectName())


@pytest.mark.parametrize("width, height", [(900, 600), (1280, 800)])
def test_text_of_twice_the_size_leaves_docks_apart_and_measures_whole(staged_window, app, width, height):
    """Panels that have no room scroll."""
    window, _run, _advance = staged_window
    window.resize(width, height)
    draw(window, app)
    cells = window.panels["tensor"].header.cells.values()
    window.theme.set_font_points(18)
    for _ in range(6):  # fonts, minimum sizes, docks
        draw(window, app)
    assert_apart([dock for dock in window.docks.docks.values() if window.docks._is_in_front(dock)])
    for cell in cells:
        for label in (cell._name, cell.value):
            assert label.sizeHint().width() <= label.width(), (cell.accessibleName(), label.text())
    window.theme.set_font_points(0)


def settle(window, app, docks):
    """Draw until the places of docks stay the same, from the inner layouts to the docks; return them."""
    places, same = [], 0
    for _ in range(500):
        draw(window, app)
        found = [dock.geometry() for dock in docks]
        places, same = found, same + 1 if found == places else 0
        if same == 20:
            return places
    raise AssertionError("the docks never settle")


def test_a_panel_that_needs_more_room_later_leaves_the_docks_in_the_window(staged_window, app):
    """Its scroll area takes what the others do not need."""
    window, _run, _advance = staged_window
    window.resize(900, 600)
    docks = [dock for dock in window.docks.docks.values() if window.docks._is_in_front(dock)]
    before = settle(window, app, docks)
    button = window.panels["tensor"].verdict.button
    for width, places in ((800, None), (0, before)):
        button.setMinimumWidth(width)
        settled = settle(window, app, docks)
        assert_apart(docks)
        assert all(window.rect().contains(dock.geometry()) for dock in docks)
        if places is None:
            bar = window.docks.docks["tensor"].widget().horizontalScrollBar()
            assert bar.isVisible() and bar.maximum() > 0
        else:
            assert settled == places, "as before"


@pytest.mark.parametrize(
    "needs, total, limit",
    [([300, 200, 500], 900, 400), ([300, 200, 500], 2000, 2000), ([300, 300], 400, 200), ([600, 600, 600], 900, 300)],
)
def test_panels_that_need_less_leave_their_width_to_the_others(needs, total, limit):
    assert largest_share(needs, total) == limit
    assert sum(min(need, limit) for need in needs) <= total


def test_histograms_of_the_smallest_window_have_two_rows(staged_window, app):
    window, _run, _advance = staged_window
    window.resize(900, 600)
    panel = window.panels["histograms"]
    for _ in range(3):  # the layout without the legend follows
        draw(window, app)
    area = panel.canvas.viewport().rect()
    whole = [name for name in panel.canvas.visible_names() if area.contains(panel.canvas.rect_of(name))]
    assert len(whole) >= 4 and not panel.hint.isVisible()
    window.resize(1600, 1000)
    draw(window, app)
    legend = [part for key, part in panel.bar._samples.items() if key not in (PENDING, FROZEN)]
    assert all(part.isVisible() for part in legend)
    assert {part.font().pointSizeF() for part in legend} == {panel.bar.control("size").font().pointSizeF()}


@pytest.mark.parametrize("points, width", [(9, 900), (9, 1280), (9, 1900), (18, 1280), (18, 1900)])
@pytest.mark.always("9-900", "18-1280")
def test_the_tool_bar_hides_no_button(window, app, points, width):
    """Where it is narrow, it leaves out texts, first of those whose icons are known."""
    window.theme.set_font_points(points)
    window.resize(width, 800)
    draw(window, app)
    bar = window.findChild(RunToolBar)
    actions = [action for action in bar.actions() if not action.isSeparator()]
    buttons = {action: bar.widgetForAction(action) for action in actions}
    assert all(button.isVisible() and bar.rect().contains(button.geometry()) for button in buttons.values())
    has_text = {
        action.objectName()
        for action, button in buttons.items()
        if button.toolButtonStyle() == QtCore.Qt.ToolButtonTextBesideIcon
    }
    is_narrow = (points, width) in ((9, 900), (18, 1280))
    assert "undo" not in has_text if is_narrow else len(has_text) == len(actions)
    if points == 9:
        assert {"new_run", "open_run", "pause"} <= has_text
    window.named["pause"].setIconText("Continue with this run")  # text that changes is fitted in
    draw(window, app)
    assert all(bar.rect().contains(button.geometry()) for button in buttons.values())
    window.theme.set_font_points(0)


def drag_separator(window, app, left, right, distance):
    """Drag the separator between two docks to the right; return the width of the left one before.

    Qt moves separators with a timer, and docks that are still being fitted may undo a move, or move the separator away
    from the mouse before it is pressed.
    """
    for _ in range(50):
        before = left.width()
        at = QtCore.QPoint((left.geometry().right() + right.geometry().left()) // 2, left.geometry().center().y())
        there = at + QtCore.QPoint(distance, 0)
        move = QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove,
            QtCore.QPointF(there),
            QtCore.Qt.NoButton,
            QtCore.Qt.LeftButton,
            QtCore.Qt.NoModifier,
        )
        QtTest.QTest.mousePress(window, QtCore.Qt.LeftButton, pos=at)
        for _ in range(20):
            app.sendEvent(window, move)
            QtTest.QTest.qWait(10)
            if left.width() > before:
                break
        QtTest.QTest.mouseRelease(window, QtCore.Qt.LeftButton, pos=there)
        for _ in range(3):
            app.processEvents()
        if left.width() > before:
            break
    return before


def test_a_separator_that_is_dragged_sets_the_proportions(window, app):
    docks = window.docks.docks
    window.resize(1280, 800)
    window.show()
    for _ in range(3):
        app.processEvents()
    before = drag_separator(window, app, docks["quantization"], docks["histograms"], 80)
    wide = docks["quantization"].width()
    assert wide >= before + 60
    for size in ((1900, 1000), (1280, 800)):
        window.resize(*size)
        for _ in range(3):
            app.processEvents()
        assert docks["quantization"].width() == pytest.approx(wide * size[0] / 1280, abs=6)


def test_a_growing_window_enlarges_all_docks_equally(window, app):
    names = ("quantization", "histograms", "tensor", "evolution")
    window.show()
    app.processEvents()
    before = {name: window.docks.docks[name].size() for name in names}
    width, height = window.width(), window.height()
    window.resize(width * 3 // 2, height * 3 // 2)
    app.processEvents()
    app.processEvents()
    for name in names:
        dock = window.docks.docks[name]
        assert dock.width() == pytest.approx(1.5 * before[name].width(), rel=0.05), name
        assert dock.height() == pytest.approx(1.5 * before[name].height(), rel=0.1), name


def test_a_window_that_shrinks_again_restores_the_sizes_of_docks(window, app):
    names = ("quantization", "histograms", "tensor", "evolution")
    app.processEvents()
    before, size = [window.docks.docks[name].size() for name in names], window.size()
    window.resize(1920, 1080)
    app.processEvents()
    app.processEvents()
    window.resize(size)
    app.processEvents()
    app.processEvents()
    for name, size in zip(names, before):
        difference = window.docks.docks[name].size() - size
        assert abs(difference.width()) <= 1 and abs(difference.height()) <= 1, name  # rounding


@pytest.mark.parametrize("scale", [1.5, 2.0])
@pytest.mark.parametrize("width", [900, 1280, 1920])
@pytest.mark.always("900-2.0", "1920-1.5")
def test_larger_text_does_not_garble_the_status_bar(staged_window, app, scale, width):
    window, _, _ = staged_window
    window.theme.set_font_points(int(window.font().pointSize() * scale))
    window.resize(width, 800)
    app.processEvents()
    bar = window.statusBar()
    bar.refresh()
    app.processEvents()
    shown = [label for label in (bar.state, *bar.fields.values()) if label.isVisible() and label.text()]
    assert window.width() == width and len(shown) > 1
    for label in shown:
        assert label.height() >= label.fontMetrics().height(), label.text()
        if label is not bar.state:
            assert label.width() >= label.fontMetrics().horizontalAdvance(label.text()), label.text()
    places = sorted((label.x(), label.x() + label.width()) for label in shown)
    assert all(right <= left for (_, right), (left, _) in zip(places, places[1:])) and places[-1][1] <= bar.width()
    window.theme.set_font_points(0)


def test_the_step_of_the_tensor_panel_is_never_cut(staged_window, app):
    window, _, _ = staged_window
    header = window.panels["tensor"].header
    points = window.font().pointSize()
    for scale, width in ((1.0, 1280), (1.5, 1280), (2.0, 900), (2.0, 1920), (1.0, 1920)):
        window.theme.set_font_points(int(points * scale))
        window.resize(width, 800)
        for _ in range(4):
            draw(window, app)
            app.processEvents()
        for button in ((), (header.back,), (header.all_channels,)):
            for other in (header.back, header.all_channels):
                other.setVisible(other in button)
            app.processEvents()
            needed = header.step.fontMetrics().horizontalAdvance("step 100,000")
            assert header.step.isVisible() and header.step.width() >= needed, (scale, width, button)
            assert header.step.height() >= header.step.fontMetrics().height()
    assert header.step.mapTo(header, QtCore.QPoint()).y() < header.chooser.geometry().bottom(), "one row has room"
    window.theme.set_font_points(0)


def settled(sizes, window, app):
    """Draw until the sizes stay the same, which may take several frames on a loaded machine; return them."""
    found = [sizes()]
    while len(found) < 4 or len(set(found[-4:])) > 1:
        draw(window, app)
        found.append(sizes())
    return found[-1]


def test_larger_text_is_larger_everywhere(staged_window, app, qtbot):
    window, _, _ = staged_window
    for name in (panel.name for panel in PANELS):
        window.docks.open(name)
        draw(window, app)
    kinds = (QtWidgets.QLabel, QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox)
    shown = [widget for kind in kinds for widget in window.findChildren(kind)]
    before = [widget.font().pointSizeF() for widget in shown]
    plot = next(iter(window.panels["evolution"].plots.values()))
    controls = window.panels["quantization"].column.widget()

    def sizes():
        return plot.minimumHeight(), controls.minimumSizeHint().width()

    height, width = settled(sizes, window, app)
    window.theme.set_font_points(18)
    draw(window, app)
    factor = 1.6  # small text is smaller by a constant
    for widget, points in zip(shown, before):
        assert widget.font().pointSizeF() >= factor * points, (widget, widget.accessibleName(), points)
    assert plot.minimumHeight() >= 1.4 * height and controls.minimumSizeHint().width() >= 1.3 * width
    window.theme.set_font_points(0)
    draw(window, app)

    def back():
        draw(window, app)
        assert sizes() == (height, width)

    # Nothing stays large; layouts are brought up to date from the inside out, each by an event of its own.
    qtbot.waitUntil(back)


def test_the_place_of_a_text_shrinks_with_it_also_if_its_minimum_is_asked_for_first(app, show):
    """As when the docks limit the panels' minimum sizes during a change of the font."""
    window, label = QtWidgets.QWidget(), QtWidgets.QLabel("46.9 dB")
    rows = QtWidgets.QVBoxLayout(window)
    place = Isolated(label)
    rows.addWidget(place)
    rows.addStretch(1)
    small, large = QtGui.QFont(label.font()), QtGui.QFont(label.font())
    large.setPointSize(30)
    label.setFont(large)
    show(window, 300, 300)
    app.processEvents()
    assert place.height() >= label.sizeHint().height() > 40
    label.setFont(small)
    rows.invalidate()
    rows.sizeHint()
    place.minimumSizeHint()
    for _ in range(3):
        app.processEvents()
    assert place.height() == label.sizeHint().height() < 30


def test_the_tabs_of_a_group_are_visible_if_a_panel_is_opened_before_the_window(window, app):
    window.resize(1600, 960)
    window.docks.arrange()
    window.docks.open("chip")
    window.show()
    for _ in range(3):
        app.processEvents()
    bar = window.docks.groups[DECIDE].bar
    assert bar.isVisible() and bar.height() == bar.sizeHint().height() > 10


def test_the_panels_that_help_to_decide_are_tabs_of_one_dock(window, app):
    window.show()
    docks, bar = window.docks.docks, window.docks.groups[DECIDE].bar
    assert docks["decide"].windowTitle() == "Decide" and not {"sensitivity", "budget"} & set(docks)
    titles = [bar.tabText(index) for index in range(bar.count())]
    assert titles[:2] == ["Sensitivity", "Budget"]
    window.named["decide"].trigger()
    app.processEvents()
    assert window.panels["sensitivity"].isVisible() and not window.panels["budget"].isVisible()
    panels = next(menu for menu in window.findChildren(QtWidgets.QMenu) if menu.title() == "Panels")
    next(action for action in panels.actions() if action.text() == "Budget").trigger()
    app.processEvents()
    assert window.panels["budget"].isVisible() and not window.panels["sensitivity"].isVisible()
    assert window.panels["budget"].is_due()
    bar.setCurrentIndex(titles.index("Sensitivity"))
    window.panels["budget"].mark_due()
    assert window.panels["sensitivity"].isVisible() and not window.panels["budget"].is_due()
