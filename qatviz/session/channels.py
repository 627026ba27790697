"""Channels of the weights of a recorded run or of a model. Nothing is recorded, and no data is read."""

import os
from typing import Mapping, Optional, Tuple

import numpy as np

from qatviz.analysis.channels import ChannelsOverview, RunChannels, Screened, channel_ranges, screened
from qatviz.correction.trial import equalized_ratios
from qatviz.errors import NetworkError, RunStateError, about
from qatviz.export.progress import Progress
from qatviz.network.folding import folded
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan, quantization_plan
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.checkpoints import recorded_network, state_of
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import ChannelsRequest
from qatviz.session.request import is_model_path
from qatviz.telemetry.run_handle import RunHandle
from qatviz.training.handle import Run


def channels_at(request: ChannelsRequest, notify: Notify = ignore) -> RunChannels:
    """Return the channels of a recorded run or of a model, with verdicts under its settings.

    Raises
    ------
    RecordError
        If the record of the run is damaged, or there is no checkpoint.
    NetworkError
        If the model can't be imported, or has no weights.
    QatvizError
        If there is neither a run nor a model.
    """
    path = os.path.expanduser(request.path)
    if is_model_path(path):
        with about("path"):
            return _of_model(path, request.preset or DEFAULT_PRESET)
    state = state_of(path, request.checkpoint, notify)
    book = state.book if request.preset is None else state.book.with_preset(request.preset)[0]
    found = channels_of(book.plan, state.arrays, state.step, network=recorded_network(path))
    return _with_verdicts(state.name, found, book)


def _of_model(path: str, preset: str) -> RunChannels:
    from qatviz.network.keras_import import load_model_file  # imports TensorFlow

    imported = load_model_file(path)
    if not imported.parameters:
        raise NetworkError(f"{path}: has no weights; expected a whole model")
    plan = quantization_plan(imported.network)
    book = SettingsBook.from_preset(plan, preset)
    found = channels_of(plan, imported.parameters, 0, network=imported.network)
    return _with_verdicts(os.path.basename(path), found, book)


def _with_verdicts(name: str, found: ChannelsOverview, book: SettingsBook) -> RunChannels:
    return RunChannels(name, found.step, _screened(found, book))


def _screened(found: ChannelsOverview, book: SettingsBook) -> Tuple[Screened, ...]:
    return tuple(screened(each, book.of(each.tensor), found.equalized.get(each.tensor)) for each in found.tensors)


def channels_of(
    plan: QuantizationPlan,
    arrays: Mapping[str, np.ndarray],
    step: int,
    progress: Optional[Progress] = None,
    network: Optional[Network] = None,
) -> ChannelsOverview:
    """Return the channels of all weights among the arrays of a checkpoint; may raise Cancelled.

    With ``network``, the result has the range ratios after a trial of an equalization of its layers.
    """
    progress, units, found = progress or Progress(), [unit for unit in plan.units if unit.owns_weights], []
    for number, unit in enumerate(units):
        progress.at("measuring", number / len(units))
        found.append(channel_ranges(plan.tensor(unit.weights), folded(plan, unit, arrays).weights))
    return ChannelsOverview(tuple(found), step, {} if network is None else equalized_ratios(network, plan, arrays))


def channels_of_ended(run: RunHandle, directory: str, progress: Optional[Progress] = None) -> ChannelsOverview:
    """Return the channels of the last state of a run that has ended or was opened from its record.

    ``directory`` is empty if it is not recorded. Raises RunStateError if it has no state; RecordError; Cancelled.
    """
    network = run.spec.network if isinstance(run, Run) else recorded_network(directory) if directory else None
    state = run.final if isinstance(run, Run) else None
    if state is None:
        if not directory:
            raise RunStateError("this run has failed and is not recorded: it has no state")
        state = state_of(directory)
    return channels_of(state.book.plan, state.arrays, state.step, progress, network)
