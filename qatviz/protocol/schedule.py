"""What is planned for a run: the total number of steps, and which settings change before which of them.

The plan that a run begins with is in the description of its record; a later one is there as an event
(:class:`qatviz.protocol.events.Planned`), so that a run that was cut off continues with it.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.protocol.commands import ApplyPreset, Command, Schedule, ScheduledCommand, SettingsCommand
from qatviz.protocol.events import Change, CommandApplied, Event, Planned
from qatviz.protocol.settings_book import SettingsBook


class Plan(NamedTuple):
    """The total number of steps (None: no limit), and the changes of settings to come."""

    steps: Optional[int]
    schedule: Schedule


def changed(book: SettingsBook, command: SettingsCommand) -> Tuple[SettingsBook, Tuple[Change, ...]]:
    """Return the book after a command, and what it changed; :class:`SettingError` if it is not allowed."""
    if isinstance(command, ApplyPreset):
        return book.with_preset(command.preset)
    return book.change(command.assignments)


def to_rows(schedule: Schedule) -> List[List[Any]]:
    """Return a JSON-able form: a row for each command, see :meth:`ScheduledCommand.to_row`."""
    return [item.to_row() for item in schedule]


def from_rows(rows: Sequence[List[Any]]) -> Schedule:
    """Return the schedule that :func:`to_rows` wrote; ValueError, TypeError or SettingError if it is something else."""
    return tuple(ScheduledCommand.from_row(row) for row in rows)


def remaining_plan(
    description: Dict[str, Any],
    log: Sequence[Event],
    reached: int,
    is_same: Callable[[Command, Command], bool],
) -> Plan:
    """Return the newest plan of a run without the changes of settings that were made.

    A change was made where the run got beyond its step, or got there and its events say so. Those that were undone
    since are among them: what became of the settings is told by the events.

    Parameters
    ----------
    description : dict
        :meth:`qatviz.protocol.run_spec.RunSpec.description`.
    log : sequence of Event
        All events.
    reached : int
        The step that the run is at.
    is_same : callable
        Whether two commands ask for the same; called for commands of old runs, which have no ids.

    Raises
    ------
    KeyError, TypeError, ValueError, SettingError
        If the description lacks what a plan has.
    """
    plan, since = Plan(description["steps"], from_rows(description["schedule"])), 0
    for index, event in enumerate(log):
        if isinstance(event, Planned):
            if event.schedule is not None:
                plan, since = plan._replace(schedule=event.schedule), index
            plan = plan._replace(steps=event.steps)
    made = [event for event in log[since:] if isinstance(event, CommandApplied) and event.step == reached]

    def is_made(item: ScheduledCommand) -> bool:
        if item.id:
            return any(event.id == item.id for event in made)
        return any(not event.id and is_same(event.command, item.command) for event in made)

    still = tuple(item for item in plan.schedule if item.step > reached or (item.step == reached and not is_made(item)))
    return plan._replace(schedule=still)
