"""Keys and menus of the window: one action a key, wherever the focus is; all of them are listed."""

import itertools
from operator import attrgetter

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import activate, focus, listed_keys, press
from window_stage import draw

from qatviz.gui.dialogs.shortcuts import ShortcutsDialog
from qatviz.gui.model.scope import SCOPES
from qatviz.gui.panels.declarations import PANELS
from qatviz.gui.panels.layers.columns import INDEX
from qatviz.gui.widgets.panel import keys_text
from qatviz.gui.window import actions
from qatviz.protocol import commands as c

Qt = QtCore.Qt
DIALOGS = ("new_run", "export", "shortcuts")


def shortcuts_in(top):
    """Return every shortcut of a window: its widget, its context and its key."""
    found = []
    for action in top.findChildren(QtWidgets.QAction):
        if isinstance(action.parent(), QtWidgets.QWidget):
            found += [(action.parent(), action.shortcutContext(), key) for key in action.shortcuts()]
    for shortcut in top.findChildren(QtWidgets.QShortcut):
        found.append((shortcut.parentWidget(), shortcut.context(), shortcut.key()))
    return [(widget, context, key.toString()) for widget, context, key in found if not key.isEmpty()]


def can_collide(one, other):
    """Return whether two shortcuts can apply to the same focused widget, so that Qt calls neither."""
    (a, context_a, key_a), (b, context_b, key_b) = one, other
    if key_a != key_b or a.window() is not b.window():
        return False
    wide = (Qt.WindowShortcut, Qt.ApplicationShortcut)
    return context_a in wide or context_b in wide or a is b or a.isAncestorOf(b) or b.isAncestorOf(a)


def test_no_two_shortcuts_of_the_window_or_a_dialog_share_a_key(staged_window, app):
    window, _, _ = staged_window
    tops = [window]
    for name in DIALOGS:
        window.named[name].trigger()
        app.processEvents()
        tops += [w for w in window.findChildren(QtWidgets.QDialog) if w.isVisible() and w not in tops]
    assert len(tops) == 1 + len(DIALOGS)
    for top in tops:
        known = shortcuts_in(top)
        clashes = [one for one, other in itertools.combinations(known, 2) if can_collide(one, other)]
        assert clashes == [], top.windowTitle()
    assert len(shortcuts_in(window)) > 25
    for top in tops[1:]:
        top.close()


@pytest.mark.parametrize("key", [Qt.Key_Return, Qt.Key_Enter])
def test_ctrl_enter_applies_pending_settings_and_text_that_is_being_typed(staged_window, app, key):
    window, run, _advance = staged_window
    window.edits.set_mode("hold")
    window.edits.edit(["conv1.weights"], "symmetric", False)
    draw(window, app)
    control = window.panels["quantization"].sections["weights"].controls["num_bits"]
    box = control.editor.findChild(QtWidgets.QAbstractSpinBox)
    focus(box)
    box.selectAll()
    QtTest.QTest.keyClicks(box, "4")
    press(box, key, Qt.ControlModifier)
    assert run.sent[-1] == c.ChangeSettings((("conv1.weights.symmetric", False), ("conv1.weights.num_bits", 4)))


def test_tiles_have_the_initial_focus_and_space_pauses(staged_window, app):
    window, run, _advance = staged_window
    activate(window)
    app.processEvents()
    assert window.focusWidget() is window.panels["histograms"].canvas
    QtTest.QTest.keyClick(window.focusWidget(), Qt.Key_Space)
    assert run.sent[-1] == c.Pause()


def test_clicked_lists_and_buttons_return_the_keyboard_focus(staged_window, app):
    window, run, _advance = staged_window
    activate(window)
    bar = window.panels["histograms"].bar
    for widget in (bar.control("kind"), bar.control("log_counts"), window.panels["tensor"].header.chooser):
        QtTest.QTest.mouseClick(widget, Qt.LeftButton)
        popup = app.activePopupWidget()
        if popup is not None:
            QtTest.QTest.keyClick(popup, Qt.Key_Escape)
        assert window.focusWidget() is window.panels["histograms"].canvas
    QtTest.QTest.keyClick(window.focusWidget(), Qt.Key_Space)
    assert run.sent[-1] == c.Pause()


@pytest.fixture
def table(staged_window, app):
    """The table of layers, in front, with the focus."""
    window = staged_window[0]
    window.docks.open("layers")
    app.processEvents()
    draw(window, app)
    view = window.panels["layers"].view
    focus(view)
    app.processEvents()
    return view


