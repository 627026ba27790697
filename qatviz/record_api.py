"""Functions of the Python interface on recorded runs: where the error of quantization comes from."""

# Apart from the functions of qatviz.api, which begin and continue runs.

import os
from pathlib import Path
from typing import Optional, Union

from qatviz.analysis.channels import RunChannels
from qatviz.analysis.drift import DriftQuestion, RunDrift
from qatviz.api import print_notice
from qatviz.session.channels import channels_at
from qatviz.session.drift import drift_of_record
from qatviz.session.record_requests import ChannelsRequest, DriftRequest
from qatviz.training.quiet import keep_tensorflow_quiet


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
