"""Presets: named settings for all quantizers of a network."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from qatviz.errors import SettingError
from qatviz.learning_rate import COSINE
from qatviz.settings import EXTREMES, LEARNED, MSE, WEIGHTS, QuantizerSettings, RunSettings, quantizer_settings


class Preset(NamedTuple):
    """Settings for weights and for activations.

    ``per_channel_kinds`` names the layer kinds whose weights get a scale for each output channel. ``ends`` are other
    settings of the tensors at the ends of a network (:mod:`qatviz.network.ends`), ``run`` settings of the run.
    """

    description: str
    weights: Dict[str, Any]
    activations: Dict[str, Any]
    per_channel_kinds: Tuple[str, ...] = ()
    ends: Mapping[str, Any] = MappingProxyType({})
    run: Mapping[str, Any] = MappingProxyType({})


_CONVOLUTIONS = ("Conv2D", "GroupedConv2D", "DepthwiseConv2D", "Conv2DTranspose")
_ALL = (*_CONVOLUTIONS, "Dense")
_SYMMETRIC = {"symmetric": True, "narrow_range": True}

PRESETS = {
    "tflite-int8": Preset(
        "TFLite's int8: 8-bit symmetric weights, per channel for convolutions; 8-bit affine activations",
        dict(_SYMMETRIC, num_bits=8),
        {"num_bits": 8},
        _CONVOLUTIONS,
    ),
    "uint8-affine": Preset(
        "TFLite's older uint8, as tf.contrib.quantize trains it: affine per tensor, narrow weights",
        {"num_bits": 8, "narrow_range": True},
        {"num_bits": 8},
    ),
    "int4": Preset(
        "4-bit symmetric weights per channel, 8-bit affine activations",
        dict(_SYMMETRIC, num_bits=4),
        {"num_bits": 8},
        _ALL,
    ),
    "ternary": Preset(
        "2-bit narrow weights (-1, 0, 1) per channel with the range of least squared error, 8-bit affine activations",
        dict(_SYMMETRIC, num_bits=2, range_method=MSE),
        {"num_bits": 8},
        _ALL,
    ),
    "low-bit": Preset(
        "4-bit weights and activations with learned scales, per channel for weights; 8 bits at the input and in the "
        "last layer, biases rounded in training, batch statistics of the quantized layers, and a cosine schedule of "
        "the learning rate",
        {"symmetric": True, "num_bits": 4, "range_method": LEARNED},
        {"num_bits": 4, "range_method": LEARNED},
        _ALL,
        {"num_bits": 8},
        {
            "lr_schedule": COSINE,
            "lr_factor": 0.0,
            "scale_learning_rate": 3.0,
            "round_biases": True,
            "single_convolution": True,
        },
    ),
    "float": Preset("Nothing is quantized", {"enabled": False}, {"enabled": False}),
}
DEFAULT_PRESET = "tflite-int8"


def preset_settings(
    preset: str, kind: str, op_kind: str, predicts_numbers: bool = False, is_end: bool = False
) -> QuantizerSettings:
    """Return the settings of a tensor in ``preset``.

    Parameters
    ----------
    preset : str
        A key of :data:`PRESETS`.
    kind : str
        ``weights`` or ``activations``.
    op_kind : str
        Kind of the tensor's layer, such as ``Conv2D``.
    predicts_numbers : bool
        True if the tensor is the output of a regression. Its range then contains the extremes so far: a moving average
        of the extremes of batches would clip the largest predictions.
    is_end : bool
        True if the tensor is at an end of the network.

    Raises
    ------
    SettingError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise SettingError(f"preset is {preset!r}: expected one of {', '.join(PRESETS)}")
    entry = PRESETS[preset]
    ends = entry.ends if is_end else {}
    if kind == WEIGHTS:
        return quantizer_settings(kind, per_channel=op_kind in entry.per_channel_kinds, **{**entry.weights, **ends})
    method = {"range_method": EXTREMES} if predicts_numbers else {}
    return quantizer_settings(kind, **{**entry.activations, **ends, **method})


def with_run_settings(preset: str, run: RunSettings, is_new: bool) -> RunSettings:
    """Return ``run`` with those of a preset; in a new run, only in place of defaults: others were given by the user."""
    default = RunSettings()
    given = PRESETS[preset].run.items()
    wanted = {name: value for name, value in given if not is_new or getattr(run, name) == getattr(default, name)}
    return replace(run, **wanted) if wanted else run