@pytest.mark.parametrize("panel, part", [("layers", "view"), ("events", "view"), ("sensitivity", "table.rows")])
def test_keys_of_the_run_work_in_tables(staged_window, app, panel, part):
    window, run, _advance = staged_window
    window.docks.open(panel)
    app.processEvents()
    draw(window, app)
    view = attrgetter(part)(window.panels[panel])
    focus(view)
    QtTest.QTest.keyClick(view, Qt.Key_Space)
    assert run.sent[-1] == c.Pause()
    QtTest.QTest.keyClick(view, "n")
    assert window.model.current == "conv1.activations"
    QtTest.QTest.keyClick(view, "p")
    assert window.model.current == "conv1.weights"
    QtTest.QTest.keyClick(view, "-")
    QtTest.QTest.keyClick(view, "-")
    QtTest.QTest.keyClick(view, "+")
    assert window.edits.pending == {("conv1.weights", "num_bits"): 7}


@pytest.mark.parametrize("panel", [panel.name for panel in PANELS])
def test_the_period_key_steps_wherever_the_focus_is(staged_window, app, panel):
    window, run, _advance = staged_window
    window.docks.open(panel)
    app.processEvents()
    draw(window, app)
    inside = [
        w
        for w in window.panels[panel].findChildren(QtWidgets.QWidget)
        if w.isVisible() and w.focusPolicy() & Qt.TabFocus and w.isEnabled() and w.focusProxy() is None
    ]
    texts = (QtWidgets.QLineEdit, QtWidgets.QAbstractSpinBox)
    inside = [w for w in inside if not isinstance(w, texts)]
    assert inside or panel == "moments", "which has no controls before moments are compared"
    for widget in inside:
        before = len(run.sent)
        focus(widget)
        QtTest.QTest.keyClick(widget, ".")
        assert run.sent[before:] == [c.SingleStep()], widget


def test_a_period_typed_into_a_box_is_text(staged_window, app):
    window, run, _advance = staged_window
    window.docks.open("layers")
    box = window.panels["layers"].filter
    focus(box)
    QtTest.QTest.keyClicks(box, "conv1.w + n")
    assert box.text() == "conv1.w + n" and not any(isinstance(command, c.SingleStep) for command in run.sent)


def click_cell(view, tensor, column, double=False):
    shown = view.model()
    place = view.visualRect(shown.index(shown.row_of(tensor), INDEX[column])).center()
    QtTest.QTest.mouseClick(view.viewport(), Qt.LeftButton, Qt.NoModifier, place)
    if double:
        QtTest.QTest.mouseDClick(view.viewport(), Qt.LeftButton, Qt.NoModifier, place)


@pytest.mark.parametrize("way", ["double click", "F2", "digit"])
def test_bits_are_edited_in_their_cell(staged_window, table, app, way):
    window, run, advance = staged_window
    click_cell(table, "conv2.weights", "num_bits", way == "double click")
    if way == "F2":
        QtTest.QTest.keyClick(table, Qt.Key_F2)
    if way != "digit":
        QtTest.QTest.keyClick(app.focusWidget(), "3")
    else:
        QtTest.QTest.keyClick(table, "3")
    assert table.is_editing() and app.focusWidget().text() == "3"
    QtTest.QTest.keyClick(app.focusWidget(), Qt.Key_Return)
    app.processEvents()
    assert not table.is_editing() and table.hasFocus()
    window.edits.apply()
    advance()
    assert run.book.of("conv2.weights").num_bits == 3
    assert {run.book.of(t.name).num_bits for t in run.plan.tensors if t.name != "conv2.weights"} == {8}


def test_escape_keeps_the_bits_and_an_invalid_number_is_refused(staged_window, table, app):
    window, _run, _advance = staged_window
    click_cell(table, "conv2.weights", "num_bits")
    QtTest.QTest.keyClick(table, "3")
    QtTest.QTest.keyClick(app.focusWidget(), Qt.Key_Escape)
    assert not table.is_editing() and not window.edits.pending
    QtTest.QTest.keyClick(table, "9")
    QtTest.QTest.keyClick(app.focusWidget(), "9")
    QtTest.QTest.keyClick(app.focusWidget(), Qt.Key_Return)
    app.processEvents()
    assert not window.edits.pending and "1 to 16" in window.banner.text.text() and window.banner.isVisible()


def test_rows_stay_while_bits_are_typed(staged_window, table, app):
    window, _run, advance = staged_window
    table.sortByColumn(INDEX["sqnr_db"], Qt.AscendingOrder)
    click_cell(table, "conv2.weights", "num_bits")
    QtTest.QTest.keyClick(table, "5")
    advance(4)
    draw(window, app)
    assert table.is_editing() and app.focusWidget().text() == "5"
    QtTest.QTest.keyClick(app.focusWidget(), Qt.Key_Return)
    assert window.edits.pending == {("conv2.weights", "num_bits"): 5}


