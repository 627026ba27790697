"""Part of the API for scripts that works on recorded runs, which do not change."""

import contextlib
import os
from pathlib import Path
from typing import Optional, Sequence, Union

from qatviz.analysis.channels import RunChannels
from qatviz.analysis.drift import DriftQuestion, RunDrift
from qatviz.analysis.predictions import RunPredictions
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.errors import OutputError
from qatviz.protocol.recipe import Recipe
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

    Returns
    -------
    qatviz.analysis.drift.RunDrift
        ``drift`` with ``layers``; ``maps``, None if no layer with quantizers is named.

    Raises
    ------
    RecordError, DataError, SettingError
        If the record or the data cannot be used, or there is no such example.
    """
    keep_tensorflow_quiet()
    question = DriftQuestion(example, examples, layer, example or 0)
    return drift_of_record(DriftRequest(os.fspath(directory), checkpoint, data, question), print_notice)


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
