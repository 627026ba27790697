"""The panel that changes quantization: scope, mixed values, live and hold, drags, refusals."""

from dataclasses import replace

import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from qt_use import focus

from qatviz.gui.model.edits import HOLD, LIVE
from qatviz.gui.model.scope import EVERYTHING, SELECTED
from qatviz.gui.panels.settings.quantization import QuantizationPanel
from qatviz.network.plan import quantization_plan
from qatviz.presets import PRESETS
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings
from qatviz.settings import ACTIVATIONS, KINDS, QUANTIZER_SETTINGS, WEIGHTS


@pytest.fixture
def panel(context, staged, show):
    """A panel at a staged lenet, and the run."""
    run = staged()
    panel = show(QuantizationPanel(context), 330, 600)
    panel.refresh()
    panel.run = run
    return panel


@pytest.fixture
def advance_run(panel, app):
    """Function that lets the run answer and draws the panel."""

    def answer():
        panel.run.advance(1)
        panel.model.process(panel.run.drain())
        settle(panel, app)

    return answer


def settle(panel, app):
    app.processEvents()
    panel.refresh()


def use_scope(panel, scope):
    panel.edits.scope.choose(scope)
    panel.refresh()


def control(panel, name, kind=WEIGHTS):
    return panel.sections[kind].controls[name]


def changes(run):
    return [command for command in run.sent if isinstance(command, ChangeSettings)]


def test_without_a_run_a_text_is_shown(context, show):
    panel = show(QuantizationPanel(context), 330, 600)
    panel.refresh()
    assert panel.empty.isVisible() and "once there is one" in panel.empty.text()
    assert not panel.column.isVisible()


def test_every_setting_of_a_kind_has_its_control(panel):
    for kind in KINDS:
        assert set(panel.sections[kind].controls) == {n for n, s in QUANTIZER_SETTINGS.items() if kind in s.kinds}


@pytest.mark.parametrize("scope", [WEIGHTS, ACTIVATIONS, EVERYTHING])
def test_a_scope_covers_its_kinds_and_hides_other_sections(panel, scope):
    use_scope(panel, scope)
    tensors = panel.model.tensors
    assert panel.edits.scope.tensors() == [t.name for t in tensors if scope in (t.kind, EVERYTHING)]
    for kind, section in panel.sections.items():
        count = sum(t.kind == kind for t in tensors) if scope in (kind, EVERYTHING) else 0
        assert section.heading.detail == (f"{count} tensors" if count else "none selected")
        assert section.controls["num_bits"].isVisible() == bool(count)


def test_the_heading_counts_the_selection_or_names_its_tensor(panel, app):
    assert panel.sections[WEIGHTS].heading.detail == "conv1.weights"
    panel.model.select(["conv1.weights", "conv2.weights", "input.activations"])
    settle(panel, app)
    assert panel.sections[WEIGHTS].heading.detail == "2 tensors"
    assert panel.sections[ACTIVATIONS].heading.detail == "input.activations"


def test_different_values_show_as_mixed_until_edited(panel, app, advance_run):
    panel.run.send(ChangeSettings((("conv1.weights.num_bits", 3),)))
    advance_run()
    use_scope(panel, WEIGHTS)
    box = control(panel, "num_bits").editor.box
    assert box.value is None and box.text() == ""
    box.setFocus()
    QtTest.QTest.keyClicks(box, "5")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)
    panel.edits.apply()
    advance_run()
    assert {panel.model.settings_of(name).num_bits for name in panel.edits.scope.tensors()} == {5}
    assert box.text() == "5"


def test_an_edit_is_pending_until_the_run_reports_its_step(panel, app, advance_run):
    use_scope(panel, SELECTED)
    symmetric = control(panel, "symmetric")
    QtTest.QTest.keyClick(symmetric.editor.box, QtCore.Qt.Key_Space)
    settle(panel, app)
    assert "Pending" in symmetric.toolTip() and not symmetric.editor.box.isChecked()
    panel.edits.apply()
    settle(panel, app)
    assert "Pending" in symmetric.toolTip()
    step = panel.run.step
    advance_run()
    assert f"since step {step:,}" in symmetric.toolTip()
    assert panel.model.settings_of("conv1.weights").symmetric is False


