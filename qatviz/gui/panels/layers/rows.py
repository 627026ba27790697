"""Cells of the table of layers: settings in effect and pending, and the newest measures."""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.causes import Facts
from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.analysis.verdict import JUDGED, LEVEL_NAMES, LEVEL_SYMBOLS, NO_LEVEL, Verdict, levels, verdict
from qatviz.gui.panels.layers.columns import CHIP, COLUMNS, MEASURES, SETTINGS, Column
from qatviz.measures import FLOAT_BITS, size_bytes
from qatviz.measures import MEASURES as CATALOGUE
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.settings import QUANTIZER_SETTINGS, QuantizerSettings

_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}
_NAN = float("nan")


class Cell(NamedTuple):
    """Content of a cell.

    Attributes
    ----------
    text, pending : str
        Text, and that under the pending settings; empty if it is the same.
    level : int
        One of the levels of :mod:`qatviz.analysis.verdict`.
    is_muted : bool
        True if the cell says that there is nothing: no value of the measure, a setting that is off, a tensor in float.
    """

    text: str
    pending: str = ""
    level: int = NO_LEVEL
    is_muted: bool = False


class Totals(NamedTuple):
    """Sums over all weights: bytes in effect, pending and in float32; mean bits per weight in effect and pending."""

    size: float
    pending_size: float
    float_size: float
    mean_bits: float
    pending_mean_bits: float


