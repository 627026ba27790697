"""The parts of the evolution panel: time axis, canvas, legend, markers and their strip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PyQt5 import QtCore, QtGui
from PyQt5.QtTest import QTest

from qatviz.gui.panels.evolution.canvas import Canvas
from qatviz.gui.panels.evolution.kinds import KINDS, curves_of
from qatviz.gui.panels.evolution.legend import Entry, Legend
from qatviz.gui.panels.evolution.markers import markers_of, sentences
from qatviz.gui.panels.evolution.strip import MarkerStrip
from qatviz.gui.panels.evolution.time_axis import TimeAxis
from qatviz.presentation.chart import SELECTED, Axis, Curve, Marker
from qatviz.presentation.scene import Stroke
from qatviz.presentation.strength_series import STRENGTH
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Undo
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason
from qatviz.protocol.timeline import LoggedEvent, Timeline
from qatviz.telemetry.record.refill import history_names

RED = Stroke("bad")

# Axis


def test_the_axis_shows_the_whole_run_and_grows_in_jumps():
    axis = TimeAxis()
    moves = set()
    for step in range(1, 2001):
        axis.update(0, step)
        assert axis.low == 0 and step <= axis.high <= max(50, 1.2 * step)
        moves.add(axis.high)
    assert len(moves) < 40


def test_panning_stops_following_and_following_again_keeps_the_width():
    axis = TimeAxis()
    axis.update(0, 1000)
    axis.show_range(200, 300)
    axis.update(0, 1100)
    assert (axis.low, axis.high) == (200, 300) and not axis.follow
    axis.follow_newest()
    assert axis.follow and axis.width == 100 and axis.low < 1100 <= axis.high
    axis.update(0, 1500)
    assert axis.width == 100 and axis.low < 1500 <= axis.high
    axis.pan(-50)
    assert not axis.follow and axis.width == 100
    axis.follow_all()
    assert axis.low == 0 and axis.high >= 1500


def test_zooming_while_following_keeps_the_newest_step_in_view():
    axis = TimeAxis()
    axis.update(0, 1000)
    axis.zoom(0.1, 990.0)
    assert axis.follow and axis.low > 800 and axis.high >= 1000
    axis.zoom(0.5)
    assert axis.follow and axis.low > 900 and axis.high >= 1000
    axis.zoom(200, 900.0)
    assert axis.follow and axis.span is None and axis.low == 0


def test_zooming_in_on_the_past_stops_following_and_fixes_the_pointer():
    axis = TimeAxis()
    axis.update(0, 10000)
    place = (2500 - axis.low) / axis.width
    axis.zoom(0.5, 2500)
    assert not axis.follow and (2500 - axis.low) / axis.width == pytest.approx(place)
    seen = axis.low, axis.high
    axis.update(0, 20000)
    assert (axis.low, axis.high) == seen


def test_zooming_keeps_the_step_under_the_mouse():
    axis = TimeAxis()
    axis.update(0, 10000)
    axis.show_range(2000, 3000)
    axis.zoom(0.5, 2250)
    assert (axis.low, axis.high) == pytest.approx((2125, 2625))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pan", "zoom", "show_range", "update", "centre", "follow_newest", "follow_all"]),
            st.floats(-1e5, 1e5),
            st.floats(0.01, 100),
        ),
        max_size=30,
    )
)
def test_any_actions_leave_a_width_and_following_shows_the_newest(actions):
    axis, newest = TimeAxis(), 10.0
    axis.update(0, newest)
    for name, a, b in actions:
        if name == "update":
            newest = abs(a)
            axis.update(0, newest)
        elif name in ("show_range", "zoom", "pan", "centre"):
            {
                "show_range": lambda: axis.show_range(a, a + b),
                "zoom": lambda: axis.zoom(b, a),
                "pan": lambda: axis.pan(a),
                "centre": lambda: axis.centre(a),
            }[name]()
        else:
            getattr(axis, name)()
        assert axis.low < axis.high
        if axis.follow:
            assert axis.low <= newest <= axis.high


def test_following_an_earlier_end_after_a_rewind():
    axis = TimeAxis()
    axis.update(0, 10000)
    axis.update(0, 100)
    assert axis.high < 500


# What is drawn


def test_every_series_of_every_plot_is_in_the_history():
    tensors = ("a.weights", "a.activations", "b.weights")
    known = {name for names in history_names(tensors).values() for name in names}
    for kind in KINDS:
        for chosen in (tensors[:1], tensors):
            specs = curves_of(kind, chosen, tensors[0])
            settings = {kind.pattern.format(tensor) for tensor in tensors} if kind.is_setting else set()
            assert specs and {spec.series for spec in specs} <= known | {STRENGTH} | settings
            shown = [spec.key for spec in specs if spec.in_legend]
            assert len(shown) == len(set(shown))


# Canvas


def shown_canvas(context, show):
    canvas = Canvas(context.theme)
    show(canvas, 654, 160)
    x = np.arange(1001.0)
    canvas.set_curves([Curve(x, x / 10, None, None, RED)], (0.0, 600.0), Axis())
    return canvas


def emissions_of(signal):
    found = []
    signal.connect(lambda *values: found.append(values))
    return found


def drag(canvas, begin, end, modifier=QtCore.Qt.NoModifier):
    QTest.mousePress(canvas, QtCore.Qt.LeftButton, modifier, begin)
    for share in (0.5, 1.0):
        point = begin + (end - begin) * share
        move = QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove, QtCore.QPointF(point), QtCore.Qt.LeftButton, QtCore.Qt.LeftButton, modifier
        )
        canvas.mouseMoveEvent(move)
    QTest.mouseRelease(canvas, QtCore.Qt.LeftButton, modifier, end)


def test_dragging_pans_and_shift_dragging_draws_a_box(context, show):
    canvas = shown_canvas(context, show)
    panned, boxed, clicked = emissions_of(canvas.panned), emissions_of(canvas.boxed), emissions_of(canvas.clicked)
    drag(canvas, QtCore.QPoint(400, 80), QtCore.QPoint(300, 80))
    per_pixel = 600 / canvas.plot_rect.width()
    assert sum(distance for (distance,) in panned) == pytest.approx(100 * per_pixel) and not boxed
    drag(canvas, QtCore.QPoint(200, 40), QtCore.QPoint(300, 90), QtCore.Qt.ShiftModifier)
    assert len(boxed) == 1 and boxed[0] == pytest.approx((canvas.x_at(200), canvas.x_at(300)), abs=2 * per_pixel)
    assert canvas.y_fixed and not clicked
    fixed = canvas.y_range
    canvas.set_curves(canvas.curves, (0, 1000), Axis())
    assert canvas.y_range == fixed, "as the user wanted it"
    canvas.show_all_values()
    assert canvas.y_range[0] <= 0 and canvas.y_range[1] >= 100


def test_clicks_and_double_clicks_are_not_drags(context, show):
    canvas = shown_canvas(context, show)
    clicked, panned, asked = (
        emissions_of(canvas.clicked),
        emissions_of(canvas.panned),
        emissions_of(canvas.whole_run_requested),
    )
    QTest.mouseClick(canvas, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(250, 60))
    assert len(clicked) == 1 and clicked[0][0] == pytest.approx(canvas.x_at(250)) and not panned
    QTest.mouseDClick(canvas, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(250, 60))
    assert len(asked) == 1


def wheel(canvas, point, notches, modifiers=QtCore.Qt.NoModifier):
    where = QtCore.QPointF(point)
    canvas.wheelEvent(
        QtGui.QWheelEvent(
            where,
            canvas.mapToGlobal(point),
            QtCore.QPoint(),
            QtCore.QPoint(0, 120 * notches),
            QtCore.Qt.NoButton,
            modifiers,
            QtCore.Qt.NoScrollPhase,
            False,
        )
    )


def test_arrow_keys_pan_the_view(context, show):
    canvas = shown_canvas(context, show)
    panned = emissions_of(canvas.panned)
    QTest.keyClick(canvas, QtCore.Qt.Key_Right)
    QTest.keyClick(canvas, QtCore.Qt.Key_Left)
    assert panned == [(60.0,), (-60.0,)]


def test_larger_text_widens_the_margin(context, show, app):
    canvas = shown_canvas(context, show)
    before = canvas.plot_rect.left()
    try:
        context.theme.set_font_points(20)
        app.processEvents()
        assert canvas.plot_rect.left() > 1.3 * before
    finally:
        context.theme.set_font_points(0)


def test_the_wheel_zooms_time_and_with_control_values(context, show):
    canvas = shown_canvas(context, show)
    zoomed, panned = emissions_of(canvas.zoomed), emissions_of(canvas.panned)
    wheel(canvas, QtCore.QPoint(300, 60), 1)
    assert zoomed[0][0] < 1 and zoomed[0][1] == pytest.approx(canvas.x_at(300))
    low, high = canvas.y_range
    wheel(canvas, QtCore.QPoint(300, 60), 1, QtCore.Qt.ControlModifier)
    assert canvas.y_range[1] - canvas.y_range[0] < high - low and len(zoomed) == 1
    wheel(canvas, QtCore.QPoint(300, 60), -1, QtCore.Qt.ShiftModifier)
    assert panned[0][0] > 0


def test_moving_the_crosshair_does_not_redraw_the_curves(context, show, app):
    canvas = shown_canvas(context, show)
    canvas.grab()
    before = canvas._still
    canvas.set_crosshair(300.0)
    picture = canvas.grab().toImage()
    assert canvas._still is before is not None
    column = [picture.pixelColor(round(canvas.pixel_of(300)), y).name() for y in range(20, 120)]
    assert context.theme.colors.text in column


def test_marker_lines_are_at_their_steps(context, show):
    canvas = shown_canvas(context, show)
    canvas.set_markers([Marker(150.0, "accent", SELECTED)])
    picture = canvas.grab().toImage()
    columns = {x for x in range(100, 640) if picture.pixelColor(x, 20).name() == context.theme.colors.accent}
    assert columns and all(abs(x - canvas.pixel_of(150)) <= 2 for x in columns)


def test_a_canvas_drawn_alone_has_room_for_an_axis(context, show):
    canvas = shown_canvas(context, show)
    canvas.alone = True
    height = canvas.plot_rect.height()
    canvas.grab()
    assert not canvas.alone and canvas.plot_rect.height() > height


def test_the_axis_of_nonnegative_values_extends_little_below_0(context, show):
    canvas = shown_canvas(context, show)
    x = np.arange(100.0)
    for high in (1.0, 1.2, 3.0, 8.0):
        canvas.set_curves([Curve(x, np.linspace(0, high, 100), None, None, RED)], (0.0, 100.0), Axis())
        low, top = canvas.y_range
        assert -0.1 * top < low <= 0 and top >= high


# Legend


def entries(n, name="block_{}.weights"):
    return [Entry(f"key{i}", name.format(i), f"31.{i} dB", RED) for i in range(n)]


@pytest.mark.parametrize("width", [120, 300, 420, 640, 1200])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_legend_entries_do_not_overlap_and_lie_within_the_legend(context, show, width, n):
    legend = show(Legend(context.theme, "SQNR (dB)", "about"), width, 18)
    legend.set_entries(entries(n))
    rects = [legend.entry_rect(f"key{i}") for i in range(n)]
    assert all(rect.width() > 0 for rect in rects)
    assert all(a.right() < b.left() for a, b in zip(rects, rects[1:]))
    if width >= 300:
        assert rects[-1].right() <= width


def test_a_click_or_the_space_bar_hides_a_curve(context, show):
    legend = show(Legend(context.theme, "SQNR (dB)", "about"), 640, 18)
    legend.set_entries(entries(3))
    toggled = emissions_of(legend.toggled)
    QTest.mouseClick(legend, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, legend.entry_rect("key1").center())
    QTest.keyClick(legend, QtCore.Qt.Key_Right)
    QTest.keyClick(legend, QtCore.Qt.Key_Space)
    assert toggled == [("key1",), ("key2",)]


# Markers


def applied(step, *changes, command=ChangeSettings(()), checkpoint="before"):
    return events.CommandApplied(
        step, "a-1", command, tuple(Change(*change) for change in changes), f"{checkpoint}-{step}" if checkpoint else ""
    )


def labels(*found, **left):
    return [marker.label for marker in markers_of([LoggedEvent(event) for event in found])]


def test_changes_have_short_labels():
    assert labels(applied(1, ("conv1.weights.num_bits", 8, 4))) == ["w4"]
    assert labels(applied(1, ("conv1.activations.num_bits", 8, 3))) == ["a3"]
    assert labels(applied(1, *((f"conv{i}.weights.num_bits", 8, 4) for i in range(5)))) == ["w4 ×5"]
    assert labels(applied(1, ("a.weights.enabled", True, False))) == ["float"]
    assert labels(applied(1, ("a.weights.symmetric", False, True))) == ["symmetric"]
    assert labels(applied(1, ("run.learning_rate", 0.001, 0.01))) == ["lr 0.01"]
    assert labels(applied(1, ("a.weights.range_method", "minmax", "mse"))) == ["MSE"]
    assert labels(applied(1, ("a.activations.range_method", "moving_average", "extremes"))) == ["extremes"]
    assert labels(applied(1, ("a.activations.range_method", "moving_average", "kl"))) == ["KL"]
    assert labels(applied(1, ("a.weights.num_bits", 8, 4), ("b.weights.symmetric", False, True))) == ["2 changes"]
    assert labels(applied(1, ("a.weights.num_bits", 8, 4), ("a.activations.num_bits", 8, 4))) == ["w4 a4 ×2"]
    assert labels(applied(1, ("a.weights.num_bits", 8, 4), command=ApplyPreset("ternary"))) == ["ternary"]


def test_events_of_one_step_share_a_marker_and_others_have_none():
    found = markers_of(
        [
            LoggedEvent(events.Evaluated(3, {}, 1, 0.0)),
            LoggedEvent(applied(5)),
            LoggedEvent(events.Paused(6, PauseReason.REQUESTED)),
            LoggedEvent(applied(7, ("a.weights.num_bits", 8, 4))),
            LoggedEvent(applied(7, ("a.weights.symmetric", False, True))),
            LoggedEvent(events.SettingsActivated(9, ("a.weights",))),
        ]
    )
    assert [(marker.step, marker.label) for marker in found] == [(7, "2 changes"), (9, "quantized")]


def test_abandoned_events_have_no_marker():
    change = applied(7, ("a.weights.num_bits", 8, 4))
    assert markers_of([LoggedEvent(change, survives=False)]) == []


def placed_rewind(event, before, branch=1, parent=0):
    """Return an event of a rewind to where ``before`` happened, or, if None, to the end of its step."""
    return event.placed(branch, 0, BranchPoint(parent, event.step, None if before is None else before.position))


def test_a_rewind_to_before_a_change_removes_its_marker():
    change, back = ("a.weights.num_bits", 8, 4), Change("a.weights.num_bits", 4, 8)
    timeline = Timeline()
    timeline.add(applied(3, ("a.weights.symmetric", False, True)))
    timeline.add(applied(7, change))
    before = timeline.log[-1].event
    timeline.add(applied(7, ("b.weights.num_bits", 8, 4)))
    timeline.add(placed_rewind(events.CommandApplied(7, "a-2", Undo(), (back,)), before))
    timeline.add(events.Restored(7, "before-7", RestoreReason.UNDO, 20, (back,)))
    found = markers_of(timeline.log)
    assert [(marker.step, marker.label) for marker in found] == [(3, "symmetric"), (7, "rewind")]
    assert found[1].changes == (back,), "once, not again from the command's answer"


def test_restoring_a_branch_restores_its_markers():
    timeline = Timeline()
    timeline.add(applied(3, ("a.weights.symmetric", False, True)))
    timeline.add(applied(7, ("a.weights.num_bits", 8, 4)))
    left = timeline.log[-1].event
    timeline.add(placed_rewind(events.Restored(7, "before-7", RestoreReason.UNDO, 20), left))
    timeline.add(applied(9, ("a.weights.num_bits", 8, 2)))
    timeline.add(placed_rewind(events.Restored(20, "undone-20", RestoreReason.REDO, 12), None, branch=2))
    labels = [(marker.step, marker.label) for marker in markers_of(timeline.log)]
    assert labels == [(3, "symmetric"), (7, "w4"), (20, "rewind")]


def test_the_marker_of_a_bad_step_is_where_the_run_continues():
    restored = events.Restored(10, "good", RestoreReason.BAD_STEP, 14)
    found = markers_of([LoggedEvent(restored), LoggedEvent(events.NonFinite(14, NonFiniteValue.LOSS, 10))])
    assert [(marker.step, marker.label, marker.color) for marker in found] == [(10, "NaN", "bad")]
    assert "step 14" in " ".join(sentences(found[0].events[1]))


def test_the_full_text_of_a_change_is_limited():
    assert sentences(applied(1, ("a.weights.num_bits", 8, 4), ("a.weights.symmetric", False, True))) == [
        "a.weights.num_bits 8 → 4",
        "a.weights.symmetric off → on",
    ]
    many = sentences(applied(1, *((f"t{i}.weights.num_bits", 8, 4) for i in range(100))))
    assert len(many) < 12 and many[-1] == "and 92 more"


def strip_of(context, show, places, width=600):
    changes = (applied(step, ("a.weights.num_bits", 8, 2 + i % 8)) for i, step in enumerate(places))
    markers = markers_of([LoggedEvent(change) for change in changes])
    strip = show(MarkerStrip(context.theme, lambda found: ""), width, 18)
    strip.set_markers(markers, [float(place) for place in places], 54, width - 6, None)
    return strip


@settings(deadline=None)  # the first example waits for fonts
@given(st.lists(st.integers(54, 590), min_size=1, max_size=40, unique=True))
def test_flags_do_not_overlap_and_cover_every_marker(places):
    context, show = test_flags_do_not_overlap_and_cover_every_marker.fixtures
    flags = strip_of(context, show, sorted(places)).flags()
    assert sorted(marker.step for flag in flags for marker in flag.markers) == sorted(places)
    assert all(a.rect.right() < b.rect.left() for a, b in zip(flags, flags[1:]))
    assert flags[-1].rect.right() <= 600


@pytest.fixture(autouse=True)
def _fixtures_of_the_property(context, show):
    """Hypothesis calls a test many times: all calls share the fixtures."""
    test_flags_do_not_overlap_and_cover_every_marker.fixtures = context, show


def test_flags_with_enough_room_keep_their_text(context, show):
    assert [flag.label for flag in strip_of(context, show, [100, 300, 302, 500]).flags()] == ["w2", "2 changes", "w5"]
    assert next(flag.label for flag in strip_of(context, show, [100, 102, 125]).flags()) == "2"


def test_a_flag_is_selected_with_mouse_or_keyboard(context, show):
    strip = strip_of(context, show, [100, 300, 302])
    chosen, moved = emissions_of(strip.chosen), emissions_of(strip.moved)
    markers = [marker for flag in strip.flags() for marker in flag.markers]
    strip.moved.connect(lambda found: strip.set_markers(markers, [100.0, 300.0, 302.0], 54, 594, found[-1].step))
    QTest.mouseClick(strip, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, strip.flags()[1].rect.center())
    assert [marker.step for marker in chosen[0][0]] == [300, 302]
    QTest.keyClick(strip, QtCore.Qt.Key_Right)
    QTest.keyClick(strip, QtCore.Qt.Key_Return)
    assert [marker.step for marker in chosen[1][0]] == [100] and len(moved) == 1
    QTest.keyClick(strip, QtCore.Qt.Key_Right)
    assert [marker.step for marker in moved[1][0]] == [300, 302]
