"""Declarations of all settings of the user: type, bounds, default, unit, label and help of each.

A setting is a field of one of three frozen dataclasses, and its declaration is the field's metadata:
:class:`QuantizerSettings` (one for each quantized tensor), :class:`RunSettings` (of the run; they can change while it
trains) and :class:`StartSettings` (of the run; fixed at its start). The command line, the window and the trainer use
these names, bounds, defaults and help texts, and all values are validated by :meth:`Setting.check`.
"""

import contextlib
import math
import numbers
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from qatviz.errors import SettingError

WEIGHTS, ACTIVATIONS = "weights", "activations"
KINDS = (WEIGHTS, ACTIVATIONS)
RUN = "run"  # prefix of the paths of run settings: run.learning_rate

_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
_METADATA = "setting"


@dataclass(frozen=True)
class Setting:
    """Declaration of one setting.

    Attributes
    ----------
    name, label : str
        Name in code and on the command line; label in the window.
    type : type
        bool, int, float or str.
    default
        Default value.
    help : str
        Explanation in one sentence.
    low, high : number, optional
        Smallest and largest allowed value, inclusive.
    unit : str
        Unit of the value; empty if it has none.
    log : bool
        True if its slider has a logarithmic scale.
    kinds : tuple of str
        Kinds of tensors to which it applies; empty for settings of the run.
    choices : dict of str to tuple of str
        Allowed words for each kind of tensor (for a setting of the run: for ``""``).
    labels : dict of str to str
        Labels of the allowed words in the window; a word without one is its own label.
    """

    name: str
    label: str
    type: type
    default: Any
    help: str
    low: Optional[float] = None
    high: Optional[float] = None
    unit: str = ""
    log: bool = False
    kinds: Tuple[str, ...] = ()
    choices: Optional[Mapping[str, Tuple[str, ...]]] = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def allowed(self, kind: str = "") -> str:
        """Return a phrase that lists the allowed values, in the form for input."""
        if self.choices is not None:
            return "one of " + ", ".join(self._words(kind))
        if self.type is bool:
            return "on or off"
        noun = "a whole number" if self.type is int else "a number"
        return f"{noun} from {_bound(self.low)} to {_bound(self.high)}{' ' + self.unit if self.unit else ''}"

    def allowed_labels(self, kind: str = "") -> str:
        """Return a phrase that lists the allowed values, as the window shows them."""
        if self.choices is not None:
            return "one of " + "; ".join(self.text(word) for word in self._words(kind))
        return self.allowed(kind)

    def check(self, value: Any, path: str = "", kind: str = "") -> Any:
        """Return ``value`` in the setting's type.

        Raises
        ------
        SettingError
            If it is not allowed; the message names the setting (or ``path``), the value and the allowed values.
        """
        checked = self._coerce(value, kind)
        if checked is None:
            raise self.refusal(value, path, kind)
        return checked

    def refusal(self, value: Any, path: str = "", kind: str = "") -> SettingError:
        """Return the error for a value that is not allowed."""
        return SettingError(f"{path or self.name} is {value!r}: expected {self.allowed(kind)}")

    def parse(self, text: str, path: str = "", kind: str = "") -> Any:
        """Return the checked value of ``text`` (from a command line or a file)."""
        word = text.strip()
        value: Any = word
        if self.type is bool:
            value = True if word.lower() in _TRUE else False if word.lower() in _FALSE else word
        elif self.type in (int, float):
            with contextlib.suppress(ValueError):
                value = self.type(word)
        return self.check(value, path, kind)

    def text(self, value: Any) -> str:
        """Return a value as the window shows it: ``on``, ``Moving average``, ``200``, ``1e-5``; without the unit."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, str):
            return self.labels.get(value, value)
        mantissa, e, exponent = f"{value:.10g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if e else mantissa

    def text_with_unit(self, value: Any) -> str:
        """Return :meth:`text`, whole numbers with separators, and :attr:`shown_unit`: ``2,000 steps``."""
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else self.text(value)
        has_unit = self.shown_unit and not isinstance(value, (bool, str))
        return f"{text} {self.shown_unit}" if has_unit else text

    @property
    def shown_unit(self) -> str:
        """Unit to show with a number; empty if it is the label (``Bits``)."""
        return "" if self.unit == self.label.lower() else self.unit

    def _words(self, kind: str) -> Tuple[str, ...]:
        known = self.choices or {}
        if kind or "" in known:
            return known[kind]
        return tuple(sorted({word for words in known.values() for word in words}))

    def _coerce(self, value: Any, kind: str) -> Any:
        if self.choices is not None:
            return value if isinstance(value, str) and value in self._words(kind) else None
        if self.type is bool:
            return bool(value) if isinstance(value, bool) or type(value).__name__ == "bool_" else None
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not abs(value) < math.inf:
            return None
        if self.type is int and value != int(value):
            return None
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        return self.type(value) if low <= value <= high else None  # type: ignore[operator]  # of numbers.Real


def _bound(value: Optional[float]) -> str:
    """Return a bound in the form for input; whole numbers in full."""
    if value is None:
        return "any"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def _declared(default: Any, label: str, help: str, **rest: Any) -> Any:
    """Return a dataclass field that is a setting of the default's type."""
    setting = Setting("", label, type(default), default, help, **rest)
    return field(default=default, metadata={_METADATA: setting})


