"""Thousands of commands a second from several threads: none is lost, order and limits of memory are kept."""

import threading
import time

import numpy as np
import pytest
from exhaustive import tries
from small_runs import spec
from training_cases import Driver
from waiting import join

from qatviz.errors import RunStateError
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.snapshots import Snapshot, TensorValues
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training import checkpointer
from qatviz.training.checkpointer import Checkpointer

SENDERS = 4
#: Commands of each sender.
COMMANDS = tries(300, 25_000)
NAMES = ("one", "two", "three")


def command(sender, index):
    """Return a command that differs from its neighbours in kind and, where possible, in content."""
    kinds = [
        c.Pause,
        lambda: c.ChangeSettings((("dense1.weights.num_bits", 2 + (sender + index) % 15),)),
        lambda: c.InspectTensor(("dense1.weights", "logits.activations")[index % 2]),
        c.Resume,
        lambda: c.SaveCheckpoint(NAMES[index % 3]),
        lambda: c.ChangeSettings((("run.learning_rate", 1e-3 + 1e-6 * index),), continues=bool(index % 3)),
        c.TakeSnapshot,
        c.Evaluate,
        lambda: c.InspectTensor("nobody"),
        lambda: c.SingleStep(1),
        c.Undo,
    ]
    return kinds[index % len(kinds)]()


