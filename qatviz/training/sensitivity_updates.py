"""Sensitivities of a run that trains: estimated again and again while they are watched, and measured on request."""

from typing import Any, Callable, Optional, Tuple

from qatviz.analysis.sensitivity import SensitivityProgress
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.background_graph import BackgroundGraph
from qatviz.training.live_run import LiveRun
from qatviz.training.piece_pace import PiecePace
from qatviz.training.sensitivity import SensitivityGraph, SensitivityJob
from qatviz.training.sensitivity_measuring import MeasuringJob


class SensitivityUpdates:
    """Sensitivities of a live run, computed in pieces between training steps.

    The user waits for the first estimate, and for measurements.

    Parameters
    ----------
    live : LiveRun
    spec : RunSpec
    put : callable
        Called with each Sensitivity, MeasuredSensitivity and SensitivityProgress.
    """

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None]):
        self._live, self._spec, self._put = live, spec, put
        self._is_watched = self._is_measurement_wanted = False
        self._graph = BackgroundGraph(lambda: SensitivityGraph(spec), "qatviz-sensitivity")
        self._estimate: Optional[SensitivityJob] = None
        self._measurement: Optional[MeasuringJob] = None
        self._estimated: Optional[Tuple[int, SettingsBook]] = None  # step and settings of the last estimate
        self._pace = PiecePace()

    def watch(self, is_on: bool) -> None:
        """Begin or end to estimate."""
        if is_on and not self._is_watched:
            self._estimated = None  # a reader that has just come has none
        self._is_watched, self._estimate = is_on, self._estimate if is_on else None
        if is_on:
            self._graph.begin()

    def measure(self, is_on: bool) -> None:
        """Begin a measurement of the present state, or cancel it."""
        is_cancelled = not is_on and (self._is_measurement_wanted or self.is_measuring)
        self._measurement, self._is_measurement_wanted = None, is_on
        if is_on or is_cancelled:
            self._put(SensitivityProgress(self._live.step, 0.0 if is_on else None))

    @property
    def is_measuring(self) -> bool:
        """True while the published state is that of a measurement."""
        return self._measurement is not None

    def interrupt(self) -> None:
        """Note that another state was published."""
        if self._measurement is not None:
            self._measurement.interrupt()

    def restart(self) -> None:
        """Drop what is in progress, because the run was set to another state."""
        self._estimate = self._estimated = None
        if self.is_measuring:
            self.measure(False)

    def advance(self, may_publish: bool, is_idle: bool = False) -> bool:
        """Compute a piece if one is due; return whether it did.

        Parameters
        ----------
        may_publish : bool
            False while the published state is that of an evaluation.
        is_idle : bool
            True if no training step waits: pieces then follow each other.
        """
        if not self._pace.is_due(is_idle):
            return False
        if may_publish and (self._is_measurement_wanted or self.is_measuring):
            with self._pace.piece(True, self._fail):
                self._advance_measurement()
            return True
        if self._is_estimate_due(is_idle):
            with self._pace.piece(self._estimated is None, self._fail):
                self._advance_estimate()
            return True
        return False

    def _fail(self, message: str) -> None:
        self._is_watched = self._is_measurement_wanted = False
        self._estimate = self._measurement = None
        self._put(SensitivityProgress(self._live.step, None, message))

    def close(self) -> None:
        """Release the graph."""
        self._graph.close()

    def _is_estimate_due(self, is_idle: bool) -> bool:
        if not self._is_watched or not self._graph.is_ready:
            return False
        return not is_idle or self._estimate is not None or self._estimated != (self._live.step, self._live.book)

    def _advance_estimate(self) -> None:
        live = self._live
        if self._estimate is None:
            self._estimate = SensitivityJob(self._graph.get(), live.graph.read_state(), live.book, live.step)
        found = self._estimate.advance()
        if found is not None:
            self._estimated, self._estimate = (found.step, self._estimate.book), None
            self._put(found)

    def _advance_measurement(self) -> None:
        live = self._live
        if self._measurement is None:
            self._is_measurement_wanted = False
            self._measurement = MeasuringJob(live.graph, self._spec, live.book, live.step)
        job = self._measurement
        found = job.advance()
        self._put(SensitivityProgress(live.step, job.pieces_done / job.num_pieces))
        if found is not None:
            self._measurement = None
            self._put(found)
