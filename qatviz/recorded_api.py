"""Part of the API for scripts that works on recorded runs, which do not change."""

import contextlib
import os
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from qatviz.analysis.channels import RunChannels
from qatviz.analysis.drift import DriftQuestion, RunDrift
from qatviz.analysis.predictions import RunPredictions
from qatviz.analysis.sensitivity import WIDTHS, RunSensitivity
from qatviz.errors import OutputError, SettingError
from qatviz.protocol.recipe import Recipe
from qatviz.session.budget import BudgetAdvice
from qatviz.session.budget import advise as advise_recorded
from qatviz.session.budget_request import BudgetRequest, RuleTexts, parse_budget, parse_loss
from qatviz.session.changes import parse_change, recipe_changes
from qatviz.session.channels import channels_at
from qatviz.session.drift import drift_of_record
from qatviz.session.evaluation import SettingsEvaluation
from qatviz.session.evaluation import evaluate as evaluate_recorded
from qatviz.session.predictions import predictions_of_record
from qatviz.session.prepared import Notice
from qatviz.session.record_requests import (
    ChannelsRequest,
    DriftRequest,
    EvaluationRequest,
    PredictionsRequest,
    SensitivityRequest,
)
from qatviz.session.sensitivity import sensitivity_of_record
from qatviz.terminal import print_line
from qatviz.training.quiet import keep_tensorflow_quiet

BitsByPattern = Optional[Mapping[str, int]]


def evaluate(
    directory: Union[str, Path],
    changes: Sequence[str] = (),
    preset: Optional[str] = None,
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
    more_bits: bool = False,
    recipe: Union[str, "os.PathLike[str]", Recipe, None] = None,
) -> SettingsEvaluation:
    """Evaluate a recorded run under other settings, without training; the run and its record do not change.

    Parameters
    ----------
    directory : str or Path
    changes : sequence of str
        Changes of settings as on the command line: ``["conv1.weights.num_bits=3"]``.
    preset : str, optional
        Settings of all quantizers, before ``changes``; by default those of the checkpoint.
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    data : str, optional
        Current name or path of the data; by default as recorded.
    more_bits : bool
        True to evaluate also with 16 bits in each tensor, and in those together that help most.
    recipe : str, path or Recipe, optional
        File of settings by tensor, or :attr:`Trained.recipe`, between ``preset`` and ``changes``.

    Returns
    -------
    qatviz.session.evaluation.SettingsEvaluation
        ``scores`` in four modes, ``changes``, ``step``, ``recorded``: the run's own scores, and ``more_bits``.

    Raises
    ------
    RecordError, DataError, SettingError
        If the record, the data or a change cannot be used.
    """
    keep_tensorflow_quiet()
    parsed = (*recipe_changes(recipe), *map(parse_change, changes))
    request = EvaluationRequest(os.fspath(directory), checkpoint, data, preset, parsed, more_bits)
    return evaluate_recorded(request, print_notice)


def sensitivity(
    directory: Union[str, Path],
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
    measured: bool = False,
) -> RunSensitivity:
    """Return the sensitivity of a recorded run to the quantization of each tensor; run and record do not change.

    Parameters
    ----------
    directory : str or Path
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    data : str, optional
        Current name or path of the data; by default as recorded.
    measured : bool
        True to measure also loss, divergence of the outputs and metric with only one tensor quantized and with all
        but one, under the settings of the run.

    Returns
    -------
    qatviz.analysis.sensitivity.RunSensitivity
        ``estimated``: scores by tensor and number of bits; ``measured``, None if it was not requested.

    Raises
    ------
    RecordError, DataError
        If the record or the data cannot be used.
    """
    keep_tensorflow_quiet()
    request = SensitivityRequest(os.fspath(directory), checkpoint, data, measured)
    return sensitivity_of_record(request, print_notice)


def predictions(
    directory: Union[str, Path],
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
    step: Optional[int] = None,
) -> RunPredictions:
    """Return what a recorded run predicts for its held-out examples in float and quantized; the run does not change.

    Parameters
    ----------
    directory : str or Path
    checkpoint, data
        As of :func:`sensitivity`.
    step : int, optional
        Step of the checkpoint, instead of its name.

    Returns
    -------
    qatviz.analysis.predictions.RunPredictions
        Its ``found.outputs`` have both networks' outputs; functions of :mod:`qatviz.analysis.predictions` compare them.

    Raises
    ------
    RecordError, DataError
        If the record or the data cannot be used.
    """
    keep_tensorflow_quiet()
    return predictions_of_record(PredictionsRequest(os.fspath(directory), checkpoint, data, step), print_notice)


