"""Commands are executed in order at the next step, and each is answered once."""

import threading

import numpy as np
import pytest
from small_runs import dataset, spec
from training_cases import Driver, assert_answers, graph_of
from waiting import wait_for

from qatviz.errors import RunStateError, SettingError
from qatviz.protocol import events
from qatviz.protocol.commands import (
    ApplyPreset,
    ChangeSettings,
    Command,
    Evaluate,
    Pause,
    Redo,
    RestoreCheckpoint,
    Resume,
    SaveCheckpoint,
    SetSteps,
    SingleStep,
    Stop,
    TakeSnapshot,
    Undo,
)
from qatviz.protocol.reasons import PauseReason
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.settings import QUANTIZER_SETTINGS
from qatviz.telemetry import run_handle
from qatviz.training import handle, measuring, pieces
from qatviz.training.graph import TrainingGraph
from qatviz.training.measuring import EVALUATIONS


def steps_follow(news):
    """Check that steps increase by one, starting at the last rewind."""
    expected = None
    for item in news:
        if isinstance(item, events.Restored):
            expected = item.step
        elif isinstance(item, StepRecord):
            assert expected is None or item.step == expected + 1
            expected = item.step


def test_a_change_takes_effect_in_the_next_step():
    """Read from the history, which has every step, also those that a late reader of the channel misses."""
    with Driver(spec()) as driver:
        for bits in (2, 16, 4, 8):
            driver.until_step(driver.run.step + 3)
            sent_at = driver.run.step
            applied = driver.send(ChangeSettings((("dense1.weights.num_bits", bits),)))
            assert applied.step >= sent_at
            driver.until_step(applied.step + 3)
            scales = driver.run.history.series("dense1.weights/scale", applied.step, applied.step + 2)
            assert scales.last_step.tolist() == [applied.step, applied.step + 1, applied.step + 2]
            change, steady = scales.mean[1:] / scales.mean[:-1]
            old = applied.changes[0].old
            expected = (2.0 ** (old - 1) - 1) / (2.0 ** (bits - 1) - 1)
            assert change == pytest.approx(expected, rel=0.3) and steady == pytest.approx(1.0, rel=0.3)


def test_commands_sent_during_a_step_are_answered_before_the_next(graphs, monkeypatch):
    """Commands that arrive during a blocked step are all executed before the next one."""
    entered, go_on = threading.Event(), threading.Event()
    taken = []

    def held(indices, step):
        taken.append(step)
        if step == 5:
            entered.set()
            wait_for(go_on)
        return take(indices, step)

    run_spec = spec()
    graph = graph_of(run_spec, graphs)
    take = graph.step
    monkeypatch.setattr(graph, "step", held)
    with Driver(run_spec) as driver:
        wait_for(entered)
        sent = [
            driver.run.send(command)
            for command in (
                ChangeSettings((("*.weights.num_bits", 4),)),
                ChangeSettings((("*.weights.num_bits", 40),)),
                Pause(),
                Undo(),
            )
        ]
        go_on.set()
        answers = [driver.answer(command_id) for command_id in sent]
        assert [answer.step for answer in answers] == [6, 6, 6, 6]
        assert [type(answer) for answer in answers] == [
            events.CommandApplied,
            events.CommandRejected,
            events.CommandApplied,
            events.CommandApplied,
        ]
        assert taken[-1] == 5
        assert_answers(driver, sent)


def test_a_rejected_change_has_no_partial_effect():
    with Driver(spec(), paused=True) as driver:
        for assignments in [
            (("*.weights.num_bits", 4), ("*.weights.num_bits", 33)),
            (("run.learning_rate", 1.0), ("nobody.scale", 1)),
            (("run.learning_rate", 1.0), ("run.learning_rate", float("nan"))),
        ]:
            rejected = driver.send(ChangeSettings(assignments))
            assert isinstance(rejected, events.CommandRejected)
            assert assignments[1][0].split(".")[-1] in rejected.message
        applied = driver.send(ChangeSettings((("*.weights.num_bits", 8), ("run.learning_rate", "1e-2"))))
        assert applied.changes == () and applied.checkpoint == ""
        assert "nothing to undo" in driver.send(Undo()).message


