"""The state of a run, and its form in a checkpoint file."""

import numpy as np
import pytest

from qatviz.errors import RecordError, SettingError
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook

BOOK = SettingsBook.from_preset(quantization_plan(zoo.build("mlp", (6, 6, 1), 3)), "tflite-int8")
SIZE = 1000
REASON = SaveReason(SaveKind.BEFORE_CHANGE, ChangeSettings((("conv1.weights.num_bits", 4),)))


def saved(name, step=0):
    return RunState(step, 0.0, BOOK, {"w": np.zeros(SIZE, np.uint8)}, name, REASON)


def test_a_state_with_nan_or_infinity_is_not_finite():
    for value, finite in ((1.0, True), (np.nan, False), (np.inf, False)):
        state = RunState(
            0, 0.0, BOOK, {"a": np.zeros(3, np.float32), "b": np.array([0.0, value], np.float32)}, "m", REASON
        )
        assert state.is_finite is finite
    assert saved("m").nbytes == SIZE


def test_a_checkpoint_file_gives_the_same_state():
    state = RunState(7, 1.5, BOOK, {"w": np.ones(3)}, "m", REASON, branch=2, position=7)
    again = RunState.from_checkpoint("m", state.arrays, state.meta(), BOOK.plan)
    assert (again.step, again.seconds, again.book) == (7, 1.5, BOOK)
    assert (again.name, again.reason, again.point) == ("m", REASON, BranchPoint(2, 7, 7))


@pytest.mark.parametrize(
    "key, value", [("step", None), ("step", "x"), ("seconds", None), ("settings", None), ("reason", KeyError)]
)
def test_an_incomplete_checkpoint_is_refused(key, value):
    meta = saved("m").meta()
    meta[key] = value
    if value is KeyError:
        del meta[key]
    with pytest.raises((RecordError, SettingError), match="settings|checkpoint m"):
        RunState.from_checkpoint("m", {}, meta, BOOK.plan)
