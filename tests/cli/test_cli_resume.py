"""Resuming a recorded run: its starting point and the changes that are applied again, without training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.errors import RecordError
from qatviz.metric import ACCURACY
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.reasons import RestoreReason, SaveKind, SaveReason
from qatviz.protocol.run_spec import Placement
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord
from qatviz.session.checkpoints import rewind_record, starting_point
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord

NETWORK = zoo.build("mlp", (6, 6, 1), 4)
PLAN = quantization_plan(NETWORK)
BOOK = SettingsBook.from_preset(PLAN, "tflite-int8")

REQUESTED = SaveReason(SaveKind.REQUESTED)


class Spec:
    """The fields of a spec that `rewind_record` uses."""

    metric, placement = ACCURACY, Placement()

    def __init__(self, start):
        self.book, self.start, self.steps, self.schedule = BOOK, start, 100, ()


class Script:
    """Writer of the record of a simulated run, like the trainer's."""

    def __init__(self, directory):
        self.record = RunRecord.create(directory, {"network": NETWORK.to_dict(), "settings": BOOK.to_dict()})
        self.book, self.step = BOOK, 0
        self.notices = []

    def train(self, steps):
        for _ in range(steps):
            self.step += 1
            values = np.zeros((len(STEP_MEASURES), len(PLAN.tensors)), np.float32)
            self.record.append_step(StepRecord(self.step, self.step / 10, 1.0, 0.1, values))

    def change(self, path, value, checkpoint=""):
        if checkpoint:
            self.save(checkpoint)
        self.book, changes = self.book.change([(path, value)])
        command = ChangeSettings(((path, value),))
        self.record.append_event(events.CommandApplied(self.step, "a-1", command, changes, checkpoint))

    def save(self, name, value=0.0):
        arrays = {"w": np.full(3, value, np.float32)}
        moment = RunState(self.step, self.step / 10, self.book, arrays, name, REQUESTED, self.record.branch)
        self.record.save_checkpoint(name, moment.arrays, moment.meta())
        self.record.append_event(events.CheckpointSaved(self.step, name, REQUESTED))
        return moment

    def go_back(self, moment):
        self.record.append_rewind(moment.step, moment.branch)
        changes = self.book.differences(moment.book)
        self.step, self.book = moment.step, moment.book
        self.record.append_event(events.Restored(self.step, moment.name, RestoreReason.UNDO, 0, changes))

    def starting_point(self, name=None):
        assert self.record.flush()
        return starting_point(self.record, BOOK, name, self.notices.append)


@pytest.fixture
def script(tmp_path):
    made = Script(tmp_path / "run")
    yield made
    made.record.close()


