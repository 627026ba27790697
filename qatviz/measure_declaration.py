"""Declaration of a displayed measure: label, help, unit, number format, axis, thresholds and colours."""

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple

from qatviz.measure_axis import MeasureAxis
from qatviz.number_format import UNKNOWN, Quantity, plain
from qatviz.settings import KINDS

#: Direction in which a measure improves.
LOWER, NEITHER, HIGHER = -1, 0, 1


@dataclass(frozen=True)
class Thresholds:
    """Limits between the levels good, warning and bad; see :mod:`qatviz.analysis.verdict`.

    Attributes
    ----------
    warning, bad : float
        A value on the worse side of one of them has that level.
    max_bits : int
        Tensors of more bits have no level.
    kinds : tuple of str
        Kinds of tensors that have a level.
    """

    warning: float
    bad: float
    max_bits: int = 16
    kinds: Tuple[str, ...] = KINDS


@dataclass(frozen=True)
class ColorRange:
    """Fixed ends of a colour scale, so that a colour always means the same value; values beyond them are clamped.

    ``is_neutral``: from dim to bright; otherwise from bad to good, in the direction of :attr:`Measure.better`.
    """

    low: float
    high: float
    is_log: bool = False
    is_neutral: bool = False


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes
    ----------
    key : str
        Name in snapshots, records, JSON and CSV.
    label : str
        Name for display.
    help : str
        Explanation in one or two sentences.
    number : callable
        Converts a finite value to a :class:`Quantity`, without :attr:`unit`.
    unit : str
        Unit of all values; empty for percentages and sizes, to which ``number`` gives a unit that cells include.
    short : str
        Short label, for narrow columns.
    better : int
        HIGHER, LOWER or NEITHER.
    axis : MeasureAxis
    thresholds : Thresholds, optional
    colors : ColorRange, optional
    at_infinity : str
        Text for positive infinity.
    is_of_float : bool
        True if the measure also applies to tensors that are not quantized.
    """

    key: str
    label: str
    help: str
    number: Callable[[float], Quantity]
    unit: str = ""
    short: str = ""
    better: int = NEITHER
    axis: MeasureAxis = MeasureAxis()
    thresholds: Optional[Thresholds] = None
    colors: Optional[ColorRange] = None
    at_infinity: str = UNKNOWN
    is_of_float: bool = False

    @property
    def name(self) -> str:
        """Label within a sentence: ``rounded to zero``, ``SQNR``."""
        return self.label[0].lower() + self.label[1:] if self.label[1].islower() else self.label

    @property
    def header(self) -> str:
        """Label with the unit, as the header of a column of :meth:`cell`: ``SQNR (dB)``."""
        return f"{self.label} ({self.unit})" if self._header_adds_unit else self.label

    @property
    def short_header(self) -> str:
        """:attr:`header` with the short label."""
        label = self.short or self.label
        return f"{label} ({self.unit})" if self._header_adds_unit else label

    @property
    def axis_title(self) -> str:
        """Label with the plotted unit: ``Flip rate (%)``."""
        return f"{self.label} ({self.axis.unit})" if self.axis.unit else self.label

    @property
    def _header_adds_unit(self) -> bool:
        return bool(self.unit) and not self.label.lower().endswith(self.unit)

    def text(
        self,
        value: Optional[float],
        is_quantized: bool = True,
        of: Optional[int] = None,
        error: Optional[float] = 0.0,
    ) -> str:
        """Return a value with its unit: ``31.4 dB``, ``exact``, ``0.12 %``; a dash if there is none.

        Parameters
        ----------
        value : float or None
            None or NaN: unknown.
        is_quantized : bool
            If False, a measure that applies only to quantized tensors is a dash.
        of : int, optional
            Total of which the value is a part: ``251/256``.
        error : float or None
            Standard error of an estimate: ``≈ 38.2 dB ± 0.3``. 0: the value is exact; None or NaN: the error is not
            known.
        """
        return self.quantity(value, is_quantized, of, error).text

    def quantity(
        self,
        value: Optional[float],
        is_quantized: bool = True,
        of: Optional[int] = None,
        error: Optional[float] = 0.0,
    ) -> Quantity:
        """Return the parts of :meth:`text`; ``exact`` and a dash have no unit."""
        found = self._cell(value, is_quantized, of)
        if not (self._is_number(value) and self.is_known(value, is_quantized)):
            return found
        found = found._replace(unit=found.unit or self.unit)
        return found if error == 0 else found.estimated(None if error is None else error * self.axis.factor)

    def cell(self, value: Optional[float], is_quantized: bool = True, of: Optional[int] = None) -> str:
        """Return :meth:`text` without the unit, for a column under :attr:`header`."""
        return self._cell(value, is_quantized, of).text

    def _cell(self, value: Optional[float], is_quantized: bool, of: Optional[int]) -> Quantity:
        if value is None or not self.is_known(value, is_quantized):
            return Quantity(UNKNOWN)
        if math.isinf(value):
            return Quantity(self.at_infinity)
        found = self.number(value)
        return found if of is None else found._replace(number=f"{found.number}/{of:,}")

    def is_known(self, value: Optional[float], is_quantized: bool = True) -> bool:
        """Return whether :meth:`cell` is the value's text, not a dash; parameters are those of :meth:`text`."""
        if value is None or not (is_quantized or self.is_of_float):
            return False
        return math.isfinite(value) or (value == math.inf and self.at_infinity != UNKNOWN)

    def plain(self, value: Optional[float]) -> str:
        """Return :meth:`cell` in ASCII, for terminals."""
        return plain(self.cell(value))

    def change(
        self,
        before: Optional[float],
        after: Optional[float],
        errors: Sequence[Optional[float]] = (0.0, 0.0),
    ) -> str:
        """Return two values with their units: ``31.4 dB → 12.0 dB``; ``errors`` are those of :meth:`text`."""
        return " → ".join(self.text(value, error=error) for value, error in zip((before, after), errors))

    def color_position(self, value: float) -> Optional[float]:
        """Return the position of a value on the colour scale, 0..1; None for NaN."""
        if math.isnan(value):
            return None
        low, high, is_log = self._color_range()
        if is_log:
            value, low, high = (math.log(max(number, 1e-30)) for number in (min(value, 1e30), low, high))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def color_value(self, position: float) -> float:
        """Return the value at a position 0..1 on the colour scale."""
        low, high, is_log = self._color_range()
        return float(low * (high / low) ** position) if is_log else low + position * (high - low)

    @property
    def color_direction(self) -> int:
        """Good end of the colour scale: HIGHER, LOWER or, on a neutral scale, NEITHER."""
        return NEITHER if self.colors is None or self.colors.is_neutral else self.better

    def _color_range(self) -> Tuple[float, float, bool]:
        if self.colors is None:
            raise ValueError(f"{self.key} has no colour scale")
        return self.colors.low, self.colors.high, self.colors.is_log

    @staticmethod
    def _is_number(value: Optional[float]) -> bool:
        return value is not None and math.isfinite(value)
