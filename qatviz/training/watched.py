"""Results that a run computes in pieces between training steps, again and again, while a reader watches them."""

from typing import Any, Callable, Iterator, Optional, Tuple, Union

from qatviz.analysis.channels import ChannelsOverview, channel_ranges, is_uneven
from qatviz.analysis.drift import Drift, DriftQuestion
from qatviz.correction.trial import equalized_ratios
from qatviz.protocol.commands import WatchChannels, WatchDrift
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.watch_failure import WatchFailure
from qatviz.training.background_graph import BackgroundGraph
from qatviz.training.drift import DriftGraph, DriftJob
from qatviz.training.live_run import LiveRun
from qatviz.training.piece_pace import PiecePace

Watch = Union[WatchDrift, WatchChannels]
#: Step and settings.
_State = Optional[Tuple[int, SettingsBook]]


class WatchedUpdates:
    """Results of one kind, computed in pieces between training steps.

    The user waits for the first one, and the first after another request or a change of settings.

    A subclass implements :meth:`_pieces`.

    Parameters
    ----------
    live : LiveRun
    spec : RunSpec
    put : callable
        Called with each result, and with a WatchFailure.
    """

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None]):
        self._live, self._spec, self._put = live, spec, put
        self._request: Optional[Watch] = None
        self._work: Optional[Iterator[None]] = None
        self._state: _State = None  # that of the work in progress
        self._done: _State = None  # that of the last result for the present request
        self._pace = PiecePace()
        self._book = live.book  # settings at the last call

    def watch(self, command: Watch) -> None:
        """Begin to compute what a command requests, or end it."""
        request = command if command.on else None
        if request != self._request or request is None:
            self._pace.restart()
        self._request = request
        self.restart()

    def restart(self) -> None:
        """Drop what is in progress, because something else is requested, or the run was set to another state."""
        self._work = self._done = None

    def advance(self, is_idle: bool = False) -> bool:
        """Compute a piece if one is due; return whether it did.

        ``is_idle``: no training step waits, so that pieces follow each other, until the present state has its result.
        """
        if self._live.book is not self._book:  # the user waits for the effect of a change
            self._book = self._live.book
            self._pace.restart()
        if self._request is None or not self._pace.is_due(is_idle) or not self._is_ready():
            return False
        if self._work is None:
            self._state = self._live.step, self._live.book
            if self._state == self._done:
                return False
            self._work = self._pieces(self._request)
        is_waited_for = self._done is None or self._done[1] is not self._book
        with self._pace.piece(is_waited_for, self._fail):
            if next(self._work, self) is self:
                self._work, self._done = None, self._state
        return True

    def _fail(self, message: str) -> None:
        self._put(WatchFailure(type(self._request).__name__, self._live.step, message))
        self._request = self._work = None

    def close(self) -> None:
        """Release what the results need."""

    def _is_ready(self) -> bool:
        return True

    def _pieces(self, request: Any) -> Iterator[None]:
        """Compute the result for the present state, and put it; a piece takes as long as some training steps."""
        raise NotImplementedError


class DriftUpdates(WatchedUpdates):
    """Drift of a live run: errors of all layers, and feature maps of one."""

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None]):
        super().__init__(live, spec, put)
        self._graph = BackgroundGraph(lambda: DriftGraph(spec), "qatviz-drift")

    def watch(self, command: Watch) -> None:
        super().watch(command)
        if command.on:
            self._graph.begin()

    def close(self) -> None:
        self._graph.close()

    def _is_ready(self) -> bool:
        return self._graph.is_ready

    def _pieces(self, request: WatchDrift) -> Iterator[None]:
        live = self._live
        job = DriftJob(self._graph.get(), live.graph.read_state(), live.book, live.step, question_of(request))
        found: Any = None
        while not isinstance(found, Drift):
            found = job.advance()
            if found is not None:
                self._put(found)
            yield


class ChannelUpdates(WatchedUpdates):
    """Ranges of the channels of all weights of a live run, computed one tensor after the other."""

    def _pieces(self, request: WatchChannels) -> Iterator[None]:
        live, found = self._live, []
        step, layout = live.step, live.graph.layout
        # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
        weights = [array.copy() for array in live.graph.read_weights()]
        for group, values in zip(layout.weights, weights):
            found.append(channel_ranges(layout.leaders[group], values))
            yield
        spec, ratios = self._spec, {}
        if any(map(is_uneven, found)):
            ratios = equalized_ratios(spec.network, spec.plan, live.graph.read_state(), spec.fixed)
        self._put(ChannelsOverview(tuple(found), step, ratios))


def question_of(command: WatchDrift) -> DriftQuestion:
    """Return the request for a drift that a command makes."""
    return DriftQuestion(command.example, command.examples, command.layer, command.shown_example)
