"""Declarations of all settings of the user: type, bounds, default, unit, label and help of each.

A setting is a field of one of three frozen dataclasses, and its declaration is the field's metadata:
:class:`QuantizerSettings` (one for each quantized tensor), :class:`RunSettings` (of the run; they can change while it
trains) and :class:`qatviz.start_settings.StartSettings` (of the run; fixed at its start). The command line, the window
and the trainer use these names, bounds, defaults and help texts, and all values are validated by
:meth:`qatviz.setting_declaration.Setting.check`.
"""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.errors import SettingError
from qatviz.low_bit_settings import LowBitSettings
from qatviz.optimization_settings import OptimizationSettings
from qatviz.oscillation_settings import OscillationSettings
from qatviz.setting_declaration import Setting, SettingsRecord, declared, settings_of, switch_text
from qatviz.strength_settings import StrengthSettings

WEIGHTS, ACTIVATIONS = "weights", "activations"
KINDS = (WEIGHTS, ACTIVATIONS)
RUN = "run"  # prefix of the paths of run settings: run.learning_rate

MIN_MAX, PERCENTILE, MSE, FROZEN = "min_max", "percentile", "mse", "frozen"
MOVING_AVERAGE, EXTREMES, KL = "moving_average", "extremes", "kl"
LEARNED, LEARNED_RANGE, LEARNED_CLIP = "learned", "learned_range", "learned_clip"
#: Maps of weights before they are rounded (:mod:`qatviz.quant.weight_maps`). Weights of 1 bit are binary.
NO_MAP, TANH, TERNARY, BINARY = "none", "tanh", "ternary", "binary"
#: Maps that choose the codes: -1 and 1, or -1, 0 and 1.
CODED_MAPS = (BINARY, TERNARY)
#: Range methods that find the range of activations in a running histogram.
HISTOGRAM_METHODS = (PERCENTILE, MSE, KL)
#: Range methods that train the range with the weights (:mod:`qatviz.quant.learned`).
LEARNED_METHODS = (LEARNED, LEARNED_RANGE, LEARNED_CLIP)
#: Results by which evaluations are compared.
METRIC, LOSS = "metric", "loss"
#: Run settings that each optimizer uses, besides the learning rate, by its name.
OPTIMIZER_SETTINGS: Dict[str, Tuple[str, ...]] = {
    "adam": ("beta1", "beta2", "epsilon"),
    "adamw": ("beta1", "beta2", "epsilon"),
    "momentum": ("momentum",),
    "rmsprop": ("rho", "epsilon"),
    "sgd": (),
}
#: Names of the optimizers.
OPTIMIZERS = tuple(OPTIMIZER_SETTINGS)
#: Defaults of run settings of an optimizer that differ from the declared ones. Decay applies to every optimizer, so
#: that AdamW is Adam with the decay that Keras' AdamW has by default.
OPTIMIZER_DEFAULTS: Dict[str, Dict[str, Any]] = {"adamw": {"weight_decay": 0.004}}


#: Short phrases for the range methods; ``{}`` is the percentile.
_RANGE_PHRASES = {
    MIN_MAX: "min–max range",
    PERCENTILE: "{:g} % range",
    MSE: "least-MSE range",
    KL: "least-KL range",
    MOVING_AVERAGE: "averaged range",
    EXTREMES: "range of the extremes so far",
    LEARNED: "learned scale",
    LEARNED_RANGE: "learned range",
    LEARNED_CLIP: "learned clip",
    FROZEN: "frozen range",
}
#: Short phrases for the maps that choose the codes, and for the settings.
_BITS_PHRASES = {BINARY: "binary", TERNARY: "ternary"}
_MAP_PHRASES = {NO_MAP: "no map", TANH: "tanh map", TERNARY: "ternary map"}
#: Name of the map of 1 bit, which is not chosen as a map.
_BINARY_LABEL = "Binary (XNOR-Net)"


