"""Run that trains in the background while a script or a notebook steers it."""

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from qatviz.errors import QatvizError, RunStateError, SettingError
from qatviz.network.graph import Network
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent, Timeline
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.session.changes import check_change, parse_change
from qatviz.session.prepared import Notice
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.run_handle import PAUSED
from qatviz.trained import Trained
from qatviz.training.handle import Run

#: Longest time (s) between two looks of the reader at the run, which also notices its end.
_READ_INTERVAL_S = 0.1
#: Longest single wait (s): Python handles Ctrl-C, or the interruption of a notebook, between two.
_SIGNALS_S = 0.2
#: Number of the newest replies that are kept for their callers, and of the newest snapshots for the summary.
_REPLIES_KEPT, _SNAPSHOTS_KEPT = 1000, 8

_News = TypeVar("_News")


class BackgroundRun:
    """Run in the background; :func:`qatviz.train` with ``block=False`` returns it, started.

    Its methods may be called from any thread. Those that request something of the run return once it has taken effect,
    between two training steps. An interruption (Ctrl-C) ends the wait, not the run. In a ``with`` statement, the run is
    stopped at the end of the block. A notebook displays its state, curves and tensors.

    Parameters
    ----------
    run : Run
        Run that is not started.
    outcome : Outcome
        Its state so far.
    directory : str, optional
        Directory of its record; None if it is not recorded.
    notices : tuple of Notice
        Notes and warnings of its preparation.
    """

    def __init__(self, run: Run, outcome: Outcome, directory: Optional[str], notices: Tuple[Notice, ...] = ()):
        self._run, self._outcome = run, outcome
        self.directory, self.notices = directory, notices
        self._news = threading.Condition()
        self._timeline = Timeline()
        #: By the command's id: the reply, and the numbers of news before it.
        self._replies: OrderedDict[str, Tuple[events.Event, Dict[type, int]]] = OrderedDict()
        self._first: Optional[Snapshot] = None
        self._snapshots: List[Snapshot] = []
        self._newest_step: Optional[StepRecord] = None
        self._counts: Dict[type, int] = {}  # of news, by kind
        self._newest: Dict[type, Any] = {}  # news of each kind
        self._rewinds = 0
        self._has_ended = False
        run.start()
        threading.Thread(target=self._read, name="qatviz-reader", daemon=True).start()

    # State

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return self._run.spec.network

    @property
    def state(self) -> str:
        """One of "building", "running", "paused", "finished", "stopped" and "failed"."""
        return self._run.state

    @property
    def step(self) -> int:
        """Number of training steps complete."""
        return self._run.step

    @property
    def history(self) -> History:
        """All series so far, such as ``history.series("loss").mean``; safe to read while the run trains."""
        return self._run.history

    @property
    def book(self) -> SettingsBook:
        """Settings in effect: ``book.of("conv1.weights").num_bits``, ``book.run.learning_rate``."""
        with self._news:
            return self._outcome.book

    @property
    def scores(self) -> Dict[str, float]:
        """Results of the last evaluation, as :attr:`qatviz.trained.Trained.scores`; empty before the first."""
        with self._news:
            evaluations = self._outcome.evaluations
            return {name: value for name, value in evaluations[-1].items() if name != "step"} if evaluations else {}

    @property
    def log(self) -> Tuple[LoggedEvent, ...]:
        """All events so far, in order."""
        with self._news:
            return tuple(self._timeline.log)

    # Requests

    def set(self, setting: Union[str, Mapping[str, Any]], value: Any = None) -> int:
        """Change a setting, or several together.

        Parameters
        ----------
        setting : str or mapping of str to object
            Path of a setting, which may have patterns: ``"conv1.weights.num_bits"``, ``"*.weights.symmetric"``,
            ``"run.learning_rate"``; or values by path.
        value : object, optional
            Value of the one setting.

        Returns
        -------
        int
            Number of the training step, counting from 0, before which the change took effect.

        Raises
        ------
        SettingError
            If a path matches no setting, or a value is not allowed; nothing is changed.
        RunStateError
            If the run has ended.
        """
        values = dict(setting) if isinstance(setting, Mapping) else {setting: value}
        return self._request(c.ChangeSettings(tuple(values.items())), SettingError)

    def preset(self, name: str) -> int:
        """Apply a preset to all quantizers, such as ``"int4"``; returns and raises as :meth:`set`."""
        return self._request(c.ApplyPreset(name), SettingError)

    def undo(self) -> int:
        """Rewind the run, weights included, to before the last change of settings; return the step it continues from.

        Raises
        ------
        RunStateError
            If there is nothing to rewind, or the run has ended.
        """
        return self._request(c.Undo())

    def redo(self) -> int:
        """Set the run to the state before the last :meth:`undo`; returns and raises as it does."""
        return self._request(c.Redo())

    def pause(self) -> int:
        """Pause after the current training step; return the number of steps complete."""
        return self._request(c.Pause())

    def resume(self) -> None:
        """Resume after a pause."""
        self._request(c.Resume())

    def advance(self, steps: int = 1) -> int:
        """Train ``steps`` steps, then pause; return the number of steps complete, fewer if the run ended before."""
        _, counts = self._reply_to(c.SingleStep(steps))
        self._until(lambda: self._count(events.Paused) > counts.get(events.Paused, 0))
        return self.step

    def snapshot(self) -> Snapshot:
        """Return histograms and exact measures of the present state; of a run that has ended, the last ones.

        Raises
        ------
        RunStateError
            If the run ended without a snapshot.
        """
        if not self._has_ended:
            return self._answer(c.TakeSnapshot(), Snapshot, lambda snapshot, step: snapshot.step >= step)
        if not self._snapshots:
            raise RunStateError(f"there is no snapshot: {self._ended_text()}")
        return self._snapshots[-1]

    def evaluate(self, changes: Sequence[str] = ()) -> Dict[str, float]:
        """Return the metric of the present state on held-out data, in the four modes; training continues meanwhile.

        Parameters
        ----------
        changes : sequence of str
            Settings to evaluate it under, which do not take effect: ``["*.weights.num_bits=3"]``.

        Returns
        -------
        dict of str to float
            As :attr:`scores`.

        Raises
        ------
        SettingError
            If a change is not allowed, or has a step.
        RunStateError
            If the run is rewound or ends before there is a result.
        """
        if self._has_ended:
            return dict(self.wait().evaluate(changes).scores)
        if not changes:
            book = self.book

            def is_of_present(event: events.Evaluated, step: int) -> bool:
                return event.step >= step and self._timeline.settings_at(event.point, self._outcome.book) == book

            return dict(self._answer(c.Evaluate(), events.Evaluated, is_of_present).scores)
        wanted = self.book
        assignments: Tuple[Tuple[str, Any], ...] = ()
        for change in map(parse_change, changes):
            if change.step is not None:
                raise SettingError.of_field("changes", f"{change.text!r}: an evaluation has no steps: omit the step")
            wanted = check_change(wanted, change)
            assignments += tuple(change.assignments)
        command = c.EvaluateSettings(assignments)
        found = self._answer(command, SettingsEvaluated, lambda event, _: event.book == wanted)
        if found.result is None:
            raise RunStateError("the evaluation has no result: its state was abandoned")
        return dict(found.result.scores)

    # The end

    def stop(self) -> Trained:
        """End the run after the current training step, and return its result; raises as :meth:`wait`."""
        self._run.request_stop()
        self._until(lambda: False)
        return self._trained()

    def wait(self) -> Trained:
        """Return the result once the run has ended.

        Raises
        ------
        RunStateError
            If the run has failed, or is paused, so that it would never end.
        """
        self._until(lambda: self.state == PAUSED)
        if not self._has_ended:
            raise RunStateError(self._paused_text())
        return self._trained()

    def _trained(self) -> Trained:
        failed, run = self._newest.get(events.Failed), self._run
        if failed is not None:
            details = "" if failed.explained else f"\n{failed.traceback}"
            raise RunStateError(f"training failed after step {failed.step}: {failed.message}{details}")
        assert run.final is not None, "a run that has not failed has a final state"
        return Trained(run.spec, self._outcome, run.final, self.directory, self.notices, run.best)

    def __enter__(self) -> "BackgroundRun":
        return self

    def __exit__(self, *_: Any) -> None:
        self._run.request_stop()
        self._until(lambda: False)

    # Display

    def __repr__(self) -> str:
        return f"<qatviz run of {self._run.spec.network.name}: {self.state}, step {self.step:,}>"

    def _repr_html_(self) -> str:
        """Return state, curves and tensors as HTML, for a notebook."""
        from qatviz.report.summary_page import summary_frame
        from qatviz.report.unrecorded import unrecorded_run
        from qatviz.telemetry.record.refill import metric_in

        with self._news:
            snapshots = [snapshot for snapshot in (self._first, *self._snapshots) if snapshot is not None]
            book, log, newest = self._outcome.book, list(self._timeline.log), self._newest_step
        run = self._run
        data = unrecorded_run(
            dict(run.description), run.spec.network, book, metric_in(run.history), run.history, snapshots, log, newest
        )
        return summary_frame(replace(data, missing=()), self.state)

    # Implementation

    def _read(self) -> None:
        """Keep the news of the run up to its end."""
        while not self._run.wait(0):
            if self._run.wait_for_news(_READ_INTERVAL_S):
                self._process(self._run.drain())
        self._process(self._run.drain())
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    def _process(self, news: Sequence[Any]) -> None:
        with self._news:
            for item in news:
                self._outcome.update(item)
                if isinstance(item, events.Event):
                    self._process_event(item)
                elif isinstance(item, Snapshot):
                    self._first = self._first or item
                    self._snapshots = [*self._snapshots, item][-_SNAPSHOTS_KEPT:]
                elif isinstance(item, StepRecord):
                    self._newest_step = item
                self._counts[type(item)] = self._count(type(item)) + 1
                self._newest[type(item)] = item
            self._news.notify_all()

    def _process_event(self, event: events.Event) -> None:
        if self._timeline.add(event):  # the run was rewound
            timeline = self._timeline
            self._rewinds += 1
            self._snapshots = [
                known for known in self._snapshots if timeline.path.includes(timeline.place(known.point))
            ]
        if isinstance(event, (events.CommandApplied, events.CommandRejected)):
            self._replies[event.id] = event, dict(self._counts)
            while len(self._replies) > _REPLIES_KEPT:
                self._replies.popitem(last=False)

    def _count(self, kind: type) -> int:
        """Return the number of news of a kind so far."""
        return self._counts.get(kind, 0)

    def _request(self, command: c.Command, refusal: Type[QatvizError] = RunStateError) -> int:
        """Return the step at which a command took effect; raise ``refusal`` if it is rejected."""
        return self._reply_to(command, refusal)[0].step

    def _reply_to(
        self, command: c.Command, refusal: Type[QatvizError] = RunStateError
    ) -> Tuple[events.Event, Dict[type, int]]:
        """Send a command; return its reply, and the numbers of news before it."""
        number = self._run.send(command)
        self._until(lambda: number in self._replies)
        with self._news:
            found = self._replies.pop(number, None)
        if found is None:
            raise RunStateError(f"{type(command).__name__} had no effect: {self._ended_text()}")
        if isinstance(found[0], events.CommandRejected):
            raise refusal(found[0].message)
        return found

    def _answer(self, command: c.Command, kind: Type[_News], is_answer: Callable[[_News, int], bool]) -> _News:
        """Send a command; return the first news of a kind after its reply that ``is_answer`` at the reply's step."""
        rewinds = self._rewinds
        reply, counts = self._reply_to(command)
        before = counts.get(kind, 0)

        def is_there() -> bool:
            return self._count(kind) > before and is_answer(self._newest[kind], reply.step)

        self._until(lambda: is_there() or self._rewinds != rewinds)
        with self._news:
            if is_there():
                answer: _News = self._newest[kind]
                return answer
        reason = "the run was rewound meanwhile" if self._rewinds != rewinds else self._ended_text()
        raise RunStateError(f"{type(command).__name__} has no result: {reason}")

    def _until(self, is_reached: Callable[[], bool]) -> None:
        """Wait until something is reached, or the run has ended."""
        with self._news:
            while not (is_reached() or self._has_ended):
                self._news.wait(_SIGNALS_S)

    def _ended_text(self) -> str:
        return f"the run has ended ({self.state})"

    def _paused_text(self) -> str:
        bad = self._newest.get(events.NonFinite)
        why = "" if bad is None else f", since a value of step {bad.step} was not finite"
        return f"the run is paused after step {self.step}{why}, and would not end: resume() or stop() it"
