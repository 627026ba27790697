"""Plan of a run: its total number of training steps and its scheduled changes of settings.

The record's description contains the initial plan; later ones are recorded as events
(:class:`qatviz.protocol.events.Planned`), so that an interrupted run resumes with the newest one.
"""

from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

from qatviz.protocol.commands import (
    CORRECTIONS,
    ApplyPreset,
    ChangeSettings,
    Command,
    CorrectionCommand,
    Schedule,
    ScheduledCommand,
    SettingsCommand,
    schedule_from,
)
from qatviz.protocol.events import Change, CommandApplied, Event, Planned
from qatviz.protocol.settings_book import SettingsBook


class Plan(NamedTuple):
    """Total number of training steps (None: no limit) and the scheduled changes of settings."""

    steps: Optional[int]
    schedule: Schedule


def changed(
    book: SettingsBook, command: Union[SettingsCommand, CorrectionCommand]
) -> Tuple[SettingsBook, Tuple[Change, ...]]:
    """Return the book after a command, and the changes it makes; SettingError if a path or value is not allowed.

    A correction changes no settings.
    """
    if isinstance(command, CORRECTIONS):
        return book, ()
    assert isinstance(command, (ApplyPreset, ChangeSettings))
    if isinstance(command, ApplyPreset):
        return book.with_preset(command.preset)
    return book.change(command.assignments)


def remaining_plan(
    description: Dict[str, Any],
    log: Sequence[Event],
    reached: int,
    is_same: Callable[[Command, Command], bool],
) -> Plan:
    """Return the newest plan of a run without the scheduled changes that have already been applied.

    A change has been applied if the run is beyond its step, or at its step and an event confirms it. Changes that were
    undone later count as applied.

    Parameters
    ----------
    description : dict
        :meth:`qatviz.protocol.run_spec.RunSpec.description`.
    log : sequence of Event
        All events of the run, in order.
    reached : int
        Number of training steps complete.
    is_same : callable
        Returns whether two commands are equivalent; called for commands of version 0.1, which have no ids.

    Raises
    ------
    KeyError, TypeError, ValueError, SettingError
        If ``description`` contains no valid plan.
    """
    plan, since = Plan(description["steps"], schedule_from(description["schedule"])), 0
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