@dataclass(frozen=True)
class QuantizerSettings(SettingsRecord):
    """Settings of one quantizer; fields that do not apply to its kind of tensor keep their defaults.

    Make one with :func:`quantizer_settings`, which fills in the defaults of the kind and checks values.
    """

    enabled: bool = declared(True, "Quantize", "Quantize this tensor; if off, its values stay in float.", kinds=KINDS)
    num_bits: int = declared(
        8,
        "Bits",
        "Width of the integer codes: n bits give 2ⁿ representable values, and 1 bit makes weights binary, plus or "
        "minus the mean magnitude of all.",
        low=1,
        high=16,
        low_by_kind={ACTIVATIONS: 2},
        unit="bits",
        kinds=KINDS,
    )
    symmetric: bool = declared(
        False,
        "Symmetric",
        "Zero point fixed at 0, grid centred on 0: faster in runtimes, but one-sided data wastes half of the codes.",
        kinds=KINDS,
    )
    narrow_range: bool = declared(
        False,
        "Narrow range",
        "The lowest code is not used (8 bits: -127 to 127), so that a symmetric grid has the same range on both sides.",
        kinds=KINDS,
    )
    per_channel: bool = declared(
        False,
        "Per channel",
        "Every output channel has its own scale, instead of one scale for the whole tensor.",
        kinds=(WEIGHTS,),
    )
    power_of_two: bool = declared(
        False,
        "Power-of-two scale",
        "The scale is rounded up to a power of two, so that hardware can rescale by shifting.",
        kinds=KINDS,
    )
    range_method: str = declared(
        MIN_MAX,
        "Range",
        "Method that chooses the representable range: from the values, or learned like a weight; percentile, MSE and "
        "KL of activations are found in a running histogram.",
        kinds=KINDS,
        choices={
            WEIGHTS: (MIN_MAX, PERCENTILE, MSE, LEARNED, FROZEN),
            ACTIVATIONS: (MOVING_AVERAGE, EXTREMES, *HISTOGRAM_METHODS, *LEARNED_METHODS, FROZEN),
        },
        labels={
            MIN_MAX: "Min–max",
            PERCENTILE: "Percentile",
            MSE: "Least squared error (MSE)",
            KL: "Least KL divergence (entropy)",
            MOVING_AVERAGE: "Moving average",
            EXTREMES: "Extremes so far",
            LEARNED: "Learned scale (LSQ)",
            LEARNED_RANGE: "Learned range (LSQ+)",
            LEARNED_CLIP: "Learned clip (PACT)",
            FROZEN: "Frozen",
        },
        choice_help={
            MIN_MAX: "From the smallest to the largest value of the tensor, so that no value is clipped.",
            PERCENTILE: "Clips a small fraction of the values, so that few large ones do not coarsen all others.",
            MSE: "The range with the least squared error, between too much clipping and too much rounding.",
            KL: "The range that changes the distribution of the values least, the entropy calibration of TensorRT.",
            MOVING_AVERAGE: "Average of the smallest and the largest value of each batch, most of all the last ones.",
            EXTREMES: "From the smallest to the largest value of all batches since it was chosen.",
            LEARNED: "Training moves the scale by the gradient of the loss, like a weight (LSQ); with a power-of-two "
            "scale, it moves the threshold beyond which values are clipped (TQT).",
            LEARNED_RANGE: "Training moves scale and offset, for values that lie mostly on one side of 0 (LSQ+).",
            LEARNED_CLIP: "Training moves the ends beyond which values are clipped, with a pull towards 0 (PACT).",
            FROZEN: "Keeps the present range unchanged.",
        },
    )
    percentile: float = declared(
        99.9,
        "Percentile",
        "For the percentile range: fraction of the values that is not clipped; the rest is cut evenly at both ends.",
        low=50.0,
        high=100.0,
        unit="%",
        kinds=KINDS,
    )
    ema_decay: float = declared(
        0.999,
        "Average decay",
        "Decay of the moving average, or of the running histogram: 0.999 averages over about the last 1,000 batches.",
        low=0.0,
        high=0.999999,
        kinds=(ACTIVATIONS,),
    )
    quant_delay: int = declared(
        0,
        "Delay",
        "Number of training steps in float before the tensor is quantized.",
        low=0,
        high=10**9,
        unit="steps",
        kinds=KINDS,
    )
    weight_map: str = declared(
        NO_MAP,
        "Map",
        "Function of the weights before they are rounded.",
        kinds=(WEIGHTS,),
        choices={WEIGHTS: (NO_MAP, TANH, TERNARY)},
        labels={NO_MAP: "None", TANH: "tanh (DoReFa)", TERNARY: "Ternary (TWN)"},
        choice_help={
            NO_MAP: "Weights are rounded as they are.",
            TANH: "Draws large weights closer to the others, so that these use more of the codes.",
            TERNARY: "Weights below 0.7 of the mean magnitude become 0, all others plus or minus one value, with any "
            "number of bits above 1.",
        },
    )
    stochastic_rounding: bool = declared(
        False,
        "Stochastic rounding",
        "In training, each weight is rounded up or down at random, up the more likely the closer it is to the upper "
        "level, so that small updates are not lost; evaluations and exports round to the nearest level.",
        kinds=(WEIGHTS,),
    )
    gradient_scaling: float = declared(
        0.0,
        "Gradient scaling",
        "Factor of element-wise gradient scaling (EWGS): gradients grow where they move a value towards the level that "
        "it is rounded to, and shrink where they move it away, the more the larger its rounding error; 0 is off.",
        low=0.0,
        high=10.0,
        kinds=KINDS,
    )
    trainable: bool = declared(
        True,
        "Trainable",
        "Training changes the layer's weights, bias and batch norm; if off, they keep their values, and batch norm "
        "uses its moving statistics.",
        kinds=(WEIGHTS,),
    )
    dampening: float = declared(
        0.0,
        "Dampening",
        "Strength of a pull of each weight towards the level that it is rounded to, which keeps it from oscillating "
        "between two codes; 0 is off.",
        low=0.0,
        high=100.0,
        kinds=(WEIGHTS,),
    )
    freeze_threshold: float = declared(
        0.0,
        "Freezing threshold",
        "Weights whose code reverses its direction more often than this fraction of the training steps are frozen to "
        "the code of their average, until the threshold is set to 0, which is off, or a setting of the grid changes.",
        low=0.0,
        high=1.0,
        kinds=(WEIGHTS,),
    )

    @property
    def effective_map(self) -> str:
        """Map in use: binary for weights of 1 bit, otherwise that of the setting."""
        return BINARY if self.num_bits == 1 else self.weight_map

    @property
    def has_coded_map(self) -> bool:
        """True if the map chooses the codes."""
        return self.effective_map in CODED_MAPS

    def on_grid(self) -> "QuantizerSettings":
        """Return the settings of the grid: those of 2 narrow, symmetric bits if the map chooses the codes."""
        if not self.has_coded_map:
            return self
        return replace(self, num_bits=2, symmetric=True, narrow_range=True, range_method=MIN_MAX)

    def with_grid_bits(self, num_bits: int) -> "QuantizerSettings":
        """Return settings whose grid has ``num_bits``: these, unless theirs has another number."""
        return self if self.on_grid().num_bits == num_bits else replace(self, num_bits=num_bits)

    @property
    def code_bits(self) -> int:
        """Number of bits that distinguish the codes: 1 if binary, 2 if ternary, otherwise that of the setting."""
        return {BINARY: 1, TERNARY: 2}.get(self.effective_map, self.num_bits)

    def is_active(self, step: Optional[int] = None) -> bool:
        """Return whether the tensor is quantized after ``step`` training steps; None: after its delay."""
        return self.enabled and (step is None or step >= self.quant_delay)

    def is_delayed(self, step: Optional[int]) -> bool:
        """Return whether the tensor will be quantized, but not yet after ``step`` training steps."""
        return self.enabled and not self.is_active(step)

    def text(self, name: str, kind: str, is_quantized: bool = True) -> str:
        """Return a setting as tables show it; empty if it does not apply to ``kind``."""
        setting = QUANTIZER_SETTINGS[name]
        if kind not in setting.kinds:
            return ""
        if name == "num_bits":
            return str(self.code_bits) if is_quantized else "float"
        if name == "weight_map" and self.effective_map == BINARY:
            return _BINARY_LABEL
        if name == "range_method" and self.range_method == PERCENTILE:
            return f"{setting.text(PERCENTILE)} {self.percentile:g} %"
        return setting.text(getattr(self, name))

    def phrases(self, kind: str, than: Optional["QuantizerSettings"] = None) -> List[str]:
        """Return the settings of a tensor of ``kind`` in phrases: ``8 bits``, ``symmetric``, ``min–max range``.

        Settings that are off are omitted. With ``than``, only the differences from it are returned.
        """
        is_chosen = not self.has_coded_map  # otherwise the map determines grid and range
        known = (
            ("num_bits", _BITS_PHRASES.get(self.effective_map, f"{self.num_bits} bits"), True),
            ("weight_map", _MAP_PHRASES[self.weight_map], self.effective_map == TANH),
            ("symmetric", "symmetric" if self.symmetric else "affine", is_chosen),
            ("narrow_range", "narrow range" if self.narrow_range else "full range", is_chosen and self.narrow_range),
            ("per_channel", "per channel" if self.per_channel else "per tensor", kind == WEIGHTS),
            ("power_of_two", "power-of-two scale" if self.power_of_two else "any scale", self.power_of_two),
            ("range_method", _RANGE_PHRASES[self.range_method].format(self.percentile), is_chosen),
            (
                "stochastic_rounding",
                f"stochastic rounding {switch_text(self.stochastic_rounding)}",
                self.stochastic_rounding,
            ),
            ("gradient_scaling", f"gradient scaling {self.gradient_scaling:g}", self.gradient_scaling > 0),
            ("trainable", "trainable" if self.trainable else "not trainable", kind == WEIGHTS and not self.trainable),
            ("dampening", f"dampening {self.dampening:g}" if self.dampening else "no dampening", self.dampening > 0),
            (
                "freeze_threshold",
                f"freezing at {self.freeze_threshold:g}" if self.freeze_threshold else "no freezing",
                self.freeze_threshold > 0,
            ),
        )
        if than is None:
            return [phrase for _, phrase, is_shown in known if is_shown]

        def differs(name: str) -> bool:
            if name == "weight_map":  # the phrase of 1 bit says that the map is binary
                return self.weight_map != than.weight_map
            return self.text(name, kind) != than.text(name, kind)

        return [phrase for name, phrase, _ in known if differs(name)]

    @property
    def num_codes(self) -> int:
        """Number of integer codes."""
        grid = self.on_grid()
        return int(2**grid.num_bits) - int(grid.narrow_range) - int(self.effective_map == BINARY)