@pytest.mark.parametrize("column", ["name", "sqnr_db"])
def test_the_table_has_a_context_menu_on_all_its_columns(staged_window, table, app, column):
    window, _run, _advance = staged_window
    view = table.frozen if column == "name" else table
    assert table.frozen.isVisible()
    shown = table.model()
    place = view.visualRect(shown.index(shown.row_of("conv2.weights"), INDEX[column])).center()
    QtTest.QTest.mouseClick(view.viewport(), Qt.RightButton, Qt.NoModifier, place)
    request = QtGui.QContextMenuEvent(QtGui.QContextMenuEvent.Mouse, place, view.viewport().mapToGlobal(place))
    app.sendEvent(view.viewport(), request)
    menu = app.activePopupWidget()
    assert menu is table.menu and window.model.current == "conv2.weights"
    texts = [action.text().partition("\t")[0] for action in menu.actions() if not action.isSeparator()]
    assert texts == [
        "Show tensor", "Edit bits", "More bits", "Fewer bits", "Copy picture", "Save picture…", "Save data as CSV…"
    ]  # fmt: skip
    next(action for action in menu.actions() if action.text().startswith("Fewer bits")).trigger()
    assert window.edits.pending == {("conv2.weights", "num_bits"): 7}
    next(action for action in menu.actions() if action.text().startswith("Show tensor")).trigger()
    app.processEvents()
    assert window.panels["tensor"].isVisible()
    menu.close()


@pytest.fixture
def key_list(staged_window, app):
    """The keys that F1 lists, by group."""
    window = staged_window[0]
    press(window, Qt.Key_F1)
    app.processEvents()
    dialog = window.findChild(ShortcutsDialog)
    found = {title: [keys for _, keys in rows] for title, rows in listed_keys(dialog).items()}
    dialog.close()
    return found


def listed(key):
    """Return a key as it is listed."""
    return keys_text([QtGui.QKeySequence(key).toString()])


def test_f1_lists_every_shortcut_of_the_window(staged_window, key_list):
    found = {key for rows in key_list.values() for row in rows for key in row.split(", ")}
    assert {listed(key) for _, _, key in shortcuts_in(staged_window[0])} <= found
    assert {listed(key) for declared in actions.DECLARATIONS.values() for key in declared.bare_keys} <= found


#: Keys that a user may try; letters for all others.
TRIED = [
    *(Qt.Key_Left, Qt.Key_Right, Qt.Key_Up, Qt.Key_Down, Qt.Key_Home, Qt.Key_End, Qt.Key_PageUp, Qt.Key_PageDown),
    *(Qt.Key_Space, Qt.Key_Return, Qt.Key_Escape, Qt.Key_Delete, Qt.Key_Backspace, Qt.Key_Insert),
    *(Qt.Key_Plus, Qt.Key_Minus, Qt.Key_Equal, Qt.Key_Period, Qt.Key_F2, Qt.Key_F3, Qt.Key_F5, Qt.Key_F12),
    *range(Qt.Key_A, Qt.Key_Z + 1),
    *range(Qt.Key_0, Qt.Key_9 + 1),
]


def uses_keys(widget):
    """Return whether the widget's class defines its own handling of keys."""
    own = [kind for kind in type(widget).__mro__ if kind.__module__.startswith("qatviz.")]
    texts = (QtWidgets.QAbstractSlider, QtWidgets.QAbstractSpinBox)
    return any("keyPressEvent" in vars(kind) for kind in own) and widget.isVisible() and not isinstance(widget, texts)


def test_f1_lists_every_key_that_a_plot_or_table_uses(staged_window, key_list, app):
    """Every key that a widget accepts must be in its panel's list, or be common to all tables."""
    window, tried = staged_window[0], set()
    tables = {listed(key) for key in ("Up", "Down", "Left", "Right", "PgUp", "PgDown", "Home", "End")}
    for panel in window.panels.all():
        window.docks.open(panel.name)
        app.processEvents()
        draw(window, app)
        declared = panel.declaration
        title = f"{declared.group} panels" if declared.group else f"{declared.title} panel"
        found = {key for row in key_list.get(title, []) for key in row.split(", ")}
        for widget in filter(uses_keys, panel.findChildren(QtWidgets.QWidget)):
            for key in TRIED:
                event = QtGui.QKeyEvent(QtCore.QEvent.KeyPress, key, Qt.NoModifier, chr(key) if key < 128 else "")
                event.setAccepted(False)
                focus(widget)
                widget.keyPressEvent(event)
                popup = app.activePopupWidget()
                if popup is not None:
                    popup.close()
                of_all = isinstance(widget, QtWidgets.QTableView) and listed(key) in tables
                of_all |= isinstance(widget, QtWidgets.QAbstractScrollArea) and key in (Qt.Key_PageUp, Qt.Key_PageDown)
                assert not event.isAccepted() or listed(key) in found or of_all, (declared.name, widget, listed(key))
            tried.add(type(widget).__name__)
    assert {"HistogramCanvas", "NetworkView", "Canvas", "Legend", "LayersView"} <= tried