def _settings_of(record: Any) -> Dict[str, Setting]:
    """Return the declarations of a dataclass' fields, by name."""
    return {f.name: replace(f.metadata[_METADATA], name=f.name) for f in fields(record)}


MIN_MAX, PERCENTILE, MSE, FROZEN = "min_max", "percentile", "mse", "frozen"
MOVING_AVERAGE, EXTREMES = "moving_average", "extremes"
#: Names of the optimizers.
OPTIMIZERS = ("adam", "momentum", "sgd")


@dataclass(frozen=True)
class _Settings:
    """Base class of the records of settings."""

    def to_dict(self) -> Dict[str, Any]:
        """Return the values by name, JSON-able."""
        return dict(asdict(self))


#: Short phrases for the range methods; ``{}`` is the percentile.
_RANGE_PHRASES = {
    MIN_MAX: "min–max range",
    PERCENTILE: "{:g} % range",
    MSE: "least-MSE range",
    MOVING_AVERAGE: "averaged range",
    EXTREMES: "range of the extremes so far",
    FROZEN: "frozen range",
}


@dataclass(frozen=True)
class QuantizerSettings(_Settings):
    """Settings of one quantizer; fields that do not apply to its kind of tensor keep their defaults.

    Make one with :func:`quantizer_settings`, which fills in the defaults of the kind and checks values.
    """

    enabled: bool = _declared(True, "Quantize", "Quantize this tensor; if off, its values stay in float.", kinds=KINDS)
    num_bits: int = _declared(
        8,
        "Bits",
        "Width of the integer codes: n bits give 2ⁿ representable values.",
        low=2,
        high=16,
        unit="bits",
        kinds=KINDS,
    )
    symmetric: bool = _declared(
        False,
        "Symmetric",
        "Zero point fixed at 0, grid centred on 0: faster in runtimes, but one-sided data wastes half of the codes.",
        kinds=KINDS,
    )
    narrow_range: bool = _declared(
        False,
        "Narrow range",
        "The lowest code is not used (8 bits: -127 to 127), so that a symmetric grid has the same range on both sides.",
        kinds=KINDS,
    )
    per_channel: bool = _declared(
        False,
        "Per channel",
        "Every output channel has its own scale, instead of one scale for the whole tensor.",
        kinds=(WEIGHTS,),
    )
    power_of_two: bool = _declared(
        False,
        "Power-of-two scale",
        "The scale is rounded up to a power of two, so that hardware can rescale by shifting.",
        kinds=KINDS,
    )
    range_method: str = _declared(
        MIN_MAX,
        "Range",
        "Method that chooses the representable range: minimum and maximum of the tensor, a percentile, the range of "
        "least mean squared error, a moving average over batches, the extremes of all batches so far, or frozen.",
        kinds=KINDS,
        choices={WEIGHTS: (MIN_MAX, PERCENTILE, MSE, FROZEN), ACTIVATIONS: (MOVING_AVERAGE, EXTREMES, FROZEN)},
        labels={
            MIN_MAX: "Min–max",
            PERCENTILE: "Percentile",
            MSE: "Least squared error (MSE)",
            MOVING_AVERAGE: "Moving average",
            EXTREMES: "Extremes so far",
            FROZEN: "Frozen",
        },
    )
    percentile: float = _declared(
        99.9,
        "Percentile",
        "For the percentile range: fraction of the values that is not clipped; the rest is cut evenly at both ends.",
        low=50.0,
        high=100.0,
        unit="%",
        kinds=(WEIGHTS,),
    )
    ema_decay: float = _declared(
        0.999,
        "Average decay",
        "Decay of the moving average: 0.999 averages over about the last 1,000 batches.",
        low=0.0,
        high=0.999999,
        kinds=(ACTIVATIONS,),
    )
    quant_delay: int = _declared(
        0,
        "Delay",
        "Number of training steps in float before the tensor is quantized.",
        low=0,
        high=10**9,
        unit="steps",
        kinds=KINDS,
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
        )
        if than is None:
            return [phrase for _, phrase, is_shown in known if is_shown]
        return [phrase for name, phrase, _ in known if self.text(name, kind) != than.text(name, kind)]

    @property
    def num_codes(self) -> int:
        """Number of integer codes."""
        return int(2**self.num_bits) - int(self.narrow_range)


