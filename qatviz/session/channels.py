"""Channels of the weights of a run that has ended or was recorded. Nothing is recorded, and no data is read."""

from typing import Optional

from qatviz.analysis.channels import ChannelsOverview, RunChannels, channel_ranges, screened
from qatviz.errors import RunStateError
from qatviz.export.integers.frozen_state import folded
from qatviz.export.progress import Progress
from qatviz.protocol.run_state import RunState
from qatviz.session.checkpoints import state_of
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import ChannelsRequest
from qatviz.telemetry.run_handle import RunHandle
from qatviz.training.handle import Run


def channels_of_record(request: ChannelsRequest, notify: Notify = ignore) -> RunChannels:
    """Return the channels of a checkpoint of a recorded run, with verdicts under its settings.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint.
    """
    state = state_of(request.directory, request.checkpoint, notify)
    found = channels_of(state)
    tensors = tuple(screened(ranges, state.book.of(ranges.tensor)) for ranges in found.tensors)
    return RunChannels(state.name, state.step, tensors)


def channels_of(state: RunState, progress: Optional[Progress] = None) -> ChannelsOverview:
    """Return the channels of all weights of a state; may raise Cancelled."""
    plan, progress = state.book.plan, progress or Progress()
    units = [unit for unit in plan.units if unit.owns_weights]
    found = []
    for number, unit in enumerate(units):
        progress.at("measuring", number / len(units))
        found.append(channel_ranges(plan.tensor(unit.weights), folded(plan, unit, state.arrays).weights))
    return ChannelsOverview(tuple(found), state.step)


def channels_of_ended(run: RunHandle, directory: str, progress: Optional[Progress] = None) -> ChannelsOverview:
    """Return the channels of the last state of a run that has ended or was opened from its record.

    ``directory`` is empty if it is not recorded. Raises RunStateError if it has no state; RecordError; Cancelled.
    """
    if isinstance(run, Run) and run.final is not None:
        return channels_of(run.final, progress)
    if not directory:
        raise RunStateError("this run has failed and is not recorded: it has no state")
    return channels_of(state_of(directory), progress)