@dataclass(frozen=True)
class RunSettings(StrengthSettings, AugmentationSettings, LowBitSettings, OscillationSettings, OptimizationSettings):
    """Settings of the whole run that can change while it trains; values are checked."""

    freeze_ranges: bool = declared(
        False, "Freeze ranges", "Keep the representable ranges of all weights and activations unchanged."
    )
    freeze_batch_norm: bool = declared(
        False,
        "Freeze batch norm",
        "Batch norm uses its moving statistics instead of the batch's, and does not update them, as in inference.",
    )
    round_biases: bool = declared(
        False,
        "Round biases",
        "Training rounds biases as exports do, to whole numbers of input scale × weight scale: at 8 bits it makes no "
        "difference, at 2 bits the network learns with the large rounding errors that it will have.",
    )
    single_convolution: bool = declared(
        False,
        "Single convolution",
        "Layers with batch norm compute the batch's statistics from their quantized weights; if off, they convolve a "
        "second time with float weights for that, which takes longer.",
    )
    evaluation_interval: int = declared(
        200,
        "Evaluate every",
        "Training steps between two evaluations on held-out data; 0 evaluates only on request. No evaluation is "
        "left out: training waits for one that is still in progress when the next is due.",
        low=0,
        high=10**9,
        unit="steps",
    )
    snapshot_interval: float = declared(
        0.25,
        "Histograms every",
        "Seconds between two snapshots of all histograms. They are less frequent for slow networks; an interval below "
        "the default may use more of the training time.",
        low=0.02,
        high=3600.0,
        unit="s",
        log=True,
    )
    checkpoint_interval: float = declared(
        60.0,
        "Checkpoint every",
        "Seconds between two automatic checkpoints.",
        low=1.0,
        high=86400.0,
        unit="s",
        log=True,
    )
    keep_best: bool = declared(
        False,
        "Keep the best",
        "Save a checkpoint of each state whose evaluation is better than all before it with the same quantization. The "
        "newest of them is also the checkpoint named best.",
    )
    patience: int = declared(
        0,
        "Patience",
        "Number of evaluations in a row without a better one with the same quantization after which the run ends; 0 is "
        "off.",
        low=0,
        high=500,
        unit="evaluations",
    )
    monitor: str = declared(
        METRIC,
        "Compared by",
        "Quantized result by which evaluations are compared: the metric, or the loss on held-out data without "
        "smoothing and weights, which is computed if it is chosen.",
        choices={"": (METRIC, LOSS)},
        labels={METRIC: "Metric", LOSS: "Loss"},
    )

    def __post_init__(self) -> None:
        for name, setting in RUN_SETTINGS.items():
            object.__setattr__(self, name, setting.check(getattr(self, name), f"{RUN}.{name}"))