@dataclass(frozen=True)
class RunSettings(_Settings):
    """Settings of the whole run that can change while it trains; values are checked."""

    learning_rate: float = _declared(
        1e-3,
        "Learning rate",
        "Factor by which the optimizer scales the update of the weights in each training step.",
        low=0.0,
        high=100.0,
        log=True,
    )
    momentum: float = _declared(
        0.9,
        "Momentum",
        "Fraction of the previous update that the momentum optimizer adds to the next one.",
        low=0.0,
        high=0.9999,
    )
    beta1: float = _declared(0.9, "Beta 1", "Decay of Adam's moving average of the gradients.", low=0.0, high=0.9999)
    beta2: float = _declared(
        0.999, "Beta 2", "Decay of Adam's moving average of the squared gradients.", low=0.0, high=0.999999
    )
    epsilon: float = _declared(
        1e-8,
        "Epsilon",
        "Term that prevents division by 0 in Adam; larger values damp the update of parameters with small gradients.",
        low=1e-12,
        high=1.0,
        log=True,
    )
    freeze_ranges: bool = _declared(
        False, "Freeze ranges", "Keep the representable ranges of all weights and activations unchanged."
    )
    freeze_batch_norm: bool = _declared(
        False,
        "Freeze batch norm",
        "Batch norm uses its moving statistics instead of the batch's, and does not update them, as in inference.",
    )
    evaluation_interval: int = _declared(
        200,
        "Evaluate every",
        "Training steps between two evaluations on held-out data; 0 evaluates only on request. No evaluation is "
        "left out: training waits for one that is not done before the next.",
        low=0,
        high=10**9,
        unit="steps",
    )
    snapshot_interval: float = _declared(
        0.25,
        "Histograms every",
        "Seconds between two snapshots of all histograms. They are less frequent for slow networks; an interval below "
        "the default may use more of the training time.",
        low=0.02,
        high=3600.0,
        unit="s",
        log=True,
    )
    checkpoint_interval: float = _declared(
        60.0,
        "Checkpoint every",
        "Seconds between two automatic checkpoints.",
        low=1.0,
        high=86400.0,
        unit="s",
        log=True,
    )

    def __post_init__(self) -> None:
        for name, setting in RUN_SETTINGS.items():
            object.__setattr__(self, name, setting.check(getattr(self, name), f"{RUN}.{name}"))


@dataclass(frozen=True)
class StartSettings(_Settings):
    """Settings of the whole run that are fixed at its start, except the number of steps; values are checked.

    ``steps`` may be None: no limit.
    """

    batch_size: int = _declared(
        64,
        "Batch size",
        "Number of examples in one training step; it also affects the activation ranges.",
        low=1,
        high=65536,
        unit="examples",
    )
    optimizer: str = _declared(
        OPTIMIZERS[0],
        "Optimizer",
        "Method that computes updates of the weights from gradients.",
        choices={"": OPTIMIZERS},
        labels={"adam": "Adam", "momentum": "Momentum", "sgd": "SGD"},
    )
    seed: int = _declared(
        0,
        "Seed",
        "Determines initial weights, batches and dropout: the same seed gives the same run.",
        low=0,
        high=2**32 - 1,
    )
    steps: Optional[int] = _declared(
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


QUANTIZER_SETTINGS = _settings_of(QuantizerSettings)
RUN_SETTINGS = _settings_of(RunSettings)
START_SETTINGS = _settings_of(StartSettings)


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
    """Return the value of any setting in the form that :meth:`Setting.parse` parses: ``on``, ``0.001``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
