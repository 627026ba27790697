"""Prepared runs, ready to be started or shown, and notices about them."""

from typing import TYPE_CHECKING, Callable, NamedTuple, Optional, Tuple

from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.telemetry.run_handle import RunHandle

if TYPE_CHECKING:  # it imports data, Keras and records, which would delay the window
    from qatviz.telemetry.outcome import Outcome


class Notice(NamedTuple):
    """Message for the user about a requested run."""

    text: str
    is_warning: bool = False

    @property
    def labelled(self) -> str:
        """The text with its level, as a terminal shows it."""
        return f"{'warning' if self.is_warning else 'note'}: {self.text}"


#: Called with each notice as soon as it arises, as it may explain an error that follows.
Notify = Callable[[Notice], None]


def ignore(notice: Notice) -> None:
    """Drop a notice: the default of functions that give notices."""


class Prepared(NamedTuple):
    """Run to be trained, or recorded run to be shown, with what a reader needs to show it.

    Attributes
    ----------
    run : RunHandle
        A :class:`qatviz.training.handle.Run` that is not started, or a
        :class:`qatviz.session.recorded.RecordedRun`.
    network : Network
    book : SettingsBook
        Settings in effect.
    title : str
    batches_per_epoch : float
    directory : str
        Directory of its record; empty if it is not recorded.
    log, snapshots
        Past events in order, and snapshots by branch and step.
    outcome : Outcome or None
        State so far.
    notices : tuple of Notice
        Notices to show in the window.
    """

    run: RunHandle
    network: Network
    book: SettingsBook
    title: str
    batches_per_epoch: float
    directory: str = ""
    log: Tuple[LoggedEvent, ...] = ()
    snapshots: Tuple[Snapshot, ...] = ()
    outcome: Optional["Outcome"] = None
    notices: Tuple[Notice, ...] = ()
