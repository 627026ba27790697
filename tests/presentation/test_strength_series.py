"""The strength of quantization: its schedule, and its series over the steps of a run."""

import numpy as np
import pytest

from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.presentation.strength_series import STRENGTH, HistoryWithStrength, strengths
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.events import CommandApplied, Restored
from qatviz.protocol.reasons import RestoreReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.timeline import Timeline
from qatviz.settings import RunSettings
from qatviz.telemetry.history import History, SeriesSource


def qnoise_factor(step, start, finish, exponent=3.0):
    """Return the factor of QKeras' QNoiseScheduler."""
    if step < start:
        return 0.0
    if step <= finish and start != finish:
        return 1.0 - ((finish - step) / (finish - start)) ** exponent
    return 1.0


@pytest.mark.parametrize("start, end", [(0, 10), (5, 20), (100, 101)])
def test_the_schedule_is_that_of_qkeras(start, end):
    run = RunSettings(ramp_start=start, ramp_end=end)
    found = [run.strength_at(step) for step in range(2 * end)]
    assert found == pytest.approx([qnoise_factor(step, start, end) for step in range(2 * end)])
    assert np.all(np.diff(found) >= 0) and found[-1] == 1


def test_without_an_end_the_strength_is_full():
    assert all(RunSettings(ramp_start=start).strength_at(step) == 1 for start in (0, 50) for step in range(100))


def test_an_end_before_the_start_is_a_jump():
    run = RunSettings(ramp_start=20, ramp_end=10)
    assert [run.strength_at(step) for step in (0, 9, 10, 15, 30)] == [0, 0, 1, 1, 1]


@pytest.fixture
def changed():
    """Return a function that adds a change of the run's settings to a timeline; it returns the book after it."""
    network = zoo.build("mlp", (28, 28, 1), 10)

    def change(timeline, book, step, *assignments):
        book = book or SettingsBook.from_preset(quantization_plan(network), "tflite-int8")
        after, changes = book.change(assignments)
        timeline.add(CommandApplied(step, str(step), ChangeSettings(assignments), changes, ""))
        return after

    return change


def test_the_series_follows_the_changes_of_the_settings(changed):
    timeline = Timeline()
    book = changed(timeline, None, 0, ("run.learning_rate", 0.5))
    book = changed(timeline, book, 10, ("run.ramp_start", 10), ("run.ramp_end", 30))
    book = changed(timeline, book, 25, ("run.ramp_end", 0))
    steps = np.arange(1, 41)
    found = strengths(steps, lambda path: timeline.values_of(path, book.value(path)))
    ramp = RunSettings(ramp_start=10, ramp_end=30)
    expected = [ramp.strength_at(step - 1) if 10 <= step - 1 < 25 else 1.0 for step in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[10] == 0 and 0.9 < found[24] < 1


def test_an_undone_change_leaves_no_trace(changed):
    timeline = Timeline()
    first = changed(timeline, None, 5, ("run.learning_rate", 0.5))
    ramped = changed(timeline, first, 10, ("run.ramp_end", 30))
    undone = Restored(10, "before", RestoreReason.UNDO, 20, ramped.differences(first))
    timeline.add(undone.placed(1, 0, BranchPoint(0, 10, 1)))
    found = strengths(np.arange(1, 41), lambda path: timeline.values_of(path, first.value(path)))
    assert (found == 1).all()


def test_the_series_has_the_steps_of_the_loss():
    history = History({"steps": ["loss", "learning_rate"]})
    steps = np.arange(1, 8)
    history.extend("steps", steps, np.ones((7, 2), np.float32))
    whole = HistoryWithStrength(history, lambda at: at / np.float32(10))
    assert isinstance(whole, SeriesSource) and isinstance(history, SeriesSource)
    assert not isinstance(whole, History), "it stores no series"
    found = whole.series(STRENGTH, 2, 6)
    np.testing.assert_array_equal(found.last_step, history.series("loss", 2, 6).last_step)
    np.testing.assert_allclose(found.mean, found.last_step / 10, rtol=1e-6)
    assert whole.series("loss").mean.tolist() == [1] * 7
    assert whole.steps_around(STRENGTH, 3, 5) == history.steps_around("loss", 3, 5)
