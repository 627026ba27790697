"""States in memory: a stack with limits, and names."""

import numpy as np
import pytest
from training_cases import mlp

from qatviz.errors import RecordError, RunStateError, SettingError
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.moments import Moment, Moments

BOOK = SettingsBook.from_preset(quantization_plan(mlp()), "tflite-int8")
SIZE = 1000


def moment(name, step=0):
    return Moment(step, 0.0, BOOK, {"w": np.zeros(SIZE, np.uint8)}, name, "test")


def names(moments, count):
    """Names that ``count`` undos lead to."""
    return [moments.undo(moment("present")).name for _ in range(count)]


def test_undo_and_redo_walk_along_the_same_states():
    moments = Moments()
    for name in "abc":
        moments.before_change(moment(name))
    assert moments.undoable.name == "c"
    assert moments.undo(moment("now")).name == "c"
    assert moments.undo(moment("c2")).name == "b"
    assert moments.redo(moment("b2")).name == "c2"
    assert moments.redo(moment("c3")).name == "now"
    with pytest.raises(RunStateError):
        moments.redo(moment("x"))
    assert names(moments, 3) == ["c3", "b2", "a"]
    with pytest.raises(RunStateError):
        moments.undo(moment("x"))
    assert moments.undoable is None


def test_a_new_change_forgets_what_could_be_redone():
    moments = Moments()
    moments.before_change(moment("a"))
    moments.undo(moment("now"))
    moments.before_change(moment("b"))
    with pytest.raises(RunStateError):
        moments.redo(moment("x"))
    assert names(moments, 1) == ["b"]


def test_only_so_many_can_be_undone():
    moments = Moments(undo_limit=3)
    for index in range(10):
        moments.before_change(moment(str(index)))
    assert names(moments, 3) == ["9", "8", "7"]
    with pytest.raises(RunStateError):
        moments.undo(moment("x"))


def test_of_too_much_memory_the_oldest_go_first_and_the_newest_stays():
    moments = Moments(memory_limit=3 * SIZE)
    for index in range(10):
        moments.before_change(moment(str(index)))
    assert names(moments, 3) == ["9", "8", "7"]
    tight = Moments(memory_limit=SIZE // 2)
    tight.before_change(moment("a"))
    tight.before_change(moment("b"))
    assert names(tight, 1) == ["b"]


def test_named_states_are_found_replaced_and_kept_longer_than_unnamed_ones():
    moments = Moments(memory_limit=4 * SIZE)
    moments.keep(moment("mine", 1))
    moments.keep(moment("mine", 2))
    for index in range(5):
        moments.before_change(moment(str(index)))
    assert moments.named("mine").step == 2
    assert moments.named("4").name == "4" and moments.named("0") is None
    assert moments.names() == ["mine", "2", "3", "4"]
    moments.undo(moment("undone"))
    assert moments.named("undone").name == "undone"
    for index in range(10):
        moments.keep(moment(f"named{index}"))
    assert moments.named("mine") is None and moments.named("named9") is not None
    assert moments.undoable is not None


def test_whether_a_state_is_finite():
    for value, finite in ((1.0, True), (np.nan, False), (np.inf, False)):
        state = Moment(
            0, 0.0, BOOK, {"a": np.zeros(3, np.float32), "b": np.array([0.0, value], np.float32)}, "m", "test"
        )
        assert state.is_finite is finite
    assert moment("m").nbytes == SIZE


def test_a_checkpoint_file_gives_the_same_moment():
    state = Moment(7, 1.5, BOOK, {"w": np.ones(3)}, "m", "why", branch=2)
    again = Moment.from_checkpoint("m", state.arrays, state.meta(), BOOK.plan)
    assert (again.step, again.seconds, again.book) == (7, 1.5, BOOK)
    assert (again.name, again.reason, again.branch) == ("m", "why", 2)


@pytest.mark.parametrize(
    "key, value", [("step", None), ("step", "x"), ("seconds", None), ("settings", None), ("reason", KeyError)]
)
def test_an_incomplete_checkpoint_is_refused(key, value):
    meta = moment("m").meta()
    meta[key] = value
    if value is KeyError:
        del meta[key]
    with pytest.raises((RecordError, SettingError), match="settings|checkpoint m"):
        Moment.from_checkpoint("m", {}, meta, BOOK.plan)
