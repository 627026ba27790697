"""Frames: visible, due panels are drawn in turn, and drawing takes at most a fraction of the time."""

import pytest

from qatviz.gui.model.frames import IDLE_FRACTION, LONGEST_REST_S, TICK_BUDGET_S, TOUCHED_FRACTION, Frames


class Clock:
    """Clock that the test advances."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class StagedPanel:
    """A panel that takes ``cost`` seconds to draw."""

    def __init__(self, clock, cost, due=True):
        self.clock, self.cost, self.due, self.count = clock, cost, due, 0
        self.is_partial, self.parts = False, 1
        self.urgent = False

    def is_due(self):
        return self.due

    def is_urgent(self):
        return self.urgent

    def refresh(self):
        self.clock.now += self.cost
        self.count += 1
        self.is_partial = self.count % self.parts != 0


@pytest.fixture
def clock():
    return Clock()


def make(clock, *panels):
    frames = Frames(clock=clock, processor=clock)
    for panel in panels:
        frames.add(panel)
    return frames


def test_only_due_panels_are_drawn(clock, app):
    due, idle = StagedPanel(clock, 0.001), StagedPanel(clock, 0.001, due=False)
    assert make(clock, due, idle).tick() == 1
    assert (due.count, idle.count) == (1, 0)


def test_a_panel_drawn_in_parts_is_completed_without_a_pause(clock, app):
    """Two of its plots would otherwise show two steps for as long as drawing pauses."""
    panel = StagedPanel(clock, 0.006)
    panel.parts = 3
    frames = make(clock, panel)
    assert [frames.tick() for _ in range(4)] == [1, 1, 1, 0]
    other = StagedPanel(clock, 0.006)
    frames.add(other)
    frames._rest_until = clock.now
    frames.tick()
    assert frames.tick() == frames.tick() == 1 and (panel.count, other.count) == (6, 0)


def test_a_panel_about_to_be_too_old_does_not_wait_for_the_end_of_the_pause(clock, app):
    old, other = StagedPanel(clock, 0.05, due=False), StagedPanel(clock, 0.05)
    frames = make(clock, old, other)
    assert frames.tick() == 1 and other.count == 1
    old.due = old.urgent = True
    assert frames.tick() == 1 and (old.count, other.count) == (1, 1)
    old.urgent = False
    assert frames.tick() == 0, "its drawing counts as any other"


def test_drawing_all_completes_panels_drawn_in_parts(clock, app):
    panel = StagedPanel(clock, 0.006)
    panel.parts = 2
    make(clock, panel).draw_all()
    assert panel.count == 2


@pytest.mark.parametrize("touched", [False, True])
def test_drawing_takes_its_fraction_of_the_time(clock, app, touched):
    panel = StagedPanel(clock, 0.004)
    frames = make(clock, panel)
    end = clock.now + 60
    while clock.now < end:
        if touched:
            frames._touched_until = clock.now + 1
        frames.tick()
        clock.now += 0.001
    share = panel.count * panel.cost / 60
    assert share == pytest.approx(TOUCHED_FRACTION if touched else IDLE_FRACTION, rel=0.35)


def test_the_rest_after_a_slow_drawing_is_bounded(clock, app):
    panel = StagedPanel(clock, 0.4)
    frames = make(clock, panel)
    frames.tick()
    clock.now += LONGEST_REST_S - 0.01
    assert frames.tick() == 0
    clock.now += 0.02
    assert frames.tick() == 1


def test_a_touch_ends_the_rest(clock, app):
    panel = StagedPanel(clock, 0.05)
    frames = make(clock, panel)
    frames.tick()
    assert frames.tick() == 0
    frames.touch()
    assert frames.tick() == 1


def test_a_tick_keeps_to_its_budget_and_panels_take_turns(clock, app):
    panels = [StagedPanel(clock, 1.01 * TICK_BUDGET_S) for _ in range(4)]
    frames = make(clock, *panels)
    for _ in range(8):
        assert frames.tick() == 1
        clock.now += 10
    assert [panel.count for panel in panels] == [2, 2, 2, 2]


@pytest.mark.parametrize("painting", [0.0, 0.001, 0.006])
def test_panels_painted_together_fit_into_the_budget(clock, app, painting):
    """Each of four panels takes a millisecond to draw, and ``painting`` seconds to paint."""
    frames = make(clock, *[StagedPanel(clock, 0.001) for _ in range(4)])
    for _ in range(40):  # what each takes is found out first
        count = frames.tick()
        frames.painted(count * painting)
        clock.now += 10
    assert frames.tick() == min(max(int(TICK_BUDGET_S / (0.001 + painting)), 1), 4)


def test_frames_per_second_are_counted_over_the_last_two_seconds(clock, app):
    frames = make(clock, StagedPanel(clock, 0.0))
    for _ in range(100):
        frames.tick()
        clock.now += 0.1
    assert frames.frames_per_second() == pytest.approx(10, abs=1)


def test_time_given_to_other_programs_is_not_counted_as_drawing(clock, app):
    """Each drawing takes a millisecond of processor time, and ten times as long on a loaded machine."""
    processor = Clock()

    class Loaded(StagedPanel):
        def refresh(self):
            super().refresh()
            processor.now += self.cost / 10

    panel = Loaded(clock, 0.010)
    frames = Frames(clock=clock, processor=processor)
    frames.add(panel)
    end = clock.now + 60
    while clock.now < end:
        frames.tick()
        clock.now += 0.001
    assert panel.count * 0.001 / 60 > 0.4 * IDLE_FRACTION


def test_the_panels_of_a_touch_are_drawn_before_those_that_wait_longer(clock, app):
    panels = [StagedPanel(clock, 1.01 * TICK_BUDGET_S) for _ in range(4)]
    frames = make(clock, *panels)
    frames.touch([panels[3]])
    assert frames.tick() == 1
    assert [panel.count for panel in panels] == [0, 0, 0, 1]
