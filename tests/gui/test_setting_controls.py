"""Controls made from declarations: their display, and signals for edits by the user only."""

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import focus

from qatviz.gui.widgets.controls.setting_control import SettingControl, align
from qatviz.gui.widgets.controls.state_mark import PENDING
from qatviz.gui.widgets.controls.values import default_of
from qatviz.settings import ACTIVATIONS, KINDS, QUANTIZER_SETTINGS, RUN_SETTINGS, WEIGHTS

DECLARED = [(s, kind) for s in QUANTIZER_SETTINGS.values() for kind in s.kinds]
DECLARED += [(s, "") for s in RUN_SETTINGS.values()]


@pytest.fixture
def make(context, show):
    """A visible control, and the list of the edits that it emitted."""

    def build(name, kind="", width=320):
        setting = QUANTIZER_SETTINGS[name] if kind else RUN_SETTINGS[name]
        control = show(SettingControl(setting, context.theme, kind), width, 40)
        told = []
        control.edited.connect(told.append)
        focus(control.editor)
        return control, told

    return build


def some_values(setting, kind):
    """Two values that differ."""
    if setting.choices:
        return list(setting.choices[kind])[:2]
    return [False, True] if setting.type is bool else [setting.low, setting.high]


def drag(widget, place):
    """Move the mouse with the left button down; QTest uses the cursor, which offscreen does not have."""
    QtWidgets.QApplication.sendEvent(
        widget,
        QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove,
            place,
            widget.mapToGlobal(place),
            QtCore.Qt.NoButton,
            QtCore.Qt.LeftButton,
            QtCore.Qt.NoModifier,
        ),
    )


def wheel(widget):
    place = widget.rect().center()
    QtWidgets.QApplication.sendEvent(
        widget,
        QtGui.QWheelEvent(
            QtCore.QPointF(place),
            QtCore.QPointF(widget.mapToGlobal(place)),
            QtCore.QPoint(0, 120),
            QtCore.QPoint(0, 120),
            QtCore.Qt.NoButton,
            QtCore.Qt.NoModifier,
            QtCore.Qt.NoScrollPhase,
            False,
        ),
    )


def is_mixed(control):
    if control.setting.choices:
        return control.editor.box.currentIndex() == -1
    if control.setting.type is bool:
        return control.editor.box.checkState() == QtCore.Qt.PartiallyChecked
    return control.editor.box.value is None and control.editor.box.text() == ""


@pytest.mark.parametrize("setting, kind", DECLARED, ids=lambda part: getattr(part, "name", part))
def test_showing_a_value_or_mixed_emits_no_edit(setting, kind, context, show):
    control = show(SettingControl(setting, context.theme, kind), 320, 40)
    told = []
    control.edited.connect(told.append)
    one, other = some_values(setting, kind)
    control.show_values([one, other])
    assert is_mixed(control) and "Mixed: " in control.toolTip()
    control.show_values([other, other])
    assert not is_mixed(control) and "Mixed: " not in control.toolTip()
    control.show_values([one], pending=True)
    assert told == []


@pytest.mark.parametrize("setting, kind", DECLARED, ids=lambda part: getattr(part, "name", part))
def test_every_control_has_a_tooltip_and_is_reachable_by_keyboard(setting, kind, context, show):
    control = show(SettingControl(setting, context.theme, kind), 320, 40)
    assert setting.label in control.toolTip() and "Default: " in control.toolTip() and "Allowed: " in control.toolTip()
    target = control.editor.focusProxy()
    assert target.focusPolicy() & QtCore.Qt.TabFocus and target.accessibleName()


def test_enter_commits_typed_text_once(make):
    control, told = make("num_bits", WEIGHTS)
    control.show_values([8])
    box = control.editor.box
    box.selectAll()
    QtTest.QTest.keyClicks(box, "4")
    assert told == []
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    assert told == [4] and control.editor.slider.value() == 3  # notches from 1 bit on
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    assert told == [4]


def test_losing_focus_commits_typed_text(make):
    control, told = make("evaluation_interval")
    control.show_values([200])
    box = control.editor.box
    box.selectAll()
    QtTest.QTest.keyClicks(box, "50 steps")
    box.clearFocus()
    assert told == [50] and box.text() == "50 steps"
    for text, expected in (("2,000", [50, 2000]), ("4,5", [50, 2000])):
        box.selectAll()
        QtTest.QTest.keyClicks(box, text)
        QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
        assert told == expected, "separators of thousands only"