def test_a_drag_is_applied_continuously_and_undone_as_one_change(panel, app, advance_run):
    slider = control(panel, "num_bits").editor.slider
    y, edits = slider.height() // 2, panel.edits

    def move(x):
        place = QtCore.QPoint(x, y)
        QtWidgets.QApplication.sendEvent(
            slider,
            QtGui.QMouseEvent(
                QtCore.QEvent.MouseMove,
                place,
                slider.mapToGlobal(place),
                QtCore.Qt.NoButton,
                QtCore.Qt.LeftButton,
                QtCore.Qt.NoModifier,
            ),
        )

    def send():
        timer = edits._interval_timer if edits._interval_timer.isActive() else edits._send_timer
        assert timer.isActive()
        timer.stop()
        timer.timeout.emit()
        advance_run()

    QtTest.QTest.mousePress(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(slider.width() - 2, y))
    move(slider.width() * 2 // 3)
    send()
    move(1)
    assert edits.pending == {("conv1.weights", "num_bits"): 1}
    send()
    assert len(changes(panel.run)) == 2 and slider.is_held
    QtTest.QTest.mouseRelease(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(1, y))
    assert changes(panel.run)[1:] == [ChangeSettings((("conv1.weights.num_bits", 1),), continues=True)]
    assert panel.edits.describe_undo() == "conv1.weights.num_bits 8 → 1" and panel.edits.pending == {}
    panel.bar.undo.click()
    advance_run()
    assert panel.model.settings_of("conv1.weights").num_bits == 8 and not panel.bar.undo.isEnabled()


def test_hold_collects_edits_and_apply_sends_them_together(panel, app, advance_run):
    panel.bar.modes[HOLD].click()
    use_scope(panel, EVERYTHING)
    control(panel, "num_bits").edited.emit(4)
    control(panel, "num_bits", ACTIVATIONS).edited.emit(6)
    settle(panel, app)
    weights = sum(t.kind == WEIGHTS for t in panel.model.tensors)
    assert panel.bar.apply.text() == f"Apply ({len(panel.model.tensors)})" and weights > 1
    assert changes(panel.run) == []
    panel.bar.apply.click()
    assert len(changes(panel.run)) == 1
    advance_run()
    assert panel.model.settings_of("conv2.weights").num_bits == 4
    assert panel.model.settings_of("conv2.activations").num_bits == 6
    assert panel.bar.apply.text() == "Apply" and not panel.bar.apply.isEnabled()


def test_escape_reverts_typed_text_then_discards_pending_edits(panel, app):
    panel.bar.modes[HOLD].click()
    control(panel, "narrow_range").edited.emit(False)
    settle(panel, app)
    box = control(panel, "num_bits").editor.box
    focus(box)
    QtTest.QTest.keyClicks(box, "3")
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Escape)
    assert box.text() == "8" and len(panel.edits.pending) == 1
    QtTest.QTest.keyClick(box, QtCore.Qt.Key_Escape)
    settle(panel, app)
    assert panel.edits.pending == {} and control(panel, "narrow_range").editor.box.isChecked()


def test_the_mode_is_remembered(panel, context, show):
    panel.bar.modes[HOLD].click()
    again = show(QuantizationPanel(context), 330, 600)
    assert context.edits.mode == HOLD
    again.refresh()
    assert again.bar.modes[HOLD].isChecked() and again.bar.apply.isVisible()
    again.bar.modes[LIVE].click()
    again.refresh()
    assert not again.bar.apply.isVisible()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_for_all_is_named_when_in_effect(panel, advance_run, preset):
    use_scope(panel, EVERYTHING)
    action = next(a for a in panel.preset.menu().actions() if a.text() == preset)
    assert action.toolTip() == PRESETS[preset].description
    action.trigger()
    assert panel.run.sent[-1] == ApplyPreset(preset)
    advance_run()
    assert panel.preset.text() == preset and action.isChecked()


@pytest.mark.parametrize("mode", [LIVE, HOLD])
def test_a_preset_applies_to_the_scope_only(panel, context, advance_run, mode):
    """Apply ``int4`` to the selected dense1.weights; it is per channel like all weights there."""
    context.model.select(["dense1.weights"])
    panel.refresh()
    before = context.model.book
    panel.bar.modes[mode].click()
    next(a for a in panel.preset.menu().actions() if a.text() == "int4").trigger()
    if mode == HOLD:
        assert context.edits.pending_book().of("dense1.weights").num_bits == 4
        panel.edits.apply()
    advance_run()
    assert panel.preset.text() == "int4"
    preset, now = before.with_preset("int4")[0], context.model.book
    assert now.of("dense1.weights") == preset.of("dense1.weights") != before.of("dense1.weights")
    assert all(now.of(t.name) == before.of(t.name) for t in context.model.tensors if t.name != "dense1.weights")
    assert panel.edits.can_undo
    use_scope(panel, EVERYTHING)
    assert panel.preset.text() == "custom"


def test_settings_of_no_preset_are_called_custom(panel, advance_run):
    assert panel.preset.text() == "tflite-int8"
    control(panel, "num_bits").edited.emit(5)
    panel.edits.apply()
    advance_run()
    assert panel.preset.text() == "custom"


def test_percentile_is_enabled_only_where_it_has_an_effect(panel, app):
    percentile = control(panel, "percentile")
    assert not percentile.editor.isEnabled() and "percentile" in percentile.toolTip()
    control(panel, "range_method").edited.emit("percentile")
    settle(panel, app)
    assert percentile.editor.isEnabled()
    panel.freeze.edited.emit(True)
    settle(panel, app)
    assert not percentile.editor.isEnabled() and "frozen" in percentile.toolTip()


