"""State of each quantized tensor at the end of the run: settings, newest measures, verdict."""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.advice import Offer, estimated_offer, with_offer
from qatviz.analysis.causes import Facts, facts_of
from qatviz.analysis.verdict import JUDGED, LEVEL_NAMES, LEVEL_SYMBOLS, WARNING, Verdict, levels, verdict
from qatviz.measures import CHANGE_MEASURES, CODE_MEASURES, ERROR_MEASURES, GRID_MEASURES, MEASURES, size_bytes
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.report.run_data import RunData
from qatviz.settings import NO_MAP, QUANTIZER_SETTINGS, QuantizerSettings

#: Classes of the style sheet by the levels of verdicts.
LEVEL_STYLES = {level: name or "none" for level, name in enumerate(LEVEL_NAMES)}


class TensorRow(NamedTuple):
    """Row of a quantized tensor.

    Attributes
    ----------
    tensor : QuantizedTensor
    settings : QuantizerSettings
        Settings at the end of the run.
    measured_with : QuantizerSettings
        Settings of the newest snapshot, as far as it records them.
    is_active : bool
        Whether it is quantized: enabled, and past its delay.
    measures : dict of str to float
        Measures by the names of SNAPSHOT_MEASURES; NaN without a value.
    levels : dict of str to int
        Levels of the measures by name, as in :mod:`qatviz.analysis.verdict`.
    verdict : Verdict
    offer : Offer or None
        Change of a setting that reduces the error, as estimated from the newest histogram; None without one.
    is_measured : bool
        Whether there is a snapshot.
    """

    tensor: QuantizedTensor
    settings: QuantizerSettings
    measured_with: QuantizerSettings
    is_active: bool
    measures: Dict[str, float]
    levels: Dict[str, int]
    verdict: Verdict
    offer: Optional[Offer]
    is_measured: bool

    @property
    def advice(self) -> str:
        """Text of the verdict, and of the offer."""
        return with_offer(self.verdict.text, self.offer)

    @property
    def bits(self) -> str:
        """Text of the bit width."""
        return self.settings.text("num_bits", self.tensor.kind, self.is_active)

    @property
    def size(self) -> float:
        """Size of the codes of weights in bytes; 0 for activations, which are not stored."""
        return size_bytes(self.tensor.parameters, self.settings, self.is_active)

    @property
    def symbol(self) -> str:
        """Symbol of the verdict."""
        return LEVEL_SYMBOLS[self.verdict.level]

    def measure_text(self, key: str, with_unit: bool = True) -> str:
        """Return the text of a measure; a dash if it has no value."""
        codes = self.measured_with.num_codes if key == "used_codes" else None
        measure, value = MEASURES[key], self.measures[key]
        return measure.text(value, self.is_active, codes) if with_unit else measure.cell(value, self.is_active, codes)


def tensor_rows(run: RunData) -> List[TensorRow]:
    """Return one row per tensor, in the order of the plan."""
    tensors = run.book.plan.tensors
    settings = [run.book.of(tensor.name) for tensor in tensors]
    values = np.full((len(SNAPSHOT_MEASURES), len(tensors)), np.nan, np.float32)
    measured = settings
    facts: List[Optional[Facts]] = [None] * len(tensors)
    if run.last is not None:
        values = run.last.values
        facts = facts_of(run.last, run.book, run.before_last)
        measured = [s.with_grid_bits(bits) for s, bits in zip(settings, run.last.num_bits)]
    enabled = run.last.enabled if run.last is not None else (False,) * len(tensors)
    found = levels(values, tensors, measured, enabled, facts)
    rows = []
    for index, tensor in enumerate(tensors):
        measures = dict(zip(SNAPSHOT_MEASURES, values[:, index].tolist()))
        level = dict(zip(SNAPSHOT_MEASURES, found[:, index].tolist()))
        is_active = run.is_active(tensor.name)
        judged = verdict(
            measures, tensor, measured[index], is_active, {name: level[name] for name in JUDGED}, facts[index]
        )
        offer = None
        if run.last is not None and judged.level >= WARNING:
            offer = estimated_offer(run.last, run.book, tensor.name, measured[index])
        rows.append(
            TensorRow(
                tensor,
                settings[index],
                measured[index],
                is_active,
                measures,
                level,
                judged,
                offer,
                run.last is not None,
            )
        )
    return rows


class Column(NamedTuple):
    """Column of the table: header, explanation, and text of a cell."""

    key: str
    header: str
    about: str
    text: Callable[[TensorRow], str]
    is_number: bool = True


def _measure(key: str) -> Column:
    measure = MEASURES[key]
    return Column(key, measure.header, measure.help, lambda row: row.measure_text(key, with_unit=False))


def _setting(key: str, is_number: bool = False) -> Column:
    setting = QUANTIZER_SETTINGS[key]
    return Column(
        key, setting.label, setting.help, lambda row: row.settings.text(key, row.tensor.kind, row.is_active), is_number
    )


def _size(row: TensorRow) -> str:
    return MEASURES["size"].cell(row.size) if row.tensor.parameters else ""


#: Columns of the window's table, in the same order, after verdict and name.
COLUMNS = (
    _setting("num_bits", is_number=True),
    *map(_measure, (*ERROR_MEASURES, *CODE_MEASURES, *CHANGE_MEASURES, *GRID_MEASURES)),
    *map(_setting, ("symmetric", "narrow_range", "per_channel", "power_of_two", "range_method", "weight_map")),
    Column("size", MEASURES["size"].header, MEASURES["size"].help, _size),
)


#: Columns that are omitted if the oscillation of no weights was tracked.
_TRACKED = ("oscillating", "frozen_weights")


def shown_columns(rows: Sequence[TensorRow]) -> List[Column]:
    """Return the columns without those of methods that no tensor uses: oscillation, and maps of weights."""
    omitted = {key for key in _TRACKED if not np.isfinite([row.measures[key] for row in rows]).any()}
    if all(row.settings.effective_map == NO_MAP for row in rows):
        omitted.add("weight_map")
    return [column for column in COLUMNS if column.key not in omitted]


def sizes(rows: Sequence[TensorRow]) -> Tuple[float, float, float]:
    """Return the size of all weights in bytes, their size in float32, and mean bits per weight (NaN without any)."""
    parameters = sum(row.tensor.parameters for row in rows)
    now = sum(row.size for row in rows)
    return now, 4.0 * parameters, 8 * now / parameters if parameters else float("nan")
