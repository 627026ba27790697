"""Handle of a run that trains in the background while a script or a notebook steers it."""

import contextlib
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from qatviz.errors import QatvizError, RunStateError, SettingError, message_of
from qatviz.network.graph import Network
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent, Timeline
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.session.changes import TimedChange, check_change, parse_change
from qatviz.session.prepared import Notice
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.run_handle import PAUSED
from qatviz.trained import Trained
from qatviz.training.handle import Run

#: Longest time (s) between two checks of the reader whether the run has ended.
_READ_INTERVAL_S = 0.1
#: Longest single wait (s) of a caller: Python handles Ctrl-C, or the interruption of a notebook, between two waits.
_SIGNALS_S = 0.2
#: Number of the newest replies that are kept for their callers, and of the newest snapshots for the summary.
_REPLIES_KEPT, _SNAPSHOTS_KEPT = 1000, 8

_News = TypeVar("_News")

#: Replies of a run to a command.
_ReplyEvent = Union[events.CommandApplied, events.CommandRejected]


class _Reply(NamedTuple):
    """Reply to a command: its number among all news of the run, and the number of rewinds before it."""

    event: _ReplyEvent
    number: int
    rewinds: int


class _Listener(Generic[_News]):
    """News of one kind that arrive while a caller waits, each with its number among all news of the run."""

    def __init__(self, kind: Type[_News]):
        self._kind = kind
        self._numbered: List[Tuple[int, _News]] = []

    def put(self, number: int, item: Any) -> None:
        """Keep an item if it is of the kind."""
        if isinstance(item, self._kind):
            self._numbered.append((number, item))

    def first(self, reply: _Reply, is_answer: Callable[[_News, _ReplyEvent], bool]) -> Optional[_News]:
        """Return the first item after a reply that answers it, None if there is none yet; drop the items before it."""
        while self._numbered:
            number, item = self._numbered[0]
            if number > reply.number and is_answer(item, reply.event):
                return item
            del self._numbered[0]
        return None


