"""Interface of a run's handle for its readers, such as the window and the terminal."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from qatviz.errors import RunStateError
from qatviz.protocol.commands import Command
from qatviz.telemetry.channel import Channel
from qatviz.telemetry.history import History

#: States of a run that is trained, in order; the last three are final.
NEW, BUILDING, RUNNING, PAUSED = "new", "building", "running", "paused"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
#: State of a run that is shown from its record.
RECORDED = "recorded"

#: Largest number of step records that wait for a reader: two seconds at 1,000 steps a second.
CHANNEL_CAPACITY = 2000
#: Seconds between two calls of :meth:`RunHandle.drain` for a run that does not announce its reports.
_POLL_S = 0.005


class Connection(NamedTuple):
    """Connection of a handle to its run.

    Attributes
    ----------
    place : str
        Name of the machine on which the run is; empty for this one.
    problem : str
        Reason why there is no connection at present; empty if there is one.
    viewers : tuple of str
        Names of all windows that show the run, this one included; empty if no other one does.
    steers : str
        Name of the window that steers the run; empty for this one.
    asks : str
        Name of the window that has asked to steer; empty if there is none.
    has_asked : bool
        Whether this window has asked to steer and waits for an answer.
    """

    place: str = ""
    problem: str = ""
    viewers: Tuple[str, ...] = ()
    steers: str = ""
    asks: str = ""
    has_asked: bool = False

    @property
    def obstacle(self) -> str:
        """Reason why this window can't change a run in progress; empty if it can."""
        if self.problem:
            return f"The connection to {self.place} is lost: {self.problem}"
        if self.steers:
            return f"{self.steers} steers this run: “Ask to steer” in the menu Run asks to hand over."
        return ""


#: Connection of a run in this process.
HERE = Connection()


class RunHandle(ABC):
    """Handle of a run. Its methods may be called from any thread; only those named ``wait…`` block.

    Attributes
    ----------
    connection : Connection
    history : History
        All series so far, see :func:`qatviz.telemetry.record.refill.history_names`.
    """

    history: History
    connection: Connection = HERE

    @property
    @abstractmethod
    def description(self) -> Mapping[str, Any]:
        """Description of the run: :meth:`qatviz.protocol.run_spec.RunSpec.description`."""

    @property
    @abstractmethod
    def state(self) -> str:
        """State: one of :data:`NEW` to :data:`FAILED`, or :data:`RECORDED`."""

    @property
    @abstractmethod
    def step(self) -> int:
        """Number of training steps complete."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """Number of step records and snapshots that were not read in time."""

    @abstractmethod
    def start(self) -> None:
        """Start training; raise :class:`qatviz.errors.RunStateError` unless the run is new."""

    @abstractmethod
    def send(self, command: Command, id: str = "") -> str:
        """Send a command; return its id, which the reply (CommandApplied, CommandRejected) carries.

        ``id`` is an id that is unique among the commands of the run; by default a new one.

        Raises
        ------
        RunStateError
            If the run has ended.
        """

    @abstractmethod
    def drain(self) -> List[Any]:
        """Return the events, step records, snapshots and results since the last call, in order, without blocking."""

    @abstractmethod
    def request_stop(self) -> None:
        """Request that the run ends after the training step in progress; no effect if it has ended."""

    @abstractmethod
    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Block until the run has ended and its record is complete; return False after ``timeout_s`` seconds."""

    @abstractmethod
    def discard(self) -> None:
        """Close the record of a run that will not be started."""

    def wait_for_news(self, timeout_s: float) -> bool:
        """Block until :meth:`drain` may return something; return False if it can't after ``timeout_s`` seconds."""
        time.sleep(min(timeout_s, _POLL_S))
        return True

    def leave(self) -> None:
        """End the use of this handle; a run that no other handle can show is stopped."""
        self.request_stop()

    def show_histograms(self, tensors: Optional[Iterable[str]]) -> None:
        """Set the tensors whose histograms are in view; None if the window is hidden.

        A run on another machine then sends these with each snapshot, and all every few seconds. By default it has no
        effect: in the process of the run, :meth:`drain` returns all snapshots.
        """
        return

    def ask_to_steer(self) -> None:
        """Ask the window that steers the run to hand over to this one.

        Raises
        ------
        RunStateError
            If no other window can show the run.
        """
        raise RunStateError("no other window shows this run")

    def answer(self, hands_over: bool) -> None:
        """Hand over to the window that asks to steer, or refuse; raise as :meth:`ask_to_steer` does."""
        raise RunStateError("no other window shows this run")


class ChannelHandle(RunHandle):
    """Handle of a run in progress, which reports through a channel to one reader.

    Parameters
    ----------
    state : str
        Present state of the run.
    step : int
        Number of training steps complete.
    """

    def __init__(self, state: str, step: int):
        self._state, self._step = state, step
        self._channel = Channel(CHANNEL_CAPACITY)
        self._ended = threading.Event()

    @property
    def state(self) -> str:
        return self._state

    @property
    def step(self) -> int:
        return self._step

    @property
    def dropped(self) -> int:
        return self._channel.dropped

    def drain(self) -> List[Any]:
        return self._channel.drain()

    def wait_for_news(self, timeout_s: float) -> bool:
        """Block until :meth:`drain` would return something; return False if nothing arrived in time."""
        return self._channel.wait(timeout_s)

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        return self._ended.wait(timeout_s)
