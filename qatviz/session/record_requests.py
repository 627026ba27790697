"""Requests on a recorded run: to export it, to evaluate it under other settings, to analyse its errors."""

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from qatviz.analysis.drift import DriftQuestion
from qatviz.session.changes import TimedChange

#: Name of the format of an export, unless another one is stated.
DEFAULT_FORMAT = "tflite"


@dataclass(frozen=True)
class RecordedStateRequest:
    """Base class of the requests that read a state of a recorded run.

    Attributes
    ----------
    directory : str
        Directory of the recorded run.
    checkpoint : str, optional
        Name of the checkpoint; None: the newest readable one.
    data : str, optional
        Current path of the data; None: the recorded path.
    """

    directory: str
    checkpoint: Optional[str] = None
    data: Optional[str] = None


@dataclass(frozen=True)
class ExportRequest(RecordedStateRequest):
    """Request to export a recorded run; the window saves the present state as a checkpoint first.

    Attributes
    ----------
    format : str
        A name of :data:`qatviz.export.formats.FORMATS`.
    out : str
        Path of the file; for a format of several files, of the directory.
    options : mapping of str to object
        Options of the format.
    examples : int, optional
        Number of held-out examples to run the file on; None: 1000, or fewer for a large network.
    """

    format: str = DEFAULT_FORMAT
    out: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    examples: Optional[int] = None


@dataclass(frozen=True)
class EvaluationRequest(RecordedStateRequest):
    """Request to evaluate a recorded run under other settings, without training.

    Attributes
    ----------
    preset : str, optional
        Settings of all quantizers.
    changes : tuple of TimedChange
        Changes of settings, without steps.
    more_bits : bool
        True to evaluate also with 16 bits in each tensor.
    """

    preset: Optional[str] = None
    changes: Tuple[TimedChange, ...] = ()
    more_bits: bool = False


@dataclass(frozen=True)
class SensitivityRequest(RecordedStateRequest):
    """Request for the sensitivity of a recorded run to the quantization of each tensor.

    Attributes
    ----------
    measured : bool
        True to measure each tensor under the settings of the run, too, which takes longer.
    """

    measured: bool = False


@dataclass(frozen=True)
class DriftRequest(RecordedStateRequest):
    """Request for the drift of a recorded run from its network in float, by layer.

    Attributes
    ----------
    question : DriftQuestion
        Held-out examples that are computed.
    with_maps : bool
        True to add the feature maps of the layer with the largest own error, unless ``question`` names a layer.
    """

    question: DriftQuestion = DriftQuestion()
    with_maps: bool = False


@dataclass(frozen=True)
class ChannelsRequest:
    """Request for the channels of the weights of a recorded run or of a model.

    Attributes
    ----------
    path : str
        Directory of the recorded run, or file or folder of a Keras model.
    checkpoint : str, optional
        Name of the run's checkpoint; None: the newest readable one.
    preset : str, optional
        Settings for the verdicts; None: those of the run, and for a model the default preset.
    """

    path: str
    checkpoint: Optional[str] = None
    preset: Optional[str] = None


@dataclass(frozen=True)
class PredictionsRequest(RecordedStateRequest):
    """Request for the predictions of a recorded run in float and quantized.

    Attributes
    ----------
    step : int, optional
        Step of the checkpoint to use in place of ``checkpoint``; None: ``checkpoint`` names it.
    at_most : int, optional
        Largest number of held-out examples; None: all.
    """

    step: Optional[int] = None
    at_most: Optional[int] = None
