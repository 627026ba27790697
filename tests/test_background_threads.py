"""Several threads that wait for a run in the background: none misses its answer, and none waits in vain."""

import threading
from collections import deque
from contextlib import contextmanager

import pytest
import small_runs
from waiting import join

from qatviz.background_run import BackgroundRun
from qatviz.errors import RunStateError
from qatviz.metric import MODES
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.session.changes import check_change, parse_change
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import Outcome

BITS = "dense1.weights.num_bits={}"


class ScriptedRun:
    """Run whose reports a test writes; those of one call of :meth:`put` are read together."""

    def __init__(self):
        self.spec = small_runs.spec()
        self.history, self.state, self.step, self.final, self.best = History({}), "paused", 3, None, None
        self.sent = deque()  # commands without a reply yet, with their ids
        self._batches, self._arrived, self._cursor = deque(), threading.Condition(), BranchCursor()
        self._has_ended, self._numbers = False, iter(range(100))

    def start(self):
        pass

    def send(self, command, id=""):
        with self._arrived:
            self.sent.append((command, str(next(self._numbers))))
            self._arrived.notify_all()
            return self.sent[-1][1]

    def put(self, *items):
        with self._arrived:
            self._batches.append(
                [self._cursor.place(item) if isinstance(item, events.Event) else item for item in items]
            )
            self._arrived.notify_all()

    def next_command(self):
        """Wait for a command, and return it with its id."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.sent)
            return self.sent.popleft()

    def applied(self, command, id, changes=()):
        return events.CommandApplied(self.step, id, command, changes)

    def evaluated(self, score):
        return events.Evaluated(self.step, dict.fromkeys(MODES, score), 10, 0.1)

    def wait_for_news(self, timeout_s):
        with self._arrived:
            return self._arrived.wait_for(lambda: self._batches, timeout_s)

    def drain(self):
        with self._arrived:
            return self._batches.popleft() if self._batches else []

    def wait(self, timeout_s=None):
        return self._has_ended

    def request_stop(self):
        self._has_ended = True


@pytest.fixture
def scripted():
    """A scripted run, and the run in the background that reads it."""
    run = ScriptedRun()
    yield run, BackgroundRun(run, Outcome(run.spec.book), None)
    run.request_stop()


@contextmanager
def calls(*functions):
    """Call functions on a thread each; the list has their results, or errors, when the block is left."""
    results = [None] * len(functions)

    def call(number):
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(len(functions))]
    for thread in threads:
        thread.start()
    yield results
    join(*threads)


def with_bits(run, bits):
    return check_change(run.spec.book, parse_change(BITS.format(bits)))


def test_answers_to_two_threads_that_arrive_together_reach_both(scripted):
    run, background = scripted
    bits = (2, 3)
    with calls(*(lambda number=number: background.evaluate([BITS.format(number)]) for number in bits)) as results:
        commands = [run.next_command() for _ in bits]
        replies = [run.applied(command, id) for command, id in commands]
        scores = []
        for command, id in commands:
            ((_path, number),) = command.assignments
            scores.append(SettingsEvaluated(with_bits(run, number), run.evaluated(number / 10), id))
        run.put(*replies, *scores)
    assert results == [dict.fromkeys(MODES, 0.2), dict.fromkeys(MODES, 0.3)]


def test_an_evaluation_of_the_same_settings_that_another_requested_is_no_answer(scripted):
    run, background = scripted
    with calls(lambda: background.evaluate([BITS.format(2)])) as results:
        command, id = run.next_command()
        book = with_bits(run, 2)
        answers = [SettingsEvaluated(book, run.evaluated(score), of) for of, score in (("x", 0.5), (id, 0.25))]
        run.put(run.applied(command, id), *answers)
    assert results == [dict.fromkeys(MODES, 0.25)]


def test_an_answer_that_another_report_follows_at_once_is_not_missed(scripted):
    run, background = scripted
    with calls(background.evaluate) as results:
        command, id = run.next_command()
        change = c.ChangeSettings((("dense1.weights.num_bits", 2),))
        changes = tuple(run.spec.book.change(change.assignments)[1])
        run.put(run.applied(command, id), run.evaluated(0.5), run.applied(change, "x", changes), run.evaluated(0.25))
    assert results == [dict.fromkeys(MODES, 0.5)]


def test_an_evaluation_that_began_after_a_change_of_another_thread_is_an_answer(scripted):
    run, background = scripted
    with calls(background.evaluate) as results:
        command, id = run.next_command()
        change = c.ChangeSettings((("dense1.weights.num_bits", 2),))
        changes = tuple(run.spec.book.change(change.assignments)[1])
        run.put(run.applied(command, id), run.applied(change, "x", changes), run.evaluated(0.25))
    assert results == [dict.fromkeys(MODES, 0.25)]


def test_settings_that_another_thread_changes_before_the_evaluation_are_those_it_is_compared_with(scripted):
    run, background = scripted
    with calls(lambda: background.evaluate(["*.weights.symmetric=off"])) as results:
        command, id = run.next_command()
        change = c.ChangeSettings((("dense1.weights.num_bits", 2),))
        book, changes = run.spec.book.change(change.assignments)
        book = check_change(book, parse_change("*.weights.symmetric=off"))
        run.put(run.applied(change, "x", tuple(changes)), run.applied(command, id))
        run.put(SettingsEvaluated(book, run.evaluated(0.25), id))
    assert results == [dict.fromkeys(MODES, 0.25)]


def test_an_evaluation_before_the_reply_is_no_answer(scripted):
    run, background = scripted
    with calls(background.evaluate) as results:
        command, id = run.next_command()
        run.put(run.evaluated(0.5), run.applied(command, id), run.evaluated(0.25))
    assert results == [dict.fromkeys(MODES, 0.25)]


def test_an_error_of_the_reader_ends_all_waits(scripted, monkeypatch):
    run, background = scripted

    def fail(item):
        raise ValueError("out of order")

    monkeypatch.setattr(background._outcome, "update", fail)
    run.state = "running"
    with calls(background.evaluate, lambda: background.advance(3), background.wait) as results:
        run.put(run.applied(*run.next_command()))
    for error in results:
        assert isinstance(error, RunStateError) and isinstance(error.__cause__, ValueError)
        assert str(error) == "the reports of the run can't be processed: ValueError: out of order"
    with pytest.raises(RunStateError, match="out of order"):
        background.stop()
    assert run.wait(), "the run is stopped nevertheless"
