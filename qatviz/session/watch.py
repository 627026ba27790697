"""Following of a run in a terminal until its end, with a clean stop on signals."""

import contextlib
import errno
import signal
import threading
import time
from typing import Any, Dict, Iterator, List, Optional

from qatviz.errors import OutputError
from qatviz.protocol import events
from qatviz.protocol.corrections import CORRECTION_KINDS, CorrectionProgress
from qatviz.session.progress import LINE_INTERVAL_S, Silent, event_line
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.run_handle import RunHandle
from qatviz.terminal import HANGUP, stop_signals

#: Seconds between two reads of a run.
READ_INTERVAL_S = 0.1


class StopSignals:
    """Context in which the first of the `stop_signals` sets ``received``, and a second one ends the process at once.

    Attributes
    ----------
    received : int
        Number of the first signal; 0 before it.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
            self._before = {number: signal.signal(number, self._on_signal) for number in stop_signals()}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.received = number
        for each in self._before:
            # Several processes may report the same closed terminal, where no user can ask for a quick end any more.
            signal.signal(each, signal.SIG_IGN if each == HANGUP else signal.SIG_DFL)


class Watch:
    """Follower of one run from its start to its end.

    Parameters
    ----------
    run : RunHandle
        Run that is not started.
    outcome : Outcome
        Receives the run's events, steps and snapshots.
    progress : Silent
        Shows the progress.

    Attributes
    ----------
    stopped_by : str
        ``Ctrl-C``, ``SIGTERM``, ``SIGHUP``, or empty.
    failed, non_finite, record_failed : event or None
        The errors of the run; of several failures of the record, the first.
    """

    def __init__(self, run: RunHandle, outcome: Outcome, progress: Silent):
        self._run, self._outcome, self._progress = run, outcome, progress
        self._signals = StopSignals()
        self.stopped_by = ""
        self.failed: Optional[events.Failed] = None
        self.non_finite: Optional[events.NonFinite] = None
        self.record_failed: Optional[events.RecordFailed] = None
        self._corrected = 0.0  # time of the last line on a correction, or of its beginning, s of time.monotonic

    def follow(self) -> None:
        """Start the run, and return when it has ended and everything is written."""
        with self._signals as signals:
            self._progress.begin()
            self._run.start()
            try:
                while not self._run.wait(READ_INTERVAL_S):
                    self._process(self._run.drain())
                    if signals.received and not self.stopped_by:
                        self._stop(signals.received)
                    with self._terminal_may_end():
                        self._progress.update(self._outcome)
                self._process(self._run.drain())
            finally:  # also if the terminal is closed: the run must end cleanly
                self._run.request_stop()
                self._run.wait()
                self._progress.close()

    def _stop(self, number: int) -> None:
        self.stopped_by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self._run.request_stop()
        second = "Ctrl-C" if number == HANGUP else "a second one"
        with contextlib.suppress(OutputError):  # the terminal may have gone
            self._progress.line(f"{self.stopped_by}: stopping; {second} quits at once")

    def _process(self, news: List[Any]) -> None:
        for item in news:
            self._outcome.update(item)
            if isinstance(item, CorrectionProgress):
                self._show_correction(item)
            if not isinstance(item, events.Event):
                continue
            if isinstance(item, events.Started):
                self._progress.started()
            elif isinstance(item, events.Failed):
                self.failed = item
            elif isinstance(item, events.RecordFailed):
                self.record_failed = self.record_failed or item  # later ones are its consequences
            elif isinstance(item, events.NonFinite):
                self.non_finite = item
                self._run.request_stop()  # a terminal can't change settings
            line = event_line(item)
            if line:
                with self._terminal_may_end():
                    self._progress.line(line)

    def _show_correction(self, progress: CorrectionProgress) -> None:
        """Print the fraction of a correction that is done, at intervals: there is no progress of training meanwhile."""
        if not progress.fraction:
            self._corrected = time.monotonic()
        elif time.monotonic() - self._corrected >= LINE_INTERVAL_S:
            self._corrected = time.monotonic()
            label = CORRECTION_KINDS[progress.command].label
            with self._terminal_may_end():
                self._progress.line(f"step {progress.step}: {label}: {100 * progress.fraction:.0f} %")

    @contextlib.contextmanager
    def _terminal_may_end(self) -> Iterator[None]:
        """Handle a write that fails because the terminal has ended like SIGHUP, which may arrive later."""
        try:
            yield
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EIO:
                raise
            if HANGUP in stop_signals():  # else the run is meant to outlive its terminal
                self._signals.received = self._signals.received or HANGUP