@pytest.mark.parametrize("text", ["17", "0", "4.5", "four", "-"])
def test_invalid_text_is_not_committed(make, text):
    control, told = make("num_bits", WEIGHTS)
    control.show_values([8])
    box = control.editor.box
    box.selectAll()
    QtTest.QTest.keyClicks(box, text)
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    assert box.text() == text and "from 1 to 16" in QtWidgets.QToolTip.text()
    box.clearFocus()
    assert told == [] and box.text() == "8"


@pytest.mark.parametrize("text, expected", [("4", [4, 5]), ("17", [9]), ("four", [9])])
def test_an_arrow_continues_from_valid_typed_text(make, text, expected):
    control, told = make("num_bits", WEIGHTS)
    control.show_values([8])
    control.editor.box.selectAll()
    QtTest.QTest.keyClicks(control.editor.box, text)
    QtTest.QTest.keyClick(control.editor.box, QtCore.Qt.Key_Up)
    assert told == expected and control.editor.box.text() == str(expected[-1])


def test_escape_reverts_typed_text(make):
    control, told = make("learning_rate")
    control.show_values([1e-3])
    box = control.editor.box
    box.selectAll()
    QtTest.QTest.keyClicks(box, "5")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Escape)
    assert box.text() == "0.001" and told == [] and not box.is_typing()


def test_new_values_do_not_disturb_typing_and_appear_afterwards(make):
    control, told = make("num_bits", WEIGHTS)
    control.show_values([8])
    box = control.editor.box
    box.selectAll()
    QtTest.QTest.keyClicks(box, "1")
    control.show_values([6], applied_step=12)
    assert box.text() == "1"
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Escape)
    assert box.text() == "6" and told == []


def test_an_unchanged_rounded_text_is_no_edit(make):
    control, told = make("learning_rate")
    control.show_values([1.0 / 3e3])
    box = control.editor.box
    shown = box.text()
    box.selectAll()
    QtTest.QTest.keyClicks(box, shown)
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    assert told == []


def test_arrow_keys_step_at_once(make):
    control, told = make("learning_rate")
    control.show_values([1e-3])
    QtTest.QTest.keyClick(control.editor.box, QtCore.Qt.Key_Up)
    QtTest.QTest.keyClick(control.editor.box, QtCore.Qt.Key_Down)
    assert told == [2e-3, 1e-3]


def test_a_click_on_an_arrow_steps_once(make):
    control, told = make("num_bits", WEIGHTS)
    control.show_values([8])
    box = control.editor.box
    option = QtWidgets.QStyleOptionSpinBox()
    box.initStyleOption(option)
    up = box.style().subControlRect(QtWidgets.QStyle.CC_SpinBox, option, QtWidgets.QStyle.SC_SpinBoxUp, box)
    QtTest.QTest.mouseClick(box, QtCore.Qt.LeftButton, pos=up.center())
    assert told == [9]


def test_a_drag_emits_each_value_and_blocks_updates(make):
    control, told = make("num_bits", WEIGHTS, 400)
    control.show_values([8])
    held = []
    control.dragged.connect(held.append)
    slider, box = control.editor.slider, control.editor.box
    y = slider.height() // 2
    QtTest.QTest.mousePress(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(slider.width() - 2, y))
    assert held == [True] and told == [16]
    drag(slider, QtCore.QPoint(1, y))
    assert told[-1] == 1 and box.text() == "1"
    control.show_values([8])
    assert box.text() == "1" and slider.value() == 0
    control.show_values([1], pending=True)
    QtTest.QTest.mouseRelease(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(1, y))
    assert held == [True, False] and box.text() == "1"