def drift(
    directory: Union[str, Path],
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
    example: Optional[int] = None,
    examples: int = DriftQuestion().examples,
    layer: str = "",
    with_maps: bool = False,
) -> RunDrift:
    """Return the errors of each layer of a recorded run, own and inherited; run and record do not change.

    Parameters
    ----------
    directory : str or Path
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    data : str, optional
        Current name or path of the data; by default as recorded.
    example : int, optional
        Index of one held-out example; by default the first ``examples``.
    examples : int
        Number of held-out examples.
    layer : str
        Layer whose output is returned, too, in float and quantized, for ``example`` (by default the first).
    with_maps : bool
        True to return the output of the layer with the largest own error if ``layer`` is empty.

    Returns
    -------
    qatviz.analysis.drift.RunDrift
        ``drift`` with ``layers``; ``maps``, None if they were not requested or no layer has quantizers.

    Raises
    ------
    RecordError, DataError, SettingError
        If the record or the data cannot be used, or there is no such example.
    """
    keep_tensorflow_quiet()
    question = DriftQuestion(example, examples, layer, example or 0)
    return drift_of_record(DriftRequest(os.fspath(directory), checkpoint, data, question, with_maps), print_notice)


def channels(path: Union[str, Path], checkpoint: Optional[str] = None, preset: Optional[str] = None) -> RunChannels:
    """Return the ranges of all output channels of the weights of a run or a model, with outliers and verdicts.

    Parameters
    ----------
    path : str or Path
        Directory of a recorded run, or a Keras model: ``.keras``, ``.h5`` or the folder of a SavedModel.
    checkpoint : str, optional
        Name of the run's checkpoint; by default the newest.
    preset : str, optional
        Settings for the verdicts; by default those of the run, and for a model ``tflite-int8``.

    Returns
    -------
    qatviz.analysis.channels.RunChannels

    Raises
    ------
    RecordError, NetworkError, SettingError
        If the record or the model cannot be used, or there is no such preset.
    """
    keep_tensorflow_quiet()
    return channels_at(ChannelsRequest(os.fspath(path), checkpoint, preset), print_notice)


def print_notice(notice: Notice) -> None:
    """Print a notice on standard error, where there is one."""
    with contextlib.suppress(OutputError):  # as on the command line, only results must be written
        print_line(notice.labelled, "stderr")


def advise(
    directory: Union[str, Path],
    budget: Optional[str] = None,
    max_loss: Optional[Union[str, float]] = None,
    bits: Sequence[int] = WIDTHS,
    *,
    fixed: BitsByPattern = None,
    lowest: BitsByPattern = None,
    highest: BitsByPattern = None,
    together: Sequence[Sequence[str]] = (),
    with_activations: bool = False,
    format: str = "c",
    options: Optional[Mapping[str, Any]] = None,
    chip: str = "",
    kernels: str = "",
    clock_mhz: float = 0.0,
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
) -> BudgetAdvice:
    """Choose the bits of a recorded run's weights, and measure their effect without training; nothing is changed.

    Parameters
    ----------
    directory : str or Path
    budget : str, optional
        Largest cost: ``"60 kB"``, ``"50%"`` of the size with 8-bit weights, ``"12M MAC-bits"``, or a time on
        a chip, ``"5 ms"``.
    max_loss : str or float, optional
        Instead of a budget the largest loss: ``"1%"`` of the metric, which is measured, or an increase of the predicted
        loss.
    bits : sequence of int
        Numbers of bits to choose from.
    fixed, lowest, highest : dict of str to int, optional
        Bits that weights have, or have at least or at most, by pattern: ``{"conv1.weights": 8}``.
    together : sequence of sequence of str
        Patterns of weights that have one number of bits.
    with_activations : bool
        True to choose the bits of activations, too; the budget is then the size of the codes of both.
    format : str
        Export format whose size counts, and which has to support the bits.
    options : dict, optional
        Its options; weights of few bits are packed by default.
    chip, kernels, clock_mhz
        Chip of a budget of time, as in :func:`qatviz.chip`.
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    data : str, optional
        Current name or path of the data; by default as recorded.

    Returns
    -------
    qatviz.session.budget.BudgetAdvice
        ``choices`` by tensor, ``before`` and ``after``, ``scores``, and ``recipe``, for ``qatviz.train(recipe=...)``.

    Raises
    ------
    RecordError, DataError
        If the record or the data cannot be used.
    SettingError
        If a constraint is not allowed, or no bits fulfil all.
    ExportError
        If the format does not support the run.
    """
    if (budget is None) == (max_loss is None):
        raise SettingError("budget and max_loss: expected one of them")
    keep_tensorflow_quiet()
    rules = RuleTexts(
        tuple(bits), _texts(fixed), _texts(lowest), _texts(highest), tuple(",".join(patterns) for patterns in together)
    )
    request = BudgetRequest(
        os.fspath(directory),
        checkpoint,
        data,
        rules,
        None if budget is None else parse_budget(budget),
        None if max_loss is None else parse_loss(str(max_loss)),
        format,
        dict(options or {}),
        chip,
        kernels,
        clock_mhz,
        with_activations,
    )
    return advise_recorded(request, print_notice)


def _texts(bits: BitsByPattern) -> Tuple[str, ...]:
    return tuple(f"{pattern}={width}" for pattern, width in (bits or {}).items())
