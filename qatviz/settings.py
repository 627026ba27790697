"""Declarations of all settings of the user: type, bounds, default, unit, label and help of each.

A setting is a field of one of three frozen dataclasses, and its declaration is the field's metadata:
:class:`QuantizerSettings` (one for each quantized tensor), :class:`RunSettings` (of the run; they can change while it
trains) and :class:`StartSettings` (of the run; fixed at its start). The command line, the window and the trainer use
these names, bounds, defaults and help texts, and all values are validated by
:meth:`qatviz.setting_declaration.Setting.check`.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.class_weights import ALLOWED as CLASS_WEIGHTS_FORM
from qatviz.class_weights import parse_class_weights
from qatviz.errors import SettingError
from qatviz.losses import AUTOMATIC, LOSS_CHOICES, LOSSES
from qatviz.low_bit_settings import LowBitSettings
from qatviz.metric import METRIC_CHOICES, METRICS
from qatviz.optimization_settings import OptimizationSettings
from qatviz.own_functions import FORM, PATTERN
from qatviz.setting_declaration import Setting, SettingsRecord, declared, settings_of, switch_text

WEIGHTS, ACTIVATIONS = "weights", "activations"
KINDS = (WEIGHTS, ACTIVATIONS)
RUN = "run"  # prefix of the paths of run settings: run.learning_rate

MIN_MAX, PERCENTILE, MSE, FROZEN = "min_max", "percentile", "mse", "frozen"
MOVING_AVERAGE, EXTREMES, KL = "moving_average", "extremes", "kl"
#: Range methods that find the range of activations in a running histogram.
HISTOGRAM_METHODS = (PERCENTILE, MSE, KL)
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
    FROZEN: "frozen range",
}


@dataclass(frozen=True)
class QuantizerSettings(SettingsRecord):
    """Settings of one quantizer; fields that do not apply to its kind of tensor keep their defaults.

    Make one with :func:`quantizer_settings`, which fills in the defaults of the kind and checks values.
    """

    enabled: bool = declared(True, "Quantize", "Quantize this tensor; if off, its values stay in float.", kinds=KINDS)
    num_bits: int = declared(
        8,
        "Bits",
        "Width of the integer codes: n bits give 2ⁿ representable values.",
        low=2,
        high=16,
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
        "Method that chooses the representable range: minimum and maximum of the tensor, a percentile, the range of "
        "least mean squared error, a moving average over batches, the extremes of all batches so far, the range of "
        "least KL divergence (entropy calibration), or frozen. Percentile, MSE and KL of activations are found in a "
        "running histogram.",
        kinds=KINDS,
        choices={
            WEIGHTS: (MIN_MAX, PERCENTILE, MSE, FROZEN),
            ACTIVATIONS: (MOVING_AVERAGE, EXTREMES, *HISTOGRAM_METHODS, FROZEN),
        },
        labels={
            MIN_MAX: "Min–max",
            PERCENTILE: "Percentile",
            MSE: "Least squared error (MSE)",
            KL: "Least KL divergence (entropy)",
            MOVING_AVERAGE: "Moving average",
            EXTREMES: "Extremes so far",
            FROZEN: "Frozen",
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
    trainable: bool = declared(
        True,
        "Trainable",
        "Training changes the layer: its weights, bias and batch norm. If off, they keep their values, and batch norm "
        "uses its moving statistics.",
        kinds=(WEIGHTS,),
    )

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
        if name == "num_bits" and not is_quantized:
            return "float"
        if name == "range_method" and self.range_method == PERCENTILE:
            return f"{setting.text(PERCENTILE)} {self.percentile:g} %"
        return setting.text(getattr(self, name))

    def phrases(self, kind: str, than: Optional["QuantizerSettings"] = None) -> List[str]:
        """Return the settings of a tensor of ``kind`` in phrases: ``8 bits``, ``symmetric``, ``min–max range``.

        Settings that are off are omitted. With ``than``, only the differences from it are returned.
        """
        known = (
            ("num_bits", f"{self.num_bits} bits", True),
            ("symmetric", "symmetric" if self.symmetric else "affine", True),
            ("narrow_range", "narrow range" if self.narrow_range else "full range", self.narrow_range),
            ("per_channel", "per channel" if self.per_channel else "per tensor", kind == WEIGHTS),
            ("power_of_two", "power-of-two scale" if self.power_of_two else "any scale", self.power_of_two),
            ("range_method", _RANGE_PHRASES[self.range_method].format(self.percentile), True),
            ("trainable", "trainable" if self.trainable else "not trainable", kind == WEIGHTS and not self.trainable),
        )
        if than is None:
            return [phrase for _, phrase, is_shown in known if is_shown]
        return [phrase for name, phrase, _ in known if self.text(name, kind) != than.text(name, kind)]

    @property
    def num_codes(self) -> int:
        """Number of integer codes."""
        return int(2**self.num_bits) - int(self.narrow_range)


@dataclass(frozen=True)
class RunSettings(AugmentationSettings, LowBitSettings, OptimizationSettings):
    """Settings of the whole run that can change while it trains; values are checked."""

    freeze_ranges: bool = declared(
        False, "Freeze ranges", "Keep the representable ranges of all weights and activations unchanged."
    )
    freeze_batch_norm: bool = declared(
        False,
        "Freeze batch norm",
        "Batch norm uses its moving statistics instead of the batch's, and does not update them, as in inference.",
    )
    single_convolution: bool = declared(
        False,
        "Single convolution",
        "Layers with batch norm compute the batch's statistics from their quantized weights. If off, they convolve a "
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


@dataclass(frozen=True)
class StartSettings(SettingsRecord):
    """Settings of the whole run that are fixed at its start, except the number of steps; values are checked.

    ``steps`` may be None: no limit.
    """

    batch_size: int = declared(
        64,
        "Batch size",
        "Number of examples in one training step; it also affects the activation ranges.",
        low=1,
        high=65536,
        unit="examples",
    )
    optimizer: str = declared(
        OPTIMIZERS[0],
        "Optimizer",
        "Method that computes updates of the weights from gradients.",
        choices={"": OPTIMIZERS},
        labels={"adam": "Adam", "adamw": "AdamW", "momentum": "Momentum", "rmsprop": "RMSprop", "sgd": "SGD"},
    )
    loss: str = declared(
        AUTOMATIC,
        "Loss",
        "Number that training minimizes; by default, cross-entropy for classes, binary with a single output, and mean "
        "squared error for regression. A function of a Python file gets (y_true, y_pred) as in Keras.",
        choices={"": LOSS_CHOICES},
        pattern=PATTERN,
        form=FORM,
        labels={AUTOMATIC: "By the task", **{name: loss.title for name, loss in LOSSES.items()}},
    )
    class_weights: str = declared(
        "",
        "Class weights",
        "Factors of the losses of a class' examples: balanced gives all classes the same weight in sum, whatever their "
        "number of examples; empty: 1.",
        form=CLASS_WEIGHTS_FORM,
    )
    metric: str = declared(
        AUTOMATIC,
        "Metric",
        "Number that evaluations on held-out data compute; by default, the accuracy for classes, the mean IoU "
        "for masks and the RMSE for regression. Top-5 accuracy needs more than 5 classes, AUC needs 2. "
        "A function of a Python file gets (y_true, y_pred) as in Keras; its results are averaged.",
        choices={"": METRIC_CHOICES},
        pattern=PATTERN,
        form=FORM,
        labels={AUTOMATIC: "By the task", **{name: metric.capitalized_title for name, metric in METRICS.items()}},
    )
    seed: int = declared(
        0,
        "Seed",
        "Determines initial weights, batches and dropout: the same seed gives the same run.",
        low=0,
        high=2**32 - 1,
    )
    steps: Optional[int] = declared(
        2000,
        "Total steps",
        "Number of training steps after which the run ends, counted from its start.",
        low=0,
        high=10**9,
    )

    def __post_init__(self) -> None:
        for name, setting in START_SETTINGS.items():
            value = getattr(self, name)
            if name == "steps" and value is None:
                continue
            # Other types are refused: these values are recorded unchanged.
            if type(setting.check(value, name)) is not type(value):
                raise setting.refusal(value, name)
        parse_class_weights(self.class_weights)


QUANTIZER_SETTINGS = settings_of(QuantizerSettings)
RUN_SETTINGS = settings_of(RunSettings)
START_SETTINGS = settings_of(StartSettings)


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
    return setting


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