def damage(script, name):
    path = script.record.directory / "checkpoints" / (name + ".npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def assigned(replay):
    return [(item.step, item.command.assignments) for item in replay]


def test_the_newest_checkpoint_is_used(script):
    for step in (10, 20):
        script.train(10)
        script.save(f"auto-{step}")
    moment, replay = script.starting_point()
    assert (moment.name, moment.step, replay) == ("auto-20", 20, ())


def test_changes_after_the_checkpoint_are_applied_again(script):
    script.change("dense1.weights.num_bits", 7)
    script.train(10)
    script.save("auto-10")
    script.train(10)
    script.change("dense1.weights.num_bits", 3)
    moment, replay = script.starting_point()
    assert moment.name == "auto-10" and moment.book.of("dense1.weights").num_bits == 7
    assert assigned(replay) == [(20, (("dense1.weights.num_bits", 3),))]


def test_the_change_that_caused_a_checkpoint_is_applied_again(script):
    script.train(10)
    script.change("run.learning_rate", 0.5, checkpoint="before-10")
    moment, replay = script.starting_point()
    assert moment.book.run.learning_rate == BOOK.run.learning_rate
    assert assigned(replay) == [(10, (("run.learning_rate", 0.5),))]


def test_a_named_checkpoint_is_restored_without_later_changes(script):
    script.train(10)
    script.change("run.learning_rate", 0.5, checkpoint="before-10")
    moment, replay = script.starting_point("before-10")
    assert (moment.name, replay) == ("before-10", ())


def test_a_checkpoint_of_a_discarded_branch_is_not_used(script):
    script.train(10)
    kept = script.save("kept")
    script.train(10)
    script.save("left")
    script.change("run.learning_rate", 0.5)
    script.go_back(kept)
    script.train(3)
    moment, replay = script.starting_point()
    assert (moment.name, replay) == ("kept", ())


def test_a_checkpoint_of_a_discarded_branch_without_event_is_not_used(script):
    """The process ended between writing the file and the event."""
    script.train(10)
    kept = script.save("kept")
    script.train(10)
    arrays, meta = script.record.load_checkpoint("kept")
    script.record.save_checkpoint("left", arrays, dict(meta, step=20))
    script.record.save_checkpoint("unknown-branch", arrays, dict(meta, step=5, branch=7))
    script.go_back(kept)
    script.train(15)
    moment, _ = script.starting_point()
    assert moment.name == "kept"
    script.record.delete_checkpoint("kept")
    with pytest.raises(RecordError, match="none of its 2 checkpoints"):
        script.starting_point()


def assert_only_warning_names(script, checkpoint):
    """Check that a single notice was given, which is a warning that names the checkpoint."""
    assert len(script.notices) == 1 and script.notices[0].is_warning and checkpoint in script.notices[0].text


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(script):
    for step in (10, 20):
        script.train(10)
        script.save(f"auto-{step}")
    damage(script, "auto-20")
    moment, _ = script.starting_point()
    assert moment.name == "auto-10"
    assert_only_warning_names(script, "auto-20")


def test_a_nonfinite_checkpoint_is_named_and_the_one_before_is_used(script):
    script.train(10)
    script.save("good")
    script.train(10)
    script.save("bad", np.nan)
    moment, _ = script.starting_point()
    assert moment.name == "good"
    assert_only_warning_names(script, "bad")


def test_a_run_without_a_readable_checkpoint_cannot_be_resumed(script):
    script.train(10)
    script.save("only")
    damage(script, "only")
    with pytest.raises(RecordError, match="none of its 1 checkpoints"):
        script.starting_point()
    with pytest.raises(RecordError, match="only"):
        script.starting_point("only")
    assert all(notice.is_warning and "only" in notice.text for notice in script.notices) and script.notices


def test_a_run_without_checkpoints_starts_again_with_its_changes(script):
    script.train(10)
    script.change("run.learning_rate", 0.5)
    moment, replay = script.starting_point()
    assert moment is None
    assert assigned(replay) == [(10, (("run.learning_rate", 0.5),))]
    outcome = rewind_record(script.record, Spec(None))
    assert (outcome.step, outcome.changes, outcome.book) == (0, [], BOOK)


def test_a_run_continues_from_a_checkpoint_that_was_saved_after_its_record_had_failed(script):
    script.train(10)
    first = script.save("auto-10")
    assert script.record.flush()
    script.record.append_event(events.Failed(10, object(), ""))  # can't be written
    assert not script.record.flush()
    script.train(5)
    script.go_back(first)
    script.train(20)
    script.save("auto-30")
    script.record.close()
    reader = RunRecord.read(script.record.directory)
    assert starting_point(reader, BOOK, None, script.notices.append)[0].name == "auto-10"
    assert "auto-30: saved after the record had failed" in script.notices.pop().text
    script.record = RunRecord.open(script.record.directory)
    moment, _ = script.starting_point()
    assert (moment.name, moment.step) == ("auto-30", 30) and script.notices == []
    outcome = rewind_record(script.record, Spec(moment), script.notices.append)
    assert outcome.step == 30 and script.record.last_step == 30
    assert [notice.is_warning for notice in script.notices] == [True] and "step 30" in script.notices[0].text
    script.train(1)
    assert script.record.flush()
    assert script.record.steps().steps.tolist() == [*range(1, 11), 31]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.integers(1, 5)),
        st.tuples(
            st.just("change"),
            st.sampled_from([f"{PLAN.tensors[index].layer}.weights.num_bits" for index in (1, 3)]),
            st.integers(2, 16),
        ),
        st.tuples(st.just("save"), st.integers(0, 99)),
        st.tuples(st.just("go_back"), st.integers(0, 99)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
def test_a_resumed_run_has_its_last_settings(tmp_path_factory, actions):
    """For any history: the checkpoint's settings with the changes applied again equal the last settings, and the
    rewound record has the checkpoint's."""
    script = Script(tmp_path_factory.mktemp("script") / "run")
    moments = []
    with script.record:
        for number, (what, *arguments) in enumerate(actions):
            if what == "save":
                moments.append(script.save(f"c{number:02d}"))
            elif what == "go_back":
                if moments:
                    script.go_back(moments[arguments[0] % len(moments)])
            else:
                getattr(script, what)(*arguments)
        moment, replay = script.starting_point()
        book = moment.book if moment else BOOK
        for step, command, _ in replay:
            assert step >= (moment.step if moment else 0)
            book, _ = book.change(command.assignments)
        assert book == script.book
        outcome = rewind_record(script.record, Spec(moment))
        assert outcome.book == (moment.book if moment else BOOK)
        assert script.record.flush()
        assert read_outcome(script.record).book == outcome.book
