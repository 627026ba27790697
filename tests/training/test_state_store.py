"""States in memory: a stack with limits, and names."""

import numpy as np
import pytest
from small_runs import mlp

from qatviz.errors import RunStateError
from qatviz.network.plan import quantization_plan
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.state_store import StateStore

BOOK = SettingsBook.from_preset(quantization_plan(mlp()), "tflite-int8")
SIZE = 1000


def state(name, step=0):
    return RunState(step, 0.0, BOOK, {"w": np.zeros(SIZE, np.uint8)}, name, SaveReason(SaveKind.REQUESTED))


def names(store, count):
    """Return the names of the states after each of ``count`` undos."""
    return [store.undo(state("present")).name for _ in range(count)]


def test_undo_and_redo_visit_the_same_states():
    store = StateStore()
    for name in "abc":
        store.push_undo(state(name))
    assert store.undo(state("now")).name == "c"
    assert store.undo(state("c2")).name == "b"
    assert store.redo(state("b2")).name == "c2"
    assert store.redo(state("c3")).name == "now"
    with pytest.raises(RunStateError):
        store.redo(state("x"))
    assert names(store, 3) == ["c3", "b2", "a"]
    with pytest.raises(RunStateError):
        store.undo(state("x"))


def test_a_new_change_clears_redo():
    store = StateStore()
    store.push_undo(state("a"))
    store.undo(state("now"))
    store.push_undo(state("b"))
    with pytest.raises(RunStateError):
        store.redo(state("x"))
    assert names(store, 1) == ["b"]


def test_the_number_of_undos_is_limited():
    store = StateStore(undo_limit=3)
    for index in range(10):
        store.push_undo(state(str(index)))
    assert names(store, 3) == ["9", "8", "7"]
    with pytest.raises(RunStateError):
        store.undo(state("x"))


def test_beyond_the_memory_limit_the_oldest_states_are_dropped_first():
    store = StateStore(memory_limit=3 * SIZE)
    for index in range(10):
        store.push_undo(state(str(index)))
    assert names(store, 3) == ["9", "8", "7"]
    tight = StateStore(memory_limit=SIZE // 2)
    tight.push_undo(state("a"))
    tight.push_undo(state("b"))
    assert names(tight, 1) == ["b"]


def test_named_states_are_found_and_replaced_and_outlive_unnamed_ones():
    store = StateStore(memory_limit=4 * SIZE)
    store.keep(state("mine", 1))
    store.keep(state("mine", 2))
    for index in range(5):
        store.push_undo(state(str(index)))
    assert store.named("mine").step == 2
    assert store.named("4").name == "4" and store.named("0") is None
    assert store.names() == ["mine", "2", "3", "4"]
    store.undo(state("undone"))
    assert store.named("undone").name == "undone"
    for index in range(10):
        store.keep(state(f"named{index}"))
    assert store.named("mine") is None and store.named("named9") is not None
    assert names(store, 1) == ["3"]


def test_each_state_that_can_be_found_is_listed_once():
    store = StateStore()
    for name in "ab":
        store.push_undo(state(name))
    store.keep(state("b"))
    store.undo(state("undone"))
    assert store.names() == ["b", "a", "undone"]
    assert all(store.named(name) is not None for name in store.names())
