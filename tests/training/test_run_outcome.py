"""The events of a run add up to its settings, for any sequence of changes and undos at one step."""

import numpy as np
import pytest
from small_runs import spec
from training_cases import Driver

from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Redo, RestoreCheckpoint, SaveCheckpoint, SingleStep, Undo
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.run_record import RunRecord

BITS = [ChangeSettings((("*.weights.num_bits", bits),)) for bits in (3, 4, 5, 6)]
RATE = ChangeSettings((("run.learning_rate", 0.5), ("logits.weights.num_bits", 7)))
AT_ONE_STEP = {
    "the task's": [BITS[0], Undo(), BITS[1], Undo(), Redo()],
    "all undone": [BITS[0], RATE, BITS[1], Undo(), Undo(), Undo()],
    "there and back": [BITS[0], BITS[1], Undo(), Undo(), Redo(), Redo(), Undo(), RATE, Undo(), Redo()],
    "restored": [
        SaveCheckpoint("a"),
        BITS[0],
        SaveCheckpoint("b"),
        RestoreCheckpoint("a"),
        RestoreCheckpoint("b"),
        Undo(),
        RATE,
    ],
}


def assert_outcome(script, tmp_path):
    """Send the commands to a paused run; check that its events add up to the final checkpoint's settings."""
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    live = Outcome(run_spec.book)
    with Driver(run_spec, record, paused=True) as driver:
        for command in script:
            since = len(driver.news)
            answer = driver.send(command)
            if isinstance(command, SingleStep):
                driver.until_event(events.Paused, since=since)
            assert isinstance(answer, (events.CommandApplied, events.CommandRejected))
    for item in driver.news:
        live.update(item)
    reader = RunRecord.read(tmp_path / "run")
    recorded = Outcome(run_spec.book)
    recorded.update_from_record(reader)
    (final,) = [info.name for info in reader.list_checkpoints() if info.name.startswith("final")]
    expected = SettingsBook.from_dict(run_spec.plan, reader.load_checkpoint(final)[1]["settings"])
    assert live.book == expected
    assert recorded.book == expected
    assert recorded.timeline[-1][1] == expected if recorded.timeline else expected == run_spec.book
    assert recorded.changes == live.changes


@pytest.mark.parametrize("name", sorted(AT_ONE_STEP))
@pytest.mark.parametrize("step", [0, 4])
def test_repeated_undos_at_one_step(tmp_path, name, step):
    assert_outcome(([SingleStep(step)] if step else []) + AT_ONE_STEP[name], tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_changes_undos_and_steps(tmp_path, seed):
    random = np.random.RandomState(seed)
    choices = [
        *BITS,
        RATE,
        Undo(),
        Undo(),
        Undo(),
        Redo(),
        Redo(),
        SingleStep(1),
        SingleStep(3),
        SaveCheckpoint("a"),
        RestoreCheckpoint("a"),
    ]
    assert_outcome([SaveCheckpoint("a")] + [choices[i] for i in random.randint(0, len(choices), 25)], tmp_path)
