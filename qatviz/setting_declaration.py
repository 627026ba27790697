"""Declaration of one setting of the user: type, bounds, default, unit, label and help; checks and texts of its values.

A setting is a field of a dataclass whose metadata is its declaration; those of the program are in
:mod:`qatviz.settings`.
"""

import contextlib
import math
import numbers
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from qatviz.errors import SettingError

_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
_METADATA = "setting"


def switch_text(value: bool) -> str:
    """Return the value of a setting that is on or off, as all parts of the program show it."""
    return "on" if value else "off"


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
    low_by_kind : dict of str to number
        Smallest allowed value for kinds of tensors for which it is not ``low``.
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
    choice_help : dict of str to str
        Explanations of allowed words, in one sentence each, where ``help`` does not explain them.
    pattern, form : str
        For a setting of type str without ``choices``: regular expression for the whole text, and phrase for the allowed
        texts: "HEIGHTxWIDTH, such as 64x64". With ``choices`` and a form, texts of the pattern are allowed besides.
    """

    name: str
    label: str
    type: type
    default: Any
    help: str
    low: Optional[float] = None
    high: Optional[float] = None
    low_by_kind: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    log: bool = False
    kinds: Tuple[str, ...] = ()
    choices: Optional[Mapping[str, Tuple[str, ...]]] = None
    labels: Mapping[str, str] = field(default_factory=dict)
    choice_help: Mapping[str, str] = field(default_factory=dict)
    pattern: str = "(?s).*"
    form: str = ""

    def of_kind(self, kind: str) -> "Setting":
        """Return the declaration with the bounds for tensors of ``kind``."""
        return replace(self, low=self.low_by_kind[kind]) if kind in self.low_by_kind else self

    def allowed(self, kind: str = "") -> str:
        """Return a phrase that lists the allowed values, in the form for input."""
        if self.choices is not None:
            return "one of " + ", ".join(self._words(kind)) + (f", or {self.form}" if self.form else "")
        if self.type is bool:
            return "on or off"
        if self.type is str:
            return self.form
        noun = "a whole number" if self.type is int else "a number"
        return f"{noun} from {_bound(self.low)} to {_bound(self.high)}{' ' + self.unit if self.unit else ''}"

    def allowed_labels(self, kind: str = "") -> str:
        """Return a phrase that lists the allowed values, as the window shows them."""
        if self.choices is not None:
            words = "one of " + "; ".join(self.text(word) for word in self._words(kind))
            return words + (f"; or {self.form}" if self.form else "")
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
        """Return the checked value of ``text``, from a command line or a file; raises as :meth:`check` does."""
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
            return switch_text(value)
        if isinstance(value, str):
            return self.labels.get(value, value)
        mantissa, e, exponent = f"{value:.10g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if e else mantissa

    def text_with_unit(self, value: Any) -> str:
        """Return :meth:`text` with :attr:`shown_unit`, and whole numbers with separators: ``2,000 steps``."""
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else self.text(value)
        has_unit = self.shown_unit and not isinstance(value, (bool, str))
        return f"{text} {self.shown_unit}" if has_unit else text

    def text_with_label(self, value: Any) -> str:
        """Return :meth:`text` after the label: ``Symmetric off``, ``Freezing threshold 0.02``."""
        return f"{self.label} {self.text(value)}"

    @property
    def words(self) -> Tuple[str, ...]:
        """Allowed words of a setting of the run; empty for numbers and texts."""
        return () if self.choices is None else self._words("")

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
        """Return ``value`` in the setting's type; None if it is not allowed."""
        if self.choices is not None:
            is_other = bool(self.form) and isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
            return value if is_other or (isinstance(value, str) and value in self._words(kind)) else None
        if self.type is bool:
            return bool(value) if isinstance(value, bool) or type(value).__name__ == "bool_" else None
        if self.type is str:
            return value if isinstance(value, str) and re.fullmatch(self.pattern, value) else None
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


def declared(default: Any, label: str, help: str, **rest: Any) -> Any:
    """Return a dataclass field that is a setting of the default's type."""
    setting = Setting("", label, type(default), default, help, **rest)
    return field(default=default, metadata={_METADATA: setting})


def settings_of(record: Any) -> Dict[str, Setting]:
    """Return the declarations of a dataclass' fields, by name."""
    return {f.name: replace(f.metadata[_METADATA], name=f.name) for f in fields(record)}


@dataclass(frozen=True)
class SettingsRecord:
    """Base class of records of settings, whose fields are :func:`declared`."""

    def to_dict(self) -> Dict[str, Any]:
        """Return the values by name, JSON-able."""
        return dict(asdict(self))