def test_the_default_range_of_a_regression_output_has_all_extremes(panel, app):
    method, plan = control(panel, "range_method", ACTIVATIONS), panel.model.book.plan
    panel.model.book = replace(panel.model.book, plan=quantization_plan(panel.run.network, is_regression=True))
    panel.model.plan = panel.model.book.plan
    output = panel.model.book.plan.regression_outputs[0]
    section = panel.sections[ACTIVATIONS]
    for names, default in (([output], "extremes"), ([plan.tensors[0].name], "moving_average")):
        section.show_tensors(names, panel.model.book.run)
        assert method.default == default
    section.show_tensors([output], panel.model.book.run)
    method.reset()
    assert panel.edits.pending == {(output, "range_method"): "extremes"}


def test_freeze_ranges_is_a_setting_of_the_run(panel, advance_run):
    QtTest.QTest.keyClick(panel.freeze.editor.box, QtCore.Qt.Key_Space)
    panel.edits.apply()
    assert changes(panel.run) == [ChangeSettings((("run.freeze_ranges", True),))]
    advance_run()
    assert panel.model.book.run.freeze_ranges and panel.freeze.editor.box.isChecked()


def test_a_refusal_is_shown_until_the_next_success(panel, app, advance_run):
    panel.edits.edit(["conv1.weights"], "num_bits", 99)  # as no control would
    panel.edits.apply()
    advance_run()
    assert panel.refusal.isVisible() and "99" in panel.refusal.text() and "1 to 16" in panel.refusal.text()
    assert control(panel, "num_bits").editor.box.text() == "8"
    control(panel, "num_bits").edited.emit(4)
    panel.edits.apply()
    advance_run()
    assert not panel.refusal.isVisible()


def test_tensors_that_share_a_quantizer_change_together(context, staged, show, app):
    staged("resnet8")
    panel = show(QuantizationPanel(context), 330, 600)
    shared = [t for t in context.model.tensors if t.group != t.name]
    for tensor in shared or context.model.tensors[:1]:
        context.model.select([tensor.name])
        panel.refresh()
        assert set(panel.edits.scope.tensors()) == {t.name for t in context.model.tensors if t.group == tensor.group}


def test_an_ended_run_disables_training_settings_with_the_reason(panel, app):
    panel.model.select([tensor.name for tensor in panel.model.tensors if tensor.kind == ACTIVATIONS][:1])
    panel.run.end(events.Stopped(panel.run.step))
    panel.model.process(panel.run.drain())
    settle(panel, app)
    activations = panel.sections[ACTIVATIONS].controls
    assert not activations["ema_decay"].editor.isEnabled() and "has been stopped" in activations["ema_decay"].toolTip()
    assert activations["num_bits"].editor.isEnabled() and panel.preset.isEnabled() and panel.freeze.editor.isEnabled()
    assert not panel.bar.isVisible() and panel.what_if_bar.isVisible()


def test_the_panel_follows_another_run(panel, staged, app):
    staged("mlp")
    settle(panel, app)
    assert panel.sections[WEIGHTS].heading.detail == "dense1.weights" and panel.preset.text() == "tflite-int8"


def test_text_typed_for_a_replaced_run_does_not_reach_the_next(panel, staged, context):
    box = control(panel, "num_bits").editor.box
    box.setFocus()
    box.selectAll()
    QtTest.QTest.keyClicks(box, "4")
    mlp = staged("mlp")
    box.clearFocus()
    assert context.edits.pending == {} and mlp.sent == []


def test_apply_commits_typed_text(panel, advance_run):
    panel.bar.modes[HOLD].click()
    control(panel, "symmetric").edited.emit(False)
    panel.refresh()
    box = control(panel, "num_bits").editor.box
    focus(box)
    box.selectAll()
    QtTest.QTest.keyClicks(box, "4")
    panel.bar.apply.click()
    assert changes(panel.run) == [ChangeSettings((("conv1.weights.symmetric", False), ("conv1.weights.num_bits", 4)))]


def test_tab_goes_from_top_to_bottom(panel, app):
    panel.bar.modes[HOLD].click()
    use_scope(panel, EVERYTHING)
    control(panel, "num_bits").edited.emit(4)
    settle(panel, app)
    stops, widget = [], panel.preset
    while widget not in stops:
        stops.append(widget)
        widget = widget.nextInFocusChain()
        while not (
            widget.focusPolicy() & QtCore.Qt.TabFocus
            and widget.isVisible()
            and widget.isEnabled()
            and widget.focusProxy() is None
        ):
            widget = widget.nextInFocusChain()
    places = [
        (w.mapTo(panel, QtCore.QPoint(0, w.height() // 2)).y() // 12, w.mapTo(panel, QtCore.QPoint()).x())
        for w in stops
        if not panel.column.isAncestorOf(w)
    ]
    assert places == sorted(places) and len(stops) > 20
    rows = [w for w in stops if panel.column.isAncestorOf(w)]
    assert [w.parent().parent().objectName() for w in rows[:4]] == ["enabled", "num_bits", "num_bits", "symmetric"]
    assert stops.index(rows[0]) == 1 and rows[1] is control(panel, "num_bits").editor.slider


def test_controls_fit_at_the_smallest_width(panel, show, app):
    use_scope(panel, EVERYTHING)
    show(panel, panel.minimumSizeHint().width(), 500)
    inside = panel.column.widget()
    assert inside.width() >= inside.minimumSizeHint().width()
    assert inside.width() <= panel.column.viewport().width()
