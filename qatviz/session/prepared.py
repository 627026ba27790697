"""Prepared runs, ready to be started or shown, and notices about them."""

from typing import Any, Callable, NamedTuple, Optional, Tuple

from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.telemetry.outcome import Outcome


class Notice(NamedTuple):
    """A sentence about a requested run for the user; a warning where something is wrong."""

    text: str
    is_warning: bool = False


#: Called with each notice as soon as it arises, as it may explain an error that follows.
Notify = Callable[[Notice], None]


def ignore(notice: Notice) -> None:
    """Drop a notice."""


class Prepared(NamedTuple):
    """A run to be trained, or to be shown as it was recorded.

    Attributes
    ----------
    run : object
        The handle: a :class:`qatviz.training.handle.Run` that is not started, or a
        :class:`qatviz.session.recorded.RecordedRun`.
    network : Network
    book : SettingsBook
        Settings in effect.
    title : str
    batches_per_epoch : float
    directory : str
        Directory of its record; empty if it is not recorded.
    log, snapshots
        Its past events and snapshots.
    outcome : Outcome or None
        Its state so far.
    notices : tuple of Notice
        Notices about it, for the window.
    """

    run: Any
    network: Network
    book: SettingsBook
    title: str
    batches_per_epoch: float
    directory: str = ""
    log: Tuple[LoggedEvent, ...] = ()
    snapshots: Tuple[Snapshot, ...] = ()
    outcome: Optional[Outcome] = None
    notices: Tuple[Notice, ...] = ()
