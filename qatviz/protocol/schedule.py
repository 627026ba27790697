"""What is planned for a run: how many steps, and which settings change before which of them.

The plan a run begins with is in the description of its record; what is asked for later is there as an event
(:class:`qatviz.protocol.events.Planned`), so that a run that was cut off goes on with it.
"""

from typing import Any, List, NamedTuple, Optional, Tuple, Union

from qatviz.errors import RecordError
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Command
from qatviz.protocol.events import Change
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.record.reader import RecordReader

#: Commands, each with the step (counting from 0) before which it takes effect.
Schedule = Tuple[Tuple[int, Union[ChangeSettings, ApplyPreset]], ...]


class Plan(NamedTuple):
    """``steps`` in all (None: until stopped), and the changes still to come."""

    steps: Optional[int]
    schedule: Schedule


def changed(book: SettingsBook, command: Union[ChangeSettings, ApplyPreset]) -> Tuple[SettingsBook, Tuple[Change, ...]]:
    """The book after a command, and what it changed; :class:`SettingError` if it is not allowed."""
    if isinstance(command, ApplyPreset):
        return book.with_preset(command.preset)
    return book.change(command.assignments)


def to_rows(schedule: Schedule) -> List[List[Any]]:
    """JSON-able form: ``[step, [[path, value], ...]]``, or ``[step, preset]``."""
    return [
        [step, command.preset if isinstance(command, ApplyPreset) else [list(pair) for pair in command.assignments]]
        for step, command in schedule
    ]


def from_rows(rows: List[List[Any]]) -> Schedule:
    """The schedule that :func:`to_rows` wrote; ValueError, TypeError or SettingError if it is something else."""
    return tuple((step, _command(what)) for step, what in rows)


def planned(reader: RecordReader) -> Plan:
    """What is still planned for a recorded run: the newest plan without the changes that were made.

    A change was made where the run got beyond its step, or got there and the record says so. Those that were undone
    since are among them: what became of the settings is told by the events.

    Raises
    ------
    RecordError
        If the record lacks what a plan has.
    """
    try:
        steps, rows, since = reader.description["steps"], reader.description["schedule"], 0
        recorded = reader.events()
        for row in recorded:
            if row["kind"] == events.Planned.__name__:
                steps = row["steps"]
                if row["schedule"] is not None:
                    rows, since = row["schedule"], row["sequence"]
        schedule = from_rows(rows)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{reader.path}: the plan of the run is incomplete: {error!r}") from error
    reached = reader.last_step
    made = {
        row["command"]
        for row in recorded
        if row["kind"] == events.CommandApplied.__name__ and row["step"] == reached and row["sequence"] > since
    }
    return Plan(
        steps,
        tuple(
            (step, command)
            for step, command in schedule
            if step > reached or (step == reached and command.describe() not in made)
        ),
    )


def _command(what: Any) -> Command:
    return ApplyPreset(what) if isinstance(what, str) else ChangeSettings(tuple(map(tuple, what)))