QUANTIZER_SETTINGS = settings_of(QuantizerSettings)
RUN_SETTINGS = settings_of(RunSettings)


def quantizer_setting(name: str, kind: str, path: str = "") -> Setting:
    """Return the declaration of the setting ``name`` for tensors of ``kind``.

    Raises
    ------
    SettingError
        If there is no such setting.
    """
    setting = QUANTIZER_SETTINGS.get(name)
    if setting is None or kind not in setting.kinds:
        known = ", ".join(s.name for s in QUANTIZER_SETTINGS.values() if kind in s.kinds)
        raise SettingError(f"{path or name}: no such setting for {kind}: {name!r}; available: {known}")
    return setting.of_kind(kind)


def run_setting(name: str) -> Setting:
    """Return the declaration of the run setting ``name``.

    Raises
    ------
    SettingError
        If there is no such setting.
    """
    if name not in RUN_SETTINGS:
        raise SettingError(f"run.{name}: no such setting of the run; available: {', '.join(RUN_SETTINGS)}")
    return RUN_SETTINGS[name]


def run_settings_for(optimizer: Optional[str], values: Mapping[str, Any]) -> RunSettings:
    """Return the run settings ``values``, with the defaults of ``optimizer`` (None: the default one) for all others.

    Raises
    ------
    SettingError
        If a value is not allowed.
    """
    return RunSettings(**{**OPTIMIZER_DEFAULTS.get(optimizer or "", {}), **values})


