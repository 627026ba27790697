"""Interface of a run's handle for its readers, such as the window and the terminal."""

from abc import ABC, abstractmethod
from typing import Any, List, Mapping, Optional

from qatviz.protocol.commands import Command
from qatviz.telemetry.history import History

#: States of a run that is trained, in order; the last three are ends.
NEW, BUILDING, RUNNING, PAUSED = "new", "building", "running", "paused"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
#: State of a run that is shown from its record.
RECORDED = "recorded"


class RunHandle(ABC):
    """Handle of a run. Its methods may be called from any thread, and none but :meth:`wait` blocks.

    Attributes
    ----------
    history : History
        All series so far, see :func:`qatviz.telemetry.record.refill.history_names`.
    """

    history: History

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
    def send(self, command: Command) -> str:
        """Send a command; return its id, which the reply (CommandApplied, CommandRejected) carries.

        Raises
        ------
        RunStateError
            If the run has ended.
        """

    @abstractmethod
    def drain(self) -> List[Any]:
        """Return at once the events, step records and snapshots since the last call, in order."""

    @abstractmethod
    def request_stop(self) -> None:
        """End the run after the step in flight, if it has not ended."""

    @abstractmethod
    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Block until the run has ended and everything is written; return False if that takes over ``timeout_s``."""

    @abstractmethod
    def discard(self) -> None:
        """Close the record of a run that will not be started."""