class Flood:
    """Threads that send commands to a run as fast as they can."""

    def __init__(self, run, count):
        self.sent = [[] for _ in range(SENDERS)]
        self.refused = []
        self._run, self._count = run, count
        self.threads = [threading.Thread(target=self._send, args=(sender,)) for sender in range(SENDERS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _send(self, sender):
        for index in range(self._count):
            try:
                self.sent[sender].append((self._run.send(command(sender, index)), command(sender, index)))
            except RunStateError as error:
                self.refused.append(str(error))


def number(command_id):
    return int(command_id.rpartition("-")[2])


def assert_answered_in_order(driver, flood):
    """Every command that was accepted has one answer, of the same command, in the order of acceptance."""
    answers = driver.events(events.CommandApplied, events.CommandRejected)
    ours = {command_id: command_ for sent in flood.sent for command_id, command_ in sent}
    answered = [answer for answer in answers if answer.id in ours]
    assert [number(answer.id) for answer in answered] == sorted(map(number, ours))
    assert all(answer.command == ours[answer.id] for answer in answered)
    for sent in flood.sent:
        assert [number(command_id) for command_id, _ in sent] == sorted(number(command_id) for command_id, _ in sent)


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_flood_of_commands_is_answered_in_order_and_the_run_learns_on(tmp_path, is_recorded):
    run_spec = spec()
    record = RunRecord.create(tmp_path / "run", run_spec.description()) if is_recorded else None
    with Driver(run_spec, record) as driver:
        driver.until_step(1)
        flood = Flood(driver.run, COMMANDS)
        began = time.monotonic()
        flood.start()
        join(*flood.threads)
        rate = SENDERS * COMMANDS / (time.monotonic() - began)
        assert rate > 1000, "it is no flood"
        driver.answer(max((command_id for sent in flood.sent for command_id, _ in sent), key=number))
        assert_answered_in_order(driver, flood)
        driver.send(c.Resume())
        driver.until_step(driver.run.step + 20)
        assert np.isfinite([record_.loss for record_ in driver.steps()]).all()
    if is_recorded:
        found = RunRecord.read(tmp_path / "run")
        assert {"one", "two", "three"} <= {info.name for info in found.list_checkpoints() if not info.error}
        answered = [event["id"] for event in found.events() if event["kind"] in ("CommandApplied", "CommandRejected")]
        assert len(answered) >= SENDERS * COMMANDS and len(set(answered)) == len(answered)


def test_a_stop_during_a_flood_ends_the_run_and_every_command_has_an_answer():
    with Driver(spec()) as driver:
        driver.until_step(1)
        flood = Flood(driver.run, COMMANDS)
        flood.start()
        driver.run.request_stop()
        ending = driver.finish()
        join(*flood.threads)
        driver.news.extend(driver.run.drain())
    assert isinstance(ending, events.Stopped)
    assert_answered_in_order(driver, flood)
    assert all("the run has ended" in reason for reason in flood.refused)
    assert sum(map(len, flood.sent)) + len(flood.refused) == SENDERS * COMMANDS


@pytest.mark.parametrize("make", [lambda i: c.TakeSnapshot(), lambda i: c.InspectTensor("dense1.weights")])
def test_requests_for_a_snapshot_of_the_same_state_share_one(make):
    """One for each would delay the commands after them, such as a stop, by seconds."""
    with Driver(spec(), paused=True) as driver:
        since = len(driver.news)
        with driver.run._inbox._arrived:  # the training thread can't take the first before the last is there
            ids = [driver.run.send(make(index)) for index in range(1000)]
        driver.answer(ids[-1])
        driver.send(c.Evaluate())
        taken = [item for item in driver.news[since:] if isinstance(item, Snapshot)]
        values = [item for item in driver.news[since:] if isinstance(item, TensorValues)]
        assert 1 <= len(taken) <= 3 and len(values) <= len(taken)
        assert len(values) >= isinstance(make(0), c.InspectTensor)


class SlowRecord:
    """Record whose checkpoints are written when the test permits it."""

    branch = 0

    def __init__(self):
        self.gate, self.saved = threading.Semaphore(0), []

    def save_checkpoint(self, name, arrays, meta):
        self.gate.acquire()
        self.saved.append(name)


def test_requested_checkpoints_wait_for_the_disk_in_bounded_memory(monkeypatch):
    from waiting import wait_until

    record, announced = SlowRecord(), []
    writer = Checkpointer(record, lambda: None, lambda event, state: announced.append(event))
    names = [f"c{index}" for index in range(20)]
    done = []

    def save():
        for name in names:
            writer.save(requested(name))
            done.append(name)

    saver = threading.Thread(target=save)
    saver.start()
    wait_until(lambda: len(done) == checkpointer._WAITING + 1)  # one is being written
    saver.join(0.1)
    assert saver.is_alive() and len(writer._waiting) <= checkpointer._WAITING
    for _ in names:
        record.gate.release()
    join(saver)
    writer.close()
    assert record.saved == names and [event.name for event in announced] == names


def test_a_pending_checkpoint_is_replaced_by_one_of_the_same_name():
    record, announced = SlowRecord(), []
    writer = Checkpointer(record, lambda: None, lambda event, state: announced.append(event.step))
    for step in range(1000):
        writer.save(requested("mine", step))
    for _ in range(1000):
        record.gate.release()
    writer.close()
    assert announced[-1] == 999 and 2 <= len(announced) <= 3


def requested(name, step=0):
    from qatviz.protocol.reasons import SaveKind, SaveReason
    from qatviz.protocol.run_state import RunState

    run_spec = spec()
    return RunState(step, 0.0, run_spec.book, {"w": np.zeros(4, np.float32)}, name, SaveReason(SaveKind.REQUESTED))


def test_a_checkpoint_that_fails_in_an_unexpected_way_is_reported_and_later_ones_are_written():
    class Failing(SlowRecord):
        def save_checkpoint(self, name, arrays, meta):
            super().save_checkpoint(name, arrays, meta)
            if name == "bad":
                raise MemoryError

    record, announced = Failing(), []
    writer = Checkpointer(record, lambda: None, lambda event, state: announced.append(event))
    for name in ("bad", "good"):
        record.gate.release()
        writer.save(requested(name))
    writer.close()
    assert record.saved == ["bad", "good"]
    assert announced[0].message == "checkpoint bad was not written: there is not enough memory"
    assert isinstance(announced[1], events.CheckpointSaved)