class Rows:
    """Rows of the table, one for each quantized tensor in the order of the plan."""

    def __init__(self) -> None:
        self.tensors: Tuple[QuantizedTensor, ...] = ()
        self.clear()

    def clear(self, tensors: Sequence[QuantizedTensor] = ()) -> None:
        """Reset to these tensors, without settings and measures."""
        self.tensors = tuple(tensors)
        self.settings: List[QuantizerSettings] = []
        self.wanted: List[QuantizerSettings] = []
        self.active: List[bool] = []
        self.wanted_active: List[bool] = []
        self._measured_with: List[QuantizerSettings] = []
        self._was_active: Tuple[bool, ...] = (False,) * len(self.tensors)
        self._values = np.full((len(SNAPSHOT_MEASURES), len(self.tensors)), np.nan, np.float32)
        self._levels = np.zeros(self._values.shape, np.int8)
        self._facts: List[Optional[Facts]] = [None] * len(self.tensors)
        self._chip: Optional[ChipEstimate] = None
        self._plan: Optional[QuantizationPlan] = None
        self._verdicts: Dict[int, Verdict] = {}
        self._cells: Dict[Tuple[int, str], Cell] = {}

    def set_settings(
        self, settings: Sequence[QuantizerSettings], wanted: Sequence[QuantizerSettings], step: int
    ) -> None:
        """Set the settings in effect after ``step`` training steps, and the pending ones (or the same)."""
        self.settings, self.wanted = list(settings), list(wanted)
        self.active = []
        self.set_step(step)

    def set_step(self, step: int) -> None:
        """Update which quantizers are active after ``step`` training steps."""
        active = [s.is_active(step) for s in self.settings]
        if active != self.active:
            self.active = active
            self.wanted_active = [s.is_active(step) for s in self.wanted]
            self._forget()

    def set_snapshot(
        self,
        snapshot: Optional[Snapshot],
        settings: Sequence[QuantizerSettings] = (),
        facts: Sequence[Optional[Facts]] = (),
    ) -> None:
        """Set the newest snapshot (None: no measures), the settings it was taken with, and the facts for verdicts."""
        self._facts = list(facts) or [None] * len(self.tensors)
        if snapshot is None:
            self._values = np.full_like(self._values, np.nan)
            self._levels = np.zeros_like(self._levels)
            self._measured_with, self._was_active = [], (False,) * len(self.tensors)
        else:
            self._values, self._measured_with, self._was_active = snapshot.values, list(settings), snapshot.enabled
            self._levels = levels(snapshot.values, self.tensors, settings, snapshot.enabled, self._facts)
        self._forget()

    def set_chip(self, found: Optional[ChipEstimate], plan: Optional[QuantizationPlan]) -> None:
        """Set the estimate for a chip (None: not known)."""
        if found is not self._chip:
            self._chip, self._plan = found, plan
            self._forget()

    # Queries of the table

    def cell(self, row: int, column: Column) -> Cell:
        """Return the contents of a cell, computed on demand and cached until something changes."""
        key = (row, column.key)
        if key not in self._cells:
            self._cells[key] = self._make_cell(row, column.key)
        return self._cells[key]

    def measure(self, row: int, name: str) -> float:
        """Return a measure of the newest snapshot; NaN if there is none."""
        return float(self._values[_ROW[name], row])

    def verdict(self, row: int) -> Verdict:
        """Return the verdict on a tensor, computed on demand and cached until something changes."""
        if row not in self._verdicts:
            measures = dict(zip(SNAPSHOT_MEASURES, self._values[:, row].tolist()))
            level = {name: int(self._levels[_ROW[name], row]) for name in JUDGED}
            self._verdicts[row] = verdict(
                measures, self.tensors[row], self._as_measured(row), self.active[row], level, self._facts[row]
            )
        return self._verdicts[row]

    def value(self, row: int, column: Column) -> Any:
        """Return the value of a cell: a number, a truth value or a word."""
        key, tensor, settings = column.key, self.tensors[row], self.settings[row]
        if key in MEASURES:
            return self.measure(row, key)
        if key in CHIP:
            return self._chip_measure(row, key)
        if key == "num_bits":
            return settings.num_bits if self.active[row] else FLOAT_BITS
        if key in SETTINGS and tensor.kind not in QUANTIZER_SETTINGS[key].kinds:
            return ""
        if key == "weight_map":
            return settings.effective_map
        if key in SETTINGS:
            return getattr(settings, key)
        if key == "verdict":
            return LEVEL_NAMES[self.verdict(row).level]
        if key == "size":
            return size_bytes(tensor.parameters, settings, self.active[row])
        return {
            "name": tensor.name,
            "kind": tensor.kind,
            "op": tensor.shown_kind,
            "float_size": size_bytes(tensor.parameters, settings, False),
            "trend": self.measure(row, "sqnr_db"),
        }[key]

    def sort_value(self, row: int, column: Column) -> Any:
        """Return the sort key of a cell: a number (unknown ones come first), or text with its numbers padded."""
        if column.key == "verdict":
            return float(self.verdict(row).level)
        value = self.value(row, column)
        if value == "" and column.key in SETTINGS and QUANTIZER_SETTINGS[column.key].type is not str:
            return -np.inf  # no setting of this kind of tensor
        if isinstance(value, str):
            return re.sub(r"\d+", lambda digits: digits.group().zfill(6), value)
        return -np.inf if value != value else float(value)

    def tooltip(self, row: int, column: Column) -> str:
        """Return rich text: the verdict, the column's help, the pending value, and tensors with the same grid."""
        cell, tensor = self.cell(row, column), self.tensors[row]
        lines = [f"<b>{tensor.name}</b>", self.verdict(row).text]
        if column.key not in ("verdict", "name"):
            lines.append(f"<b>{column.title}:</b> {column.help}")
        if cell.pending:
            lines.append(f"In effect: {cell.text or 'none'}; pending: {cell.pending}.")
        same_grid = [t.name for t in self.tensors if t.group == tensor.group and t is not tensor]
        if same_grid:
            lines.append(f"Shares scale and zero point with {', '.join(same_grid)}: their settings change together.")
        return "<br>".join(lines)

    def totals(self) -> Totals:
        """Return the sums over all weights."""
        parameters = float(sum(t.parameters for t in self.tensors)) or _NAN
        counts = [t.parameters for t in self.tensors]
        now = sum(map(size_bytes, counts, self.settings, self.active))
        then = sum(map(size_bytes, counts, self.wanted, self.wanted_active))
        return Totals(now, then, 4 * parameters, 8 * now / parameters, 8 * then / parameters)

    def table(self, rows: Sequence[int]) -> Dict[str, List[Any]]:
        """Return the columns of ``rows`` as values, by the keys of settings and measures."""
        return {c.key: [self.value(row, c) for row in rows] for c in COLUMNS if c.key != "trend"}

    # Implementation

    def _forget(self) -> None:
        self._verdicts.clear()
        self._cells.clear()

    def _make_cell(self, row: int, key: str) -> Cell:
        tensor, active = self.tensors[row], self.active[row]
        if key in MEASURES:
            codes = self._as_measured(row).num_codes if key == "used_codes" else None
            value, was_active = self.measure(row, key), self._was_active[row]
            text = CATALOGUE[key].cell(value, was_active, codes)
            return Cell(text, "", int(self._levels[_ROW[key], row]), not CATALOGUE[key].is_known(value, was_active))
        if key in CHIP:
            value = self._chip_measure(row, key)
            return Cell(CATALOGUE[key].cell(value) if value == value else "")
        if key == "verdict":
            level = self.verdict(row).level
            return Cell(LEVEL_SYMBOLS[level], "", level)
        if key in SETTINGS or key in ("size", "float_size"):
            now = _setting_text(tensor, self.settings[row], active, key)
            then = _setting_text(tensor, self.wanted[row], self.wanted_active[row], key)
            return Cell(now, then if then != now else "", is_muted=_is_off(self.settings[row], active, key))
        return Cell({"name": tensor.name, "kind": tensor.kind, "op": tensor.shown_kind, "trend": ""}[key])

    def _chip_measure(self, row: int, key: str) -> float:
        if self._chip is None or self._plan is None:
            return _NAN
        return self._chip.measure(self.tensors[row], self._plan, key)

    def _as_measured(self, row: int) -> QuantizerSettings:
        """Return the settings with which the snapshot was taken: newer ones have no measures yet."""
        return self._measured_with[row] if self._measured_with else self.settings[row]


def _is_off(settings: QuantizerSettings, active: bool, key: str) -> bool:
    """Return whether a setting is off, or is the bit width of a tensor that is in float."""
    return not active if key == "num_bits" else getattr(settings, key, None) is False


def _setting_text(tensor: QuantizedTensor, settings: QuantizerSettings, active: bool, key: str) -> str:
    """Return a setting, or the size that follows from it; only weights are stored and have a size."""
    if key in SETTINGS:
        return settings.text(key, tensor.kind, active)
    size = size_bytes(tensor.parameters, settings, active and key == "size")
    return CATALOGUE[key].cell(size) if tensor.parameters else ""
