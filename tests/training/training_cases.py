"""Runs for the tests of training, driven from their threads."""

from waiting import Patience

from qatviz.protocol.commands import Pause, SingleStep
from qatviz.protocol.events import CommandApplied, CommandRejected, Event, Paused
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.training.building import graph_arguments
from qatviz.training.handle import Run

#: Number of steps after which waiting for a running run fails.
MAX_STEPS = 100_000


class Driver:
    """A run with all items that it emitted, in order; ends the run on exit. ``paused``: before its first step.

    Attributes
    ----------
    news : list
        Everything drained so far.
    """

    def __init__(self, run_or_spec, record=None, paused=False):
        self.run = run_or_spec if isinstance(run_or_spec, Run) else Run(run_or_spec, record)
        self.news = []
        self._paused = paused

    def __enter__(self):
        if self._paused:
            self.run.send(Pause())
        self.run.start()
        if self._paused:
            assert self.until_event(Paused).step == self.run.step
        return self

    def __exit__(self, *_):
        self.run.request_stop()
        self.until_end()

    def until(self, wanted, since=0):
        """Read until an item with ``wanted(item)`` follows the first ``since`` items; return it."""
        patience = self._patience("news")
        seen = since
        while True:
            for item in self.news[seen:]:
                if wanted(item):
                    return item
            seen = len(self.news)
            assert not (self.run.wait(0) and not self.run.wait_for_news(0)), f"the run ended: {self.events()[-3:]}"
            patience.look()
            self.run.wait_for_news(0.1)
            self.news.extend(self.run.drain())

    def until_event(self, *kinds, since=0):
        """Read until an event of one of these classes; return it."""
        return self.until(lambda item: isinstance(item, kinds), since)

    def send(self, command):
        """Send a command and wait for its answer."""
        return self.answer(self.run.send(command))

    def answer(self, command_id):
        """Wait for the answer to the command with this id; return it."""
        return self.until(lambda item: getattr(item, "id", None) == command_id)

    def until_step(self, step):
        """Wait for the record of a step."""
        return self.until(lambda item: isinstance(item, StepRecord) and item.step >= step)

    def finish(self):
        """Wait for the end of the run; return its last event."""
        self.until_end()
        return self.events()[-1]

    def until_end(self):
        """Wait for the end of the run and read all items before it."""
        patience = self._patience("the end of the run")
        while not self.run.wait(0.1):
            patience.look()
        self.news.extend(self.run.drain())

    def _patience(self, what):
        return Patience(lambda: f"{what}; last: {self.events()[-5:]}", (lambda: self.run.step, MAX_STEPS))

    def events(self, *kinds):
        """Return the events so far, of these classes."""
        return [item for item in self.news if isinstance(item, kinds or Event)]

    def snapshots(self):
        """Return the snapshots so far."""
        return [item for item in self.news if isinstance(item, Snapshot)]

    def steps(self):
        """Return the step records so far."""
        return [item for item in self.news if isinstance(item, StepRecord)]


def advance(driver, steps):
    """Train a number of steps in a paused run."""
    since = len(driver.news)
    driver.run.send(SingleStep(steps))
    driver.until_event(Paused, since=since)


def graph_of(run_spec, graphs):
    """Return the shared graph that a run of this spec uses."""
    return graphs(*graph_arguments(run_spec))


def assert_same_arrays(one, other):
    """Check that both have the same arrays, bit for bit."""
    assert sorted(one) == sorted(other)
    different = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    assert not different


def assert_answers(driver, ids):
    """Check that every command was answered exactly once, in the order of the commands."""
    scheduled = {item.id for item in driver.run.spec.schedule}
    answered = [item.id for item in driver.events(CommandApplied, CommandRejected) if item.id not in scheduled]
    assert answered == sorted(ids, key=lambda command_id: int(command_id.rpartition("-")[2]))