def test_menus_show_a_key_of_each_action_that_has_one(staged_window):
    window = staged_window[0]
    for name, declared in actions.DECLARATIONS.items():
        action = window.named[name]
        shown = action.shortcut().toString() or action.text().partition("\t")[2]
        assert bool(shown) == bool(declared.keys or declared.bare_keys), name
        assert "\t" not in action.iconText()


@pytest.mark.parametrize("scope, changed", [("weights", "weights"), ("activations", "activations"), ("everything", "")])
def test_keys_and_controls_share_a_scope_that_is_always_visible(staged_window, app, scope, changed):
    window, run, _advance = staged_window
    window.edits.set_mode("hold")
    box = window.menuBar().cornerWidget().findChild(QtWidgets.QComboBox)
    box.setCurrentIndex(box.findData(scope))
    box.activated.emit(box.currentIndex())
    canvas = window.panels["histograms"].canvas
    QtTest.QTest.mouseClick(canvas.viewport(), Qt.LeftButton, Qt.NoModifier, canvas.rect_of("conv2.weights").center())
    press(canvas, Qt.Key_Minus)
    wanted = {(t.name, "num_bits") for t in run.plan.tensors if changed in t.name}
    assert set(window.edits.pending) == wanted
    draw(window, app)
    assert box.currentText() == f"{SCOPES[scope]} ({len(wanted)})"
    others = window.findChildren(QtWidgets.QLabel)
    assert [label.text() for label in others if label.text().replace("&", "") == "Apply to"] == ["A&pply to"]
    assert box.width() >= box.fontMetrics().horizontalAdvance(box.currentText()) + 20
    window.docks.open("run_settings")
    app.processEvents()
    assert box.isVisible() and not box.visibleRegion().isEmpty()
    window.edits.discard()
    QtTest.QTest.mouseClick(canvas.viewport(), Qt.LeftButton, Qt.NoModifier, canvas.rect_of("conv1.weights").center())
    box.setCurrentIndex(box.findData("selection"))
    box.activated.emit(box.currentIndex())
    press(canvas, Qt.Key_Minus)
    assert set(window.edits.pending) == {("conv1.weights", "num_bits")} and box.currentText() == "Selected (1)"


def test_uncommitted_text_applies_to_the_scope_it_was_typed_for(staged_window, app):
    window, _run, _advance = staged_window
    draw(window, app)
    control = window.panels["quantization"].sections["weights"].controls["num_bits"]
    box = control.editor.findChild(QtWidgets.QAbstractSpinBox)
    focus(box)
    box.selectAll()
    QtTest.QTest.keyClicks(box, "4")
    scope = window.menuBar().cornerWidget().findChild(QtWidgets.QComboBox)
    scope.setCurrentIndex(scope.findData("everything"))
    scope.activated.emit(scope.currentIndex())
    assert window.edits.pending == {("conv1.weights", "num_bits"): 4}


def test_submenus_have_recent_runs_themes_and_panels(staged_window):
    window = staged_window[0]

    def menus_of(menu):
        return {action.text(): action.menu() for action in menu.actions() if action.menu() is not None}

    menus = menus_of(window.menuBar())
    assert [*menus_of(menus["&File"])] == ["Open recent"] and [*menus_of(menus["&View"])] == ["Panels", "Theme"]
    panels, themes = menus_of(menus["&View"]).values()
    assert [(action.text(), action.isChecked()) for action in themes.actions()] == [
        ("Follow the system", False),
        ("Dark", True),
        ("Light", False),
    ]
    alone = [panel.title for panel in PANELS if not panel.group]
    in_group = [panel.title for panel in PANELS if panel.group]
    assert [action.text() for action in panels.actions()] == [*alone, "Decide", "Decide", *in_group]
    assert panels.actions()[len(alone) + 1].isSeparator(), "the title of the group"


def test_every_action_has_a_help_text_and_no_key_twice():
    keys = [key for declared in actions.DECLARATIONS.values() for key in declared.keys + declared.bare_keys]
    assert len(keys) == len(set(keys))
    assert all(declared.help.endswith(".") for declared in actions.DECLARATIONS.values())
    in_menus = [name for names in actions.MENUS.values() for name in names if name != actions.SEPARATOR]
    assert sorted(in_menus) == sorted([*actions.DECLARATIONS, actions.OPEN_RECENT, actions.THEME, actions.PANELS])