def test_commands_of_several_threads_are_answered_once_each_in_order():
    per_thread, ids = 40, []
    lock = threading.Lock()

    def send(run, bits):
        for _ in range(per_thread):
            with lock:  # ids are assigned in the order of sending
                ids.append(run.send(ChangeSettings((("dense1.weights.num_bits", bits),))))

    with Driver(spec()) as driver:
        driver.until_step(1)
        threads = [threading.Thread(target=send, args=(driver.run, bits)) for bits in (3, 5, 99)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        driver.answer(ids[-1])
        assert len(set(ids)) == 3 * per_thread
        assert_answers(driver, ids)
        assert len(driver.events(events.CommandRejected)) == per_thread
        steps_follow(driver.news)


def random_command(random, names):
    """Return a random command, which may be invalid."""

    def path():
        tensor = random.choice(["*", "*.weights", "dense1", "dense1.activations", "nobody", "run"])
        return f"{tensor}.{random.choice([*list(QUANTIZER_SETTINGS), 'learning_rate', 'freeze_ranges', 'nothing'])}"

    def value():
        return random.choice(
            np.array(
                [
                    True,
                    False,
                    2,
                    3,
                    8,
                    16,
                    1,
                    17,
                    0.5,
                    99.0,
                    "mse",
                    "frozen",
                    "min_max",
                    "percentile",
                    "on",
                    "moving_average",
                    "extremes",
                    None,
                    float("inf"),
                    -1,
                    "4",
                ],
                object,
            )
        )

    def changes():
        return ChangeSettings(tuple((path(), value()) for _ in range(random.randint(1, 4))))

    kinds = [
        changes,
        changes,
        changes,
        changes,
        Undo,
        Undo,
        Redo,
        Pause,
        Resume,
        Resume,
        Evaluate,
        TakeSnapshot,
        Command,
        lambda: SingleStep(int(random.randint(-1, 4))),
        lambda: SetSteps(random.choice([None, -3])),
        lambda: ApplyPreset(random.choice(["int4", "ternary", "float", "tflite-int8", "no such preset"])),
        lambda: SaveCheckpoint(random.choice(names)),
        lambda: RestoreCheckpoint(random.choice([*names, "not there"])),
    ]
    return kinds[random.randint(len(kinds))]()


def test_a_thousand_random_commands_leave_a_healthy_run():
    random = np.random.RandomState(0)
    with Driver(spec()) as driver:
        driver.until_step(1)
        ids = []
        for _index in range(1000):
            ids.append(driver.run.send(random_command(random, ["one", "two"])))
            if random.rand() < 0.3:
                driver.news.extend(driver.run.drain())
                driver.run.wait_for_news(random.rand() * 0.003)
        driver.answer(ids[-1])
        assert_answers(driver, ids)
        rejected = len(driver.events(events.CommandRejected))
        assert 100 < rejected < 900
        # It still learns: after a restart, some steps are finite.
        driver.send(ApplyPreset("tflite-int8"))
        driver.send(ChangeSettings((("run.learning_rate", 0.01), ("run.freeze_ranges", False))))
        driver.send(Resume())
        driver.until_step(driver.run.step + 5)
        assert np.isfinite([record.loss for record in driver.steps()]).all()
        steps_follow(driver.news)
        assert driver.run.state in (run_handle.RUNNING, run_handle.PAUSED)
    assert isinstance(driver.events()[-1], events.Stopped)
    assert driver.run.state == run_handle.STOPPED


def test_pause_resume_and_single_steps():
    with Driver(spec()) as driver:
        assert driver.send(Pause()).step == driver.until_event(events.Paused).step
        paused_at = driver.run.step
        assert driver.run.state == run_handle.PAUSED
        snapshot = driver.until(lambda item: isinstance(item, Snapshot))
        assert snapshot.step == paused_at
        since = len(driver.news)
        driver.run.send(SingleStep(3))
        paused = driver.until_event(events.Paused, since=since)
        assert (paused.step, paused.reason) == (paused_at + 3, PauseReason.SINGLE_STEPS)
        assert driver.run.step == paused_at + 3 and driver.run.state == run_handle.PAUSED
        since = len(driver.news)
        driver.run.send(Resume())
        assert driver.until_event(events.Resumed, since=since).step == paused_at + 3
        driver.until_step(paused_at + 10)
        assert driver.run.state == run_handle.RUNNING
        driver.run.send(Pause())
        driver.run.send(Pause())
        answers = [driver.send(command) for command in (Pause(), Resume(), Resume())]
        assert all(isinstance(answer, events.CommandApplied) for answer in answers)
        steps_follow(driver.news)


def test_evaluations_commands_and_snapshots_do_not_block_each_other(graphs, monkeypatch):
    """With held-out data of many pieces, other requests are executed before the evaluation ends, and its result is
    still that of the requested state."""
    pieces = []
    first, change_sent = threading.Event(), threading.Event()

    def slow(self, indices, weights, activations):
        pieces.append(indices)
        first.set()
        wait_for(change_sent)
        return TrainingGraph.score_part(self, indices, weights, activations)

    run_spec = spec(data=dataset(test=700))
    with Driver(run_spec, paused=True) as driver:
        driver.send(Evaluate())
        undisturbed = driver.until_event(events.Evaluated)
    monkeypatch.setattr(type(graph_of(run_spec, graphs)), "score_part", slow)
    with Driver(run_spec, paused=True) as driver:
        assert driver.send(Evaluate()).step == 0
        wait_for(first)
        driver.run.send(SingleStep(3))
        command_id = driver.run.send(ChangeSettings((("*.weights.num_bits", 2),)))
        driver.run.send(TakeSnapshot())
        change_sent.set()
        applied, result = driver.answer(command_id), driver.until_event(events.Evaluated)
        during = driver.news[driver.news.index(applied) : driver.news.index(result)]
        seen = [item for item in during if isinstance(item, Snapshot)]
        assert seen and np.count_nonzero(seen[0].histograms["dense1.weights"].code_counts) <= 3
        assert result.step == 0 and result.num_examples == 700 and result.scores == undisturbed.scores
    assert sorted(np.concatenate(pieces).tolist()) == sorted(list(range(700)) * len(EVALUATIONS))


def test_accuracy_is_measured_on_the_published_state(graphs):
    data = dataset(test=150)
    run_spec = spec(data=data, weights={"num_bits": 2}, activations={"num_bits": 3})
    graph = graph_of(run_spec, graphs)
    with Driver(run_spec, paused=True) as driver:
        driver.run.send(SingleStep(20))
        driver.until(lambda item: isinstance(item, events.Paused) and item.reason is PauseReason.SINGLE_STEPS)
        driver.send(Evaluate())
        result = driver.until_event(events.Evaluated)
        images = data.x_test * np.float32(data.pixel_scale)
        for name, (weights, activations) in EVALUATIONS.items():
            predicted = graph.logits(images, weights, activations).argmax(axis=1)
            assert result.scores[name] == np.mean(predicted == data.y_test)
    assert len(set(result.scores.values())) > 1, "four times the same: the four ways are not told apart"


def test_evaluations_run_at_their_interval_and_at_the_end():
    with Driver(spec(steps=25, run={"evaluation_interval": 10})) as driver:
        assert driver.finish() == events.Finished(25)
    assert [event.step for event in driver.events(events.Evaluated)] == [10, 20, 25]


@pytest.mark.parametrize("interval", [1, 7, 10])
def test_evaluations_of_many_held_out_examples_are_not_dropped(graphs, monkeypatch, interval):
    """160 pieces: one in each training step would take 160 steps."""
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 1)
    run_spec = spec(steps=25, run={"evaluation_interval": interval})
    counts, steps = [], []
    graph = graph_of(run_spec, graphs)

    def count(self, indices, weights, activations):
        counts.append(len(steps))
        return TrainingGraph.score_part(self, indices, weights, activations)

    def step(self, *arguments):
        steps.append(self)
        return TrainingGraph.step(self, *arguments)

    monkeypatch.setattr(type(graph), "score_part", count)
    monkeypatch.setattr(type(graph), "step", step)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(25)
    found = [event.step for event in driver.events(events.Evaluated)]
    assert found == sorted({*range(interval, 26, interval), 25})
    assert len(counts) == len(found) * 160
    in_each_step = np.bincount(counts)[:25]  # all but those of the last evaluation, which no step is waiting for
    # An evaluation begins after the next step, so that the first step of a run waits for none.
    assert in_each_step.max() <= -(-160 // max(interval - 1, 1)) + 1, "the pieces are not spread evenly over the steps"


def test_a_requested_evaluation_waits_for_the_one_in_progress(graphs, monkeypatch):
    """It is of the state at which it was requested; two requests for the same state are one evaluation."""
    monkeypatch.setattr(pieces, "LARGEST_PIECE", 1)
    driver = Driver(spec(), paused=True)
    sent = []

    def count(self, indices, weights, activations):
        if not sent:
            commands = ChangeSettings((("*.weights.num_bits", 2),)), Evaluate(), Evaluate()
            sent.extend(driver.run.send(command) for command in commands)
        return TrainingGraph.score_part(self, indices, weights, activations)

    monkeypatch.setattr(type(graph_of(driver.run.spec, graphs)), "score_part", count)
    with driver:
        driver.send(Evaluate())
        changed = driver.until(lambda item: getattr(item, "id", 0) in sent)
        first = driver.until_event(events.Evaluated)
        second = driver.until_event(events.Evaluated, since=driver.news.index(first) + 1)
        driver.send(Stop())
        driver.until_end()
        assert isinstance(changed, events.CommandApplied)
    assert driver.events(events.Evaluated) == [first, second]
    assert first.scores["float"] == second.scores["float"]


def test_commands_during_the_last_evaluation_are_executed(graphs, monkeypatch):
    driver = Driver(spec(steps=5))
    sent = []

    def count(self, indices, weights, activations):
        if not sent:
            sent.append(driver.run.send(SetSteps(9)))
        return TrainingGraph.score_part(self, indices, weights, activations)

    monkeypatch.setattr(type(graph_of(driver.run.spec, graphs)), "score_part", count)
    with driver:
        assert driver.finish() == events.Finished(9)
    assert [record.step for record in driver.steps()] == list(range(1, 10))
    assert_answers(driver, sent)


def test_unread_telemetry_is_dropped_and_counted_but_events_are_kept():
    with Driver(spec(steps=run_handle.CHANNEL_CAPACITY + 300)) as driver:
        ids = [driver.run.send(ChangeSettings((("*.weights.num_bits", 4 + index % 2),))) for index in range(20)]
        wait_for(driver.run)
        assert driver.run.state == run_handle.FINISHED
        driver.news.extend(driver.run.drain())
    snapshots = [item for item in driver.news if isinstance(item, Snapshot)]
    assert len(driver.steps()) == run_handle.CHANNEL_CAPACITY
    assert snapshots[0].step <= 1 and driver.run.dropped == 300
    assert driver.steps()[-1].step == run_handle.CHANNEL_CAPACITY + 300
    assert_answers(driver, ids)
    assert driver.run.history.last_step("steps") == run_handle.CHANNEL_CAPACITY + 300


def test_a_run_starts_once_and_refuses_commands_after_its_end():
    with Driver(spec(steps=1)) as driver:
        with pytest.raises(RunStateError, match="once"):
            driver.run.start()
        assert isinstance(driver.finish(), events.Finished)
        assert driver.run.state == run_handle.FINISHED
        with pytest.raises(RunStateError, match="Undo: the run has ended"):
            driver.run.send(Undo())
        driver.run.request_stop()


@pytest.mark.parametrize("command", [None, "pause", 3, Pause])
def test_invalid_commands_are_refused_by_the_sender(command):
    run = handle.Run(spec())
    with pytest.raises(RunStateError, match="is not a command"):
        run.send(command)


@pytest.mark.parametrize(
    "kind, value",
    [
        (ChangeSettings, None),
        (ChangeSettings, ("a.b", 1)),
        (ChangeSettings, ((1, 2),)),
        (ChangeSettings, (("a",),)),
        (ApplyPreset, ["int4"]),
        (SaveCheckpoint, 5),
        (RestoreCheckpoint, None),
    ],
)
def test_a_malformed_command_cannot_be_made(kind, value):
    with pytest.raises(SettingError, match=kind.__name__):
        kind(value)


def test_a_run_stopped_while_its_graph_is_built_ends_immediately(graphs, monkeypatch):
    building, go_on = threading.Event(), threading.Event()

    def built(*arguments):
        building.set()
        wait_for(go_on)
        return graphs(*arguments)

    monkeypatch.setattr("qatviz.training.trainer.TrainingGraph", built)
    with Driver(spec()) as driver:
        wait_for(building)
        assert driver.run.state == run_handle.BUILDING
        driver.run.request_stop()
        go_on.set()
        assert driver.finish() == events.Stopped(0)
    assert driver.steps() == [] and driver.run.state == run_handle.STOPPED


def test_a_paused_run_can_be_stopped_and_saves_its_state():
    with Driver(spec()) as driver:
        driver.until_step(3)
        driver.send(Pause())
        assert isinstance(driver.send(Stop()), events.CommandApplied)
        assert driver.finish() == events.Stopped(driver.run.step)
    last = [item for item in driver.news if isinstance(item, Snapshot)][-1]
    assert last.step == driver.run.step


def test_a_snapshot_follows_a_change_before_the_next_step(monkeypatch):
    """Regardless of the interval between snapshots, which is practically infinite here."""
    monkeypatch.setattr(measuring, "SNAPSHOT_SHARE", 1e-9)
    monkeypatch.setattr(measuring, "oldest_age_s", lambda num_tensors: 1e9)
    monkeypatch.setattr(measuring, "longest_gap", lambda step: 10**9)
    with Driver(spec(run={"snapshot_interval": 0.02})) as driver:
        second = driver.until(lambda item: isinstance(item, Snapshot) and item.step > 1)  # no rest after the first
        driver.until_step(second.step + 50)
        before = len([item for item in driver.news if isinstance(item, Snapshot)])
        for bits in (2, 5):
            driver.until_step(driver.run.step + 20)
            applied = driver.send(ChangeSettings((("dense1.weights.num_bits", bits),)))
            seen = driver.until(lambda item: isinstance(item, Snapshot), driver.news.index(applied))
            assert seen.point == applied.point
            assert np.count_nonzero(seen.histograms["dense1.weights"].code_counts) <= 2**bits
        driver.send(ChangeSettings((("run.learning_rate", 1e-3),)))
        driver.until_step(driver.run.step + 100)
    assert len([item for item in driver.news if isinstance(item, Snapshot)]) == before + 2 + 1  # and the final one


def test_a_snapshot_follows_a_change_while_paused():
    with Driver(spec(), paused=True) as driver:
        applied = driver.send(ChangeSettings((("dense1.weights.num_bits", 2),)))
        seen = driver.until(lambda item: isinstance(item, Snapshot), driver.news.index(applied))
        assert seen.step == driver.run.step and np.count_nonzero(seen.histograms["dense1.weights"].code_counts) <= 3
