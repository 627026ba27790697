"""Sweeps that train while the caller does something else, and their news."""

import threading
from typing import Any, Callable, Dict, Optional

from qatviz.errors import SettingError
from qatviz.session.sweep import run_sweep, runs_of
from qatviz.session.sweep_request import TRAINING, Begun, Report, SweepNews, SweepRequest
from qatviz.session.trials import requested_plan

#: Seconds that :meth:`BackgroundSweeps.news` waits for news at most.
NEWS_S = 0.5
#: Number of ended sweeps whose news can still be read.
_ENDED_KEPT = 16


class BackgroundSweeps:
    """Sweeps of this process, each on a thread of its own; a sweep is known by its directory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sweeps: Dict[str, _Sweep] = {}

    @property
    def is_training(self) -> bool:
        """Whether a sweep has not ended."""
        with self._lock:
            return any(not sweep.has_ended for sweep in self._sweeps.values())

    def begin(self, request: SweepRequest) -> Begun:
        """Begin to train the runs of a sweep; one that is to be continued and trains already is left as it is.

        Raises
        ------
        QatvizError
            If the request can't be fulfilled, or another sweep trains in its directory.
        """
        plan = requested_plan(request)
        begun = Begun(request.out, tuple(runs_of(plan)), bool(plan.sides))
        with self._lock:
            known = self._sweeps.get(request.out)
            if known is not None and not known.has_ended:
                if request.directory:
                    raise SettingError(f"{request.out}: a sweep trains there already; expected another folder")
                return begun
            self._sweeps.pop(request.out, None)
            ended = [directory for directory, sweep in self._sweeps.items() if sweep.has_ended]
            for directory in ended[: max(0, len(ended) - _ENDED_KEPT)]:
                del self._sweeps[directory]
            sweep = self._sweeps[request.out] = _Sweep()
            sweep.start(
                lambda: run_sweep(request.out, plan, request.processes, sweep.report, lambda: not sweep.is_stopped)
            )
        return begun

    def news(self, directory: str, seen: int) -> SweepNews:
        """Return the reports of a sweep after number ``seen``; wait for some for at most :data:`NEWS_S` seconds.

        Raises
        ------
        QatvizError
            If no sweep was begun there; or the reason for which the sweep has failed.
        """
        with self._lock:
            sweep = self._sweeps.get(directory)
        if sweep is None:
            raise SettingError(f"{directory}: no sweep trains there; to continue the one that is there, begin it again")
        return sweep.news(seen)

    def stop(self, directory: str) -> None:
        """Stop a sweep: the runs that train save their states, and it can be continued."""
        with self._lock:
            sweep = self._sweeps.get(directory)
        if sweep is not None:
            sweep.is_stopped = True

    def close(self) -> None:
        """Stop all sweeps, and wait until they have ended."""
        with self._lock:
            sweeps = list(self._sweeps.values())
        for sweep in sweeps:
            sweep.is_stopped = True
        for sweep in sweeps:
            sweep.join()


class _Sweep:
    """Thread of a sweep, and its reports."""

    def __init__(self) -> None:
        self.is_stopped = self.has_ended = False
        self._changed = threading.Condition()
        #: Reports by number. Of those that a run trains, only the newest of each run is kept: a sweep takes hours.
        self._reports: Dict[int, Report] = {}
        self._number = 0
        self._error: Optional[Exception] = None
        self._thread: Optional[threading.Thread] = None

    def start(self, train: Callable[[], Any]) -> None:
        """Begin to train; ``train`` blocks until the sweep has ended."""
        self._thread = threading.Thread(target=self._run, args=(train,), name="qatviz-sweep", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    def report(self, report: Report) -> None:
        """Add a report."""
        with self._changed:
            if report.event == TRAINING:
                for number, known in list(self._reports.items()):
                    if known.run == report.run and known.event == TRAINING:
                        del self._reports[number]
            self._number += 1
            self._reports[self._number] = report
            self._changed.notify_all()

    def news(self, seen: int) -> SweepNews:
        """Return the reports after number ``seen``, as :meth:`BackgroundSweeps.news` does."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_ended or self._number > seen, NEWS_S)
            reports = tuple(report for number, report in self._reports.items() if number > seen)
            if self._error is not None and not reports:
                raise self._error
            return SweepNews(reports, self._number, self.has_ended and self._error is None)

    def _run(self, train: Callable[[], Any]) -> None:
        error: Optional[Exception] = None
        try:
            train()
        except Exception as raised:  # the caller of `news` gets it
            error = raised
        with self._changed:
            self._error, self.has_ended = error, True
            self._changed.notify_all()