def quantizer_settings(kind: str, where: str = "", **values: Any) -> QuantizerSettings:
    """Return checked settings for a tensor of ``kind``; ``where`` is the tensor's name for error messages.

    Raises
    ------
    SettingError
        For an unknown setting, one that does not apply to the kind, or a value that is not allowed.
    """
    prefix = where + "." if where else ""
    checked: Dict[str, Any] = {"range_method": MIN_MAX if kind == WEIGHTS else MOVING_AVERAGE}
    for name, value in values.items():
        checked[name] = quantizer_setting(name, kind, prefix + name).check(value, prefix + name, kind)
    return QuantizerSettings(**checked)


def applicable(settings: QuantizerSettings, kind: str) -> Dict[str, Any]:
    """Return the settings that apply to tensors of ``kind``, by name."""
    return {name: getattr(settings, name) for name, s in QUANTIZER_SETTINGS.items() if kind in s.kinds}


def value_text(path: str, value: Any) -> str:
    """Return the value of the setting that ``path`` ends in as the window shows it: ``Moving average``, ``0.001``."""
    return {**QUANTIZER_SETTINGS, **RUN_SETTINGS}[path.rpartition(".")[2]].text(value)


def setting_text(value: Any) -> str:
    """Return the value of any setting in a form from which :meth:`Setting.parse` returns it: ``on``, ``0.001``."""
    if isinstance(value, bool):
        return switch_text(value)
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)  # of a float, all digits that distinguish it from others