class BackgroundRun:
    """Handle of a run in the background; :func:`qatviz.train` with ``block=False`` returns it, started.

    Its methods may be called from any thread, and by several threads at once. Those that change the run return once
    the change has taken effect, between two training steps. Ctrl-C, or the interruption of a notebook's cell, ends the
    wait, not the run. A ``with`` statement stops the run at the end of its block. A notebook displays the run's state,
    curves and tensors.

    All methods that wait raise RunStateError if an error in this program, its ``__cause__``, keeps the reports of the
    run from being processed.

    Parameters
    ----------
    run : Run
        Run that is not started; it is started here.
    outcome : Outcome
        Outcome of the run so far.
    directory : str, optional
        Directory of the record; None if the run is not recorded.
    notices : tuple of Notice
        Notes and warnings from the preparation of the run.
    """

    def __init__(self, run: Run, outcome: Outcome, directory: Optional[str], notices: Tuple[Notice, ...] = ()):
        self._run, self._outcome = run, outcome
        self.directory, self.notices = directory, notices
        self._news = threading.Condition()
        self._timeline = Timeline()
        self._replies: OrderedDict[str, _Reply] = OrderedDict()  # by the command's id
        self._listeners: List[_Listener[Any]] = []  # of the callers that wait
        self._first_snapshot: Optional[Snapshot] = None
        self._snapshots: List[Snapshot] = []
        self._newest_step: Optional[StepRecord] = None
        self._failed: Optional[events.Failed] = None
        self._non_finite: Optional[events.NonFinite] = None  # the newest one
        self._number = 0  # number of items of news so far
        self._rewinds = 0  # number of rewinds so far
        self._has_ended = False
        self._reader_error: Optional[Exception] = None
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
        """All series so far, such as ``history.series("loss").mean``; may be read while the run trains."""
        return self._run.history

    @property
    def book(self) -> SettingsBook:
        """Settings in effect: ``book.of("conv1.weights").num_bits``, ``book.run.learning_rate``."""
        with self._news:
            return self._outcome.book

    @property
    def scores(self) -> Dict[str, float]:
        """Results of the last evaluation, see :attr:`qatviz.trained.Trained.scores`; empty before the first."""
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
        """Change a setting, or several settings together.

        Parameters
        ----------
        setting : str or mapping of str to object
            Path of a setting, such as ``"conv1.weights.num_bits"`` or ``"run.learning_rate"``, or a pattern of paths,
            such as ``"*.weights.symmetric"``; or a mapping from paths and patterns to values.
        value : object, optional
            New value, if ``setting`` is one path or pattern.

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
        """Apply a preset, such as ``"int4"``, to all quantizers; return and raise as :meth:`set` does."""
        return self._request(c.ApplyPreset(name), SettingError)

    def undo(self) -> int:
        """Rewind the run, weights included, to the state before the last change of settings.

        Returns
        -------
        int
            Number of training steps complete in that state.

        Raises
        ------
        RunStateError
            If there is nothing to undo, or the run has ended.
        """
        return self._request(c.Undo())

    def redo(self) -> int:
        """Restore the state before the last :meth:`undo`; return and raise as :meth:`undo` does."""
        return self._request(c.Redo())

    def pause(self) -> int:
        """Pause after the current training step; return the number of steps complete."""
        return self._request(c.Pause())

    def resume(self) -> None:
        """Resume after a pause."""
        self._request(c.Resume())

    def advance(self, steps: int = 1) -> int:
        """Train ``steps`` steps, or to the end of the run, and pause; return the number of steps complete."""
        with self._listening(events.Paused) as paused:
            reply = self._reply_to(c.SingleStep(steps))
            self._until(lambda: paused.first(reply, lambda *_: True) is not None)
        return self.step

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the present state, with histograms and exact measures; after the end, the last one.

        Raises
        ------
        RunStateError
            If the run has ended and took no snapshot before, or is rewound or ends meanwhile.
        """
        if not self._has_ended:
            return self._answer(c.TakeSnapshot(), Snapshot, lambda snapshot, reply: snapshot.step >= reply.step)
        if not self._snapshots:
            raise RunStateError(f"there is no snapshot: {self._ended_text()}")
        return self._snapshots[-1]

    def evaluate(self, changes: Sequence[str] = ()) -> Dict[str, float]:
        """Return the metric of the present state on held-out data, in the four modes; training continues meanwhile.

        Parameters
        ----------
        changes : sequence of str
            Changes of settings for this evaluation only, such as ``["*.weights.num_bits=3"]``; the run keeps its own.

        Returns
        -------
        dict of str to float
            Metric by mode, as in :attr:`scores`.

        Raises
        ------
        SettingError
            If a change is not allowed, or states a step (``"500:…"``).
        RunStateError
            If the run is rewound or ends before there is a result.
        """
        if self._has_ended:
            return dict(self.wait().evaluate(changes).scores)
        if not changes:
            return dict(self._answer(c.Evaluate(), events.Evaluated, self._is_evaluation_of).scores)
        parsed = [parse_change(change) for change in changes]
        for change in parsed:
            if change.step is not None:
                raise SettingError.of_field("changes", f"{change.text!r}: an evaluation has no steps: omit the step")
        _changed(self.book, parsed)
        command = c.EvaluateSettings(tuple(assignment for change in parsed for assignment in change.assignments))
        found = self._answer(command, SettingsEvaluated, lambda event, reply: event.command_id == reply.id)
        if found.result is None:
            raise RunStateError("the evaluation has no result: its state was abandoned by a rewind")
        return dict(found.result.scores)

    def _is_evaluation_of(self, event: events.Evaluated, reply: events.Event) -> bool:
        """Return whether an evaluation is of the state at a reply, or of a later state.

        One that began before the reply must be of the same settings. One that had to wait for another evaluation may be
        of other settings, if another thread has changed them meanwhile.
        """
        is_later = event.branch == reply.branch and event.position > reply.position
        return event.step >= reply.step and (is_later or self._settings_at(event) == self._settings_at(reply))

    def _settings_at(self, event: events.Event) -> SettingsBook:
        return self._timeline.settings_at(event.point, self._outcome.book)

    # The end

    def stop(self) -> Trained:
        """End the run after the current training step, and return its result; raise RunStateError if it has failed."""
        self._run.request_stop()
        self._until(lambda: False)
        return self._trained()

    def wait(self) -> Trained:
        """Return the result once the run has ended.

        Raises
        ------
        RunStateError
            If the run has failed, or is paused: then it would not end.
        """
        self._until(lambda: self.state == PAUSED)
        if not self._has_ended:
            raise RunStateError(self._paused_text())
        return self._trained()

    def _trained(self) -> Trained:
        failed, run = self._failed, self._run
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
            snapshots = [snapshot for snapshot in (self._first_snapshot, *self._snapshots) if snapshot is not None]
            book, log, newest = self._outcome.book, list(self._timeline.log), self._newest_step
        run = self._run
        data = unrecorded_run(
            dict(run.description), run.spec.network, book, metric_in(run.history), run.history, snapshots, log, newest
        )
        return summary_frame(replace(data, missing=()), self.state)

    # Implementation

    def _read(self) -> None:
        """Process all news of the run up to its end, on the reader's thread."""
        try:
            while not self._run.wait(0):
                if self._run.wait_for_news(_READ_INTERVAL_S):
                    self._process(self._run.drain())
            self._process(self._run.drain())
            self._has_ended = True
        except Exception as error:
            self._reader_error = error  # all methods that wait raise it
        finally:
            with self._news:
                self._news.notify_all()

    def _process(self, news: Sequence[Any]) -> None:
        with self._news:
            for item in news:
                self._number += 1
                self._outcome.update(item)
                if isinstance(item, events.Event):
                    item = self._process_event(item)
                elif isinstance(item, Snapshot):
                    self._first_snapshot = self._first_snapshot or item
                    self._snapshots = [*self._snapshots, item][-_SNAPSHOTS_KEPT:]
                elif isinstance(item, StepRecord):
                    self._newest_step = item
                for listener in self._listeners:
                    listener.put(self._number, item)
            self._news.notify_all()

    def _process_event(self, event: events.Event) -> events.Event:
        """Process an event, and return it with its position on the branches."""
        timeline = self._timeline
        if timeline.add(event):  # the run was rewound
            self._rewinds += 1
            self._snapshots = [
                known for known in self._snapshots if timeline.path.includes(timeline.place(known.point))
            ]
        event = timeline.log[-1].event
        if isinstance(event, events.Failed):
            self._failed = event
        elif isinstance(event, events.NonFinite):
            self._non_finite = event
        elif isinstance(event, (events.CommandApplied, events.CommandRejected)):
            self._replies[event.id] = _Reply(event, self._number, self._rewinds)
            while len(self._replies) > _REPLIES_KEPT:
                self._replies.popitem(last=False)
        return event

    @contextlib.contextmanager
    def _listening(self, kind: Type[_News]) -> Iterator[_Listener[_News]]:
        """Yield a listener that receives all news of a kind, for as long as the context lasts."""
        listener = _Listener(kind)
        with self._news:
            self._listeners.append(listener)
        try:
            yield listener
        finally:
            with self._news:
                self._listeners.remove(listener)

    def _request(self, command: c.Command, refusal: Type[QatvizError] = RunStateError) -> int:
        """Return the step at which a command took effect; raise ``refusal`` if it is rejected."""
        return self._reply_to(command, refusal).event.step

    def _reply_to(self, command: c.Command, refusal: Type[QatvizError] = RunStateError) -> _Reply:
        """Send a command, and return its reply; raise ``refusal`` if it is rejected."""
        id = self._run.send(command)
        self._until(lambda: id in self._replies)
        with self._news:
            reply = self._replies.pop(id, None)
        if reply is None:
            raise RunStateError(f"{type(command).__name__} had no effect: {self._ended_text()}")
        if isinstance(reply.event, events.CommandRejected):
            raise refusal(reply.event.message)
        return reply

    def _answer(self, command: c.Command, kind: Type[_News], is_answer: Callable[[_News, _ReplyEvent], bool]) -> _News:
        """Send a command, and return the first item of news of a kind after its reply that answers it.

        Parameters
        ----------
        command : Command
        kind : type
        is_answer : callable (item, reply)
            Returns whether an item answers the command with that reply.

        Raises
        ------
        RunStateError
            If the command is rejected, or the run is rewound or ends before there is an answer.
        """
        found: Optional[_News] = None
        with self._listening(kind) as listener:
            reply = self._reply_to(command)

            def is_over() -> bool:
                nonlocal found
                found = listener.first(reply, is_answer)
                return found is not None or self._rewinds != reply.rewinds

            self._until(is_over)
        if found is None:
            reason = "the run was rewound meanwhile" if self._rewinds != reply.rewinds else self._ended_text()
            raise RunStateError(f"{type(command).__name__} has no result: {reason}")
        return found

    def _until(self, is_reached: Callable[[], bool]) -> None:
        """Wait until a condition holds or the run has ended; raise RunStateError if the reader has failed."""
        with self._news:
            while not (is_reached() or self._has_ended):
                if self._reader_error is not None:
                    error = self._reader_error
                    raise RunStateError(f"the reports of the run can't be processed: {message_of(error)}") from error
                self._news.wait(_SIGNALS_S)

    def _ended_text(self) -> str:
        return f"the run has ended ({self.state})"

    def _paused_text(self) -> str:
        bad = self._non_finite
        why = "" if bad is None else f", since a value of step {bad.step} was not finite"
        return f"the run is paused after step {self.step}{why}, and would not end: resume() or stop() it"


def _changed(book: SettingsBook, changes: Sequence[TimedChange]) -> SettingsBook:
    """Return settings after changes; raise SettingError if one is not allowed."""
    for change in changes:
        book = check_change(book, change)
    return book
