"""Every setting a user can see, declared once: type, bounds, default, unit and the sentence that explains it.

The command line, the window and the trainer all take names, limits and help from here, and all values pass through
:meth:`Setting.check`. Settings of a quantizer are kept in a frozen :class:`QuantizerSettings`, one for each quantized
tensor; settings of the whole run in a frozen :class:`RunSettings`.
"""

import contextlib
import math
import numbers
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Optional, Tuple

from qatviz.errors import SettingError

WEIGHTS, ACTIVATIONS = "weights", "activations"
KINDS = (WEIGHTS, ACTIVATIONS)
#: Prefix of the paths of run settings: ``run.learning_rate``.
RUN = "run"

_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


@dataclass(frozen=True)
class Setting:
    """One user-visible setting.

    Attributes
    ----------
    name, label : str
        Name in code and on the command line; label in the window.
    type : type
        bool, int, float or str.
    default
        Value where nothing else is said.
    help : str
        One sentence that explains the term.
    low, high : number, optional
        Smallest and largest value allowed, inclusive.
    unit : str
        Unit of the value, empty where it has none.
    log : bool
        A control for it should have a logarithmic scale.
    kinds : tuple of str
        The kinds of tensor it applies to; empty for settings of the run.
    choices : dict of str to tuple of str
        Allowed words for each kind of tensor.
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
    choices: Optional[Dict[str, Tuple[str, ...]]] = None

    def allowed(self, kind: str = "") -> str:
        """What values there are, in words."""
        if self.choices:
            words = self.choices[kind] if kind else sorted({word for known in self.choices.values() for word in known})
            return "one of " + ", ".join(words)
        if self.type is bool:
            return "on or off"
        noun = "a whole number" if self.type is int else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}{' ' + self.unit if self.unit else ''}"

    def check(self, value: Any, path: str = "", kind: str = "") -> Any:
        """``value`` in the setting's type.

        Raises
        ------
        SettingError
            If it is not allowed; the message names the setting (or ``path``), the value and what is allowed.
        """
        checked = self._coerce(value, kind)
        if checked is None:
            raise SettingError(f"{path or self.name} is {value!r}: expected {self.allowed(kind)}")
        return checked

    def parse(self, text: str, path: str = "", kind: str = "") -> Any:
        """The value that ``text`` (of a command line or a file) stands for, checked."""
        word = text.strip()
        value: Any = word
        if self.type is bool:
            value = True if word.lower() in _TRUE else False if word.lower() in _FALSE else word
        elif self.type in (int, float):
            with contextlib.suppress(ValueError):
                value = self.type(word)
        return self.check(value, path, kind)

    def _coerce(self, value, kind):
        if self.choices:
            words = self.choices[kind] if kind else [word for choice in self.choices.values() for word in choice]
            return value if value in words else None
        if self.type is bool:
            return bool(value) if isinstance(value, bool) or type(value).__name__ == "bool_" else None
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            return None
        if self.type is int and value != int(value):
            return None
        return self.type(value) if self.low <= value <= self.high else None


_BOTH = KINDS
MIN_MAX, PERCENTILE, MSE, MOVING_AVERAGE, FROZEN = "min_max", "percentile", "mse", "moving_average", "frozen"

QUANTIZER_SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "enabled",
            "Quantize",
            bool,
            True,
            kinds=_BOTH,
            help="Whether this tensor is quantized at all; off, it passes in float.",
        ),
        Setting(
            "num_bits",
            "Bits",
            int,
            8,
            low=2,
            high=16,
            unit="bits",
            kinds=_BOTH,
            help="Width of the integer codes: n bits give 2^n representable values.",
        ),
        Setting(
            "symmetric",
            "Symmetric",
            bool,
            False,
            kinds=_BOTH,
            help="The grid is centred on 0, so the zero point is 0; runtimes are faster, one-sided data wastes "
            "half the codes.",
        ),
        Setting(
            "narrow_range",
            "Narrow range",
            bool,
            False,
            kinds=_BOTH,
            help="The lowest code is left out (8 bits: -127 to 127), so that a symmetric grid is truly symmetric.",
        ),
        Setting(
            "per_channel",
            "Per channel",
            bool,
            False,
            kinds=(WEIGHTS,),
            help="Every output channel has a scale of its own instead of one for the whole tensor.",
        ),
        Setting(
            "power_of_two",
            "Power-of-two scale",
            bool,
            False,
            kinds=_BOTH,
            help="The scale is raised to a power of two, so that hardware can rescale by shifting.",
        ),
        Setting(
            "range_method",
            "Range",
            str,
            MIN_MAX,
            kinds=_BOTH,
            choices={WEIGHTS: (MIN_MAX, PERCENTILE, MSE, FROZEN), ACTIVATIONS: (MOVING_AVERAGE, FROZEN)},
            help="How the quantized range follows the tensor: its minimum and maximum, a percentile of it, the "
            "range of least mean squared error, a moving average over batches, or not at all (frozen).",
        ),
        Setting(
            "percentile",
            "Percentile",
            float,
            99.9,
            low=50.0,
            high=100.0,
            unit="%",
            kinds=(WEIGHTS,),
            help="With the percentile range: the share of the values that is not clipped; the rest is cut evenly "
            "at both ends.",
        ),
        Setting(
            "ema_decay",
            "Average decay",
            float,
            0.999,
            low=0.0,
            high=0.999999,
            kinds=(ACTIVATIONS,),
            help="How slowly the moving average forgets: 0.999 remembers about the last 1,000 batches.",
        ),
        Setting(
            "quant_delay",
            "Delay",
            int,
            0,
            low=0,
            high=10**9,
            unit="steps",
            kinds=_BOTH,
            help="The tensor stays in float until this many steps are done, so that training settles first.",
        ),
    )
}

RUN_SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            "learning_rate",
            "Learning rate",
            float,
            1e-3,
            low=0.0,
            high=100.0,
            log=True,
            help="How far the optimizer moves the weights in one step.",
        ),
        Setting(
            "momentum",
            "Momentum",
            float,
            0.9,
            low=0.0,
            high=0.9999,
            help="Share of the last update that the momentum optimizer carries on.",
        ),
        Setting(
            "beta1",
            "Beta 1",
            float,
            0.9,
            low=0.0,
            high=0.9999,
            help="How slowly Adam's average of the gradients forgets.",
        ),
        Setting(
            "beta2",
            "Beta 2",
            float,
            0.999,
            low=0.0,
            high=0.999999,
            help="How slowly Adam's average of the squared gradients forgets.",
        ),
        Setting(
            "epsilon",
            "Epsilon",
            float,
            1e-8,
            low=1e-12,
            high=1.0,
            log=True,
            help="Keeps Adam from dividing by 0; larger values damp the update of parameters with small gradients.",
        ),
        Setting(
            "freeze_ranges",
            "Freeze ranges",
            bool,
            False,
            help="All quantized ranges stay as they are, weights and activations alike.",
        ),
        Setting(
            "freeze_batch_norm",
            "Freeze batch norm",
            bool,
            False,
            help="Batch norm uses its moving statistics instead of the batch's and stops updating them, as in "
            "inference.",
        ),
        Setting(
            "evaluation_interval",
            "Evaluate every",
            int,
            200,
            low=0,
            high=10**9,
            unit="steps",
            help="Steps between two evaluations on held-out data; 0 evaluates only on request.",
        ),
        Setting(
            "snapshot_interval",
            "Histograms every",
            float,
            0.25,
            low=0.02,
            high=3600.0,
            unit="s",
            log=True,
            help="Seconds between two snapshots of all histograms. A slow network takes them less often; shorter "
            "than by default, they may take more of the time.",
        ),
        Setting(
            "checkpoint_interval",
            "Checkpoint every",
            float,
            60.0,
            low=1.0,
            high=86400.0,
            unit="s",
            log=True,
            help="Seconds between two automatic checkpoints.",
        ),
    )
}


class _Settings:
    """What both kinds of settings records share."""

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class QuantizerSettings(_Settings):
    """Settings of one quantizer; fields that do not apply to its kind of tensor keep their defaults.

    Make one with :func:`quantizer_settings`, which fills in the defaults of the kind and checks.
    """

    enabled: bool = True
    num_bits: int = 8
    symmetric: bool = False
    narrow_range: bool = False
    per_channel: bool = False
    power_of_two: bool = False
    range_method: str = MIN_MAX
    percentile: float = 99.9
    ema_decay: float = 0.999
    quant_delay: int = 0


@dataclass(frozen=True)
class RunSettings(_Settings):
    """Settings of the whole run that can change while it goes on; values are checked."""

    learning_rate: float = 1e-3
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    freeze_ranges: bool = False
    freeze_batch_norm: bool = False
    evaluation_interval: int = 200
    snapshot_interval: float = 0.25
    checkpoint_interval: float = 60.0

    def __post_init__(self):
        for field in fields(self):
            checked = RUN_SETTINGS[field.name].check(getattr(self, field.name), "run." + field.name)
            object.__setattr__(self, field.name, checked)


def quantizer_setting(name: str, kind: str, path: str = "") -> Setting:
    """The declaration of the setting ``name`` for tensors of ``kind``; :class:`SettingError` if there is none."""
    setting = QUANTIZER_SETTINGS.get(name)
    if setting is None or kind not in setting.kinds:
        known = ", ".join(s.name for s in QUANTIZER_SETTINGS.values() if kind in s.kinds)
        raise SettingError(f"{path or name}: there is no setting {name!r} for {kind}; there are {known}")
    return setting


def run_setting(name: str) -> Setting:
    """The declaration of the run setting ``name``; :class:`SettingError` if there is none."""
    if name not in RUN_SETTINGS:
        raise SettingError(f"run.{name}: there is no such setting of the run; there are {', '.join(RUN_SETTINGS)}")
    return RUN_SETTINGS[name]


def quantizer_settings(kind: str, where: str = "", **values: Any) -> QuantizerSettings:
    """Checked settings for a tensor of ``kind``; ``where`` is the tensor's name for error messages.

    Raises
    ------
    SettingError
        For an unknown setting, one that does not apply to the kind, or a value that is not allowed.
    """
    prefix = where + "." if where else ""
    checked = {"range_method": MIN_MAX if kind == WEIGHTS else MOVING_AVERAGE}
    for name, value in values.items():
        checked[name] = quantizer_setting(name, kind, prefix + name).check(value, prefix + name, kind)
    return QuantizerSettings(**checked)


def applicable(settings: QuantizerSettings, kind: str) -> Dict[str, Any]:
    """The settings that apply to tensors of ``kind``, by name."""
    return {name: getattr(settings, name) for name, s in QUANTIZER_SETTINGS.items() if kind in s.kinds}


def setting_text(value: Any) -> str:
    """The value of any setting as it is shown, and as :meth:`Setting.parse` reads it: ``on``, ``0.001``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