def test_a_click_on_a_mixed_slider_sets_the_value(make):
    control, told = make("num_bits", WEIGHTS, 400)
    control.show_values([2, 8])
    slider = control.editor.slider
    QtTest.QTest.mouseClick(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(1, slider.height() // 2))
    assert told == [1] and control.editor.box.text() == "1"


def test_disabling_a_control_ends_its_drag(make):
    control, _ = make("num_bits", WEIGHTS, 400)
    control.show_values([8])
    held = []
    control.dragged.connect(held.append)
    QtTest.QTest.mousePress(control.editor.slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(5, 5))
    control.set_disabled_reason("The run has ended.")
    assert held == [True, False] and not control.editor.is_busy()


def test_a_click_on_a_mixed_check_box_makes_it_on_and_the_next_off(make):
    control, told = make("symmetric", WEIGHTS)
    control.show_values([True, False])
    for expected in (True, False):
        QtTest.QTest.keyClick(control.editor.box, QtCore.Qt.Key_Space)
        assert told[-1] is expected
    assert len(told) == 2


def test_choosing_an_item_emits_it(make):
    control, told = make("range_method", WEIGHTS)
    control.show_values(["min_max"])
    box = control.editor.box
    assert [box.itemText(i) for i in range(box.count())] == [
        "Min–max",
        "Percentile",
        "Least squared error (MSE)",
        "Learned scale (LSQ)",
        "Frozen",
    ]
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Down)
    assert told == ["percentile"]
    box.activated[int].emit(1)  # the same again
    assert told == ["percentile"]


@pytest.mark.parametrize("name, kind", [("num_bits", WEIGHTS), ("range_method", ACTIVATIONS), ("learning_rate", "")])
def test_the_wheel_does_not_change_controls_without_focus(make, name, kind):
    control, told = make(name, kind)
    control.show_values([default_of(control.setting, kind)])
    control.setFocus()
    for part in control.editor.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
        part.clearFocus()
        wheel(part)
    assert told == []


def test_the_mark_shows_pending_or_the_applied_step(make):
    control, _ = make("num_bits", WEIGHTS, 500)
    control.show_values([8])
    assert control.mark.text() == "" and "since the start of the run" in control.toolTip()
    control.show_values([4], pending=True)
    assert control.mark.text() == PENDING and "Pending" in control.toolTip()
    control.show_values([4], applied_step=1204)
    assert control.mark.text() == "step 1,204" and "since step 1,204" in control.toolTip()


def test_pending_has_the_colour_of_the_ghost_in_both_themes(make, context):
    control, _ = make("num_bits", WEIGHTS, 500)
    control.show_values([4], pending=True)
    for theme in ("dark", "light"):
        context.theme.use(theme)
        control.apply_theme()
        assert control.mark.palette().color(control.mark.foregroundRole()) == context.theme.color("ghost")


def test_a_narrow_column_abbreviates_marks_and_cuts_no_control(context, show):
    column = QtWidgets.QWidget()
    rows = QtWidgets.QVBoxLayout(column)
    controls = [SettingControl(s, context.theme, WEIGHTS) for s in QUANTIZER_SETTINGS.values() if WEIGHTS in s.kinds]
    for control in controls:
        control.show_values([default_of(control.setting, WEIGHTS)], applied_step=7)
        rows.addWidget(control)
    align(controls)
    show(column, column.minimumSizeHint().width(), 400)
    for control in controls:
        assert control.mark.text() == "✓" and control.mark.geometry().right() <= control.width()
        assert control.editor.width() >= control.editor.minimumSizeHint().width()
    show(column, 900, 400)
    assert {control.mark.text() for control in controls} == {"step 7"}


@pytest.mark.parametrize("kind", KINDS)
def test_reset_asks_for_the_default_of_the_kind(make, kind):
    control, told = make("range_method", kind)
    control.show_values(["frozen"])
    control.reset()
    assert told == [default_of(control.setting, kind)]
    control.show_values(told)
    control.reset()
    assert len(told) == 1


def test_a_setting_without_effect_is_disabled_with_the_reason(make):
    control, told = make("percentile", WEIGHTS)
    control.show_values([99.0])
    control.set_disabled_reason("Only with the range “percentile”.")
    assert not control.editor.isEnabled() and "Only with the range" in control.toolTip()
    control.reset()
    assert told == []
    control.set_disabled_reason("")
    assert control.editor.isEnabled() and "Only with" not in control.toolTip()


def test_each_choice_is_explained_in_the_list_and_the_chosen_one_at_the_control(make):
    control, _ = make("range_method", ACTIVATIONS)
    box, setting = control.editor.box, control.setting
    assert box.count() == len(setting.choices[ACTIVATIONS])
    for index, choice in enumerate(setting.choices[ACTIVATIONS]):
        about = setting.choice_help[choice]
        assert about in box.itemData(index, QtCore.Qt.ToolTipRole)
        control.show_values([choice])
        assert about in control.toolTip()
    control.show_values(setting.choices[ACTIVATIONS][:2])
    assert not any(about in control.toolTip() for about in setting.choice_help.values())
