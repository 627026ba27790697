"""Texts and picture of the drift of a network: own and inherited error of each layer."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.drift import DRIFTED_DB, PARTS, TOTAL, Drift, LayerDrift, drift_start
from qatviz.measures import MEASURES
from qatviz.number_format import count
from qatviz.presentation.color_bar import value_role
from qatviz.presentation.palette import ink_on
from qatviz.presentation.rows_layout import RowsLayout
from qatviz.presentation.scene import MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects, segments

SQNR, FRACTION, COSINE = MEASURES["sqnr_db"], MEASURES["own_fraction"], MEASURES["cosine"]
#: Roles of the bars' colours, by part.
ROLES = {"own": "clipped", "inherited": "float_values"}
#: SQNR at the left and the right end of the bars, dB: longer bars are larger errors.
_LONGEST_DB, _NONE_DB = 0.0, 60.0
_PADDING, _GAP = 6.0, 2.0
#: Fraction of the width for names, at most; smallest widths of names and bars; width of a colour in the legend, px.
_NAMES, _LEAST_NAMES, _LEAST_BAR, _SWATCH = 0.3, 60.0, 90.0, 12.0
#: Columns right of the bars, with the widest text of each.
_TITLES = ("Own", "Inherited", "Total (dB)", FRACTION.label, COSINE.label)
_COLUMNS = tuple(zip(_TITLES, ("99.9", "99.9", "99.9", "99.9 %", "0.99999")))
#: Columns that are left out in a narrow picture, in this order.
_DROPPED = (4, 3, 0, 1)
_SELECTED, _START, _GRID = Stroke("accent", 2.0), Fill("bad"), Stroke("line")
#: SQNR in dB at which lines are drawn.
_TICKS_DB = (40.0, 20.0, 10.0)


def state_text(drift: Drift) -> str:
    """Return a sentence: ``Measured at step 12 on 64 held-out examples; divergence of the outputs 0.01.``."""
    return f"Measured at step {drift.step:,} on {_examples(drift)}; {_divergence(drift)}."


def drift_title(drift: Drift) -> str:
    """Return what was measured: ``drift at step 1,200 on 256 held-out examples: divergence of the outputs 0.0123``."""
    return f"drift at step {drift.step:,} on {_examples(drift)}: {_divergence(drift)}"


def _examples(drift: Drift) -> str:
    if drift.example is not None:
        return f"held-out example {drift.example:,}"
    return count(drift.examples, "held-out example")


def _divergence(drift: Drift) -> str:
    return f"divergence of the outputs {MEASURES['divergence'].text(drift.divergence)}"


def start_text(drift: Drift) -> str:
    """Return one or two sentences on the layer where the drift starts, from the measured errors."""
    found = drift_start(drift)
    first, largest, worst = found
    if worst is None:
        return "The quantized network computes the same as the network in float: no layer has an error."
    if first is None:
        return (
            f"No layer drifts below {SQNR.text(DRIFTED_DB)}: the lowest SQNR is {SQNR.text(worst.total.sqnr_db)}, at "
            f"{worst.layer}, {_origin(worst)}."
        )
    if found.is_own:
        text = (
            f"The drift starts at {first.layer}, the first layer below {SQNR.text(DRIFTED_DB)}: its SQNR is "
            f"{SQNR.text(first.total.sqnr_db)}, {_origin(first)}."
        )
        if largest is not None and largest.layer != first.layer:
            text += f" {largest.layer} has the largest error of its own, with an SQNR of {_own(largest)}."
        return text
    text = (
        f"The drift builds up over several layers: at {first.layer} the SQNR first falls below "
        f"{SQNR.text(DRIFTED_DB)}, to {SQNR.text(first.total.sqnr_db)}, {_origin(first)}."
    )
    if largest is not None:
        text += f" Up to there, {largest.layer} has the largest error of its own, with an SQNR of {_own(largest)}."
    return text


def _origin(layer: LayerDrift) -> str:
    own = layer.own_fraction
    if own >= 0.5:
        return f"with {FRACTION.text(own)} of the error its own"
    return f"with {FRACTION.text(1.0 - own)} of the error inherited"


def _own(layer: LayerDrift) -> str:
    return SQNR.text(layer.own.sqnr_db)


def layer_text(layer: LayerDrift) -> List[str]:
    """Return the lines that explain a row."""
    rows = [f"{layer.layer} ({layer.kind})"]
    about = {
        "own": "Own error, from its quantizers alone",
        "inherited": "Inherited error, from its inputs alone",
        "total": "Total error",
    }
    for part in PARTS:
        error = getattr(layer, part)
        rows.append(f"{about[part]}: SQNR {SQNR.text(error.sqnr_db)}, cosine {COSINE.text(error.cosine)}")
    return rows


class DriftTable(NamedTuple):
    """Rows as they are shown: layers in order, and the name of the one where the drift starts, empty for none."""

    drift: Drift
    rows: Tuple[LayerDrift, ...]
    start: str


#: Keys by which rows can be sorted, by column: the largest error first.
_KEYS = (
    lambda layer: -layer.own.power,
    lambda layer: -layer.inherited.power,
    lambda layer: -layer.total.power,
    lambda layer: -np.nan_to_num(layer.own_fraction),
    lambda layer: np.nan_to_num(layer.total.cosine, nan=2.0),
)


def drift_table(drift: Drift, column: Optional[int] = None) -> DriftTable:
    """Return the table, sorted by a column; None: in the order of computation."""
    found = drift_start(drift)
    rows = drift.layers if column is None else tuple(sorted(drift.layers, key=_KEYS[column]))
    return DriftTable(drift, rows, found.first.layer if found.first is not None and found.is_own else "")


class DriftLayout(RowsLayout):
    """Positions of the rows in a picture of some width.

    Parameters
    ----------
    table : DriftTable
    width : float
    metrics : Metrics
        Sizes of the texts.
    """

    def __init__(self, table: DriftTable, width: float, metrics: Metrics):
        super().__init__(len(table.rows), metrics.height + _PADDING, width, metrics)
        self._table = table
        longest = max((metrics.width(layer.layer) for layer in table.rows), default=0.0) + 3 * _PADDING
        self._left = min(longest, max(_NAMES * width, _LEAST_NAMES))
        wide = [max(metrics.width(title + " ▾"), metrics.width(widest)) + _PADDING for title, widest in _COLUMNS]
        dropped = list(_DROPPED)
        # The legend of the bars is above them: without it, their colours mean nothing.
        legend = sum(_SWATCH + metrics.width(part) for part in ROLES) + 2 * _PADDING * (len(ROLES) - 1)
        least = max(_LEAST_BAR, legend + _PADDING)
        self._shown = list(range(len(_COLUMNS)))
        while dropped and width - self._left - sum(wide[index] for index in self._shown) < least:
            self._shown.remove(dropped.pop(0))
        self._columns = [wide[index] for index in self._shown]
        self._right = max(width - sum(self._columns) - _PADDING, self._left + _LEAST_BAR / 2)

    def column_at(self, x: float) -> Optional[int]:
        edges = self._right + _PADDING + np.cumsum([0.0, *self._columns])
        place = int(np.searchsorted(edges, x, side="right")) - 1
        return self._shown[min(place, len(self._shown) - 1)] if place >= 0 else None

    def header_shapes(self, sorted_by: Optional[int]) -> List[Shape]:
        base = _PADDING / 2 + self._metrics.ascent
        shapes: List[Shape] = [Text(_PADDING, base, "Layer" + (" ▾" if sorted_by is None else ""))]
        x = self._left
        for part, role in ROLES.items():
            if x + _SWATCH + self._metrics.width(part) > self._right:
                break
            shapes += [rects(x, base - 7, x + 8, base + 1, Fill(role)), Text(x + _SWATCH, base, part)]
            x += _SWATCH + self._metrics.width(part) + 2 * _PADDING
        for index, center in zip(self._shown, self._centers()):
            title = _COLUMNS[index][0] + (" ▾" if index == sorted_by else "")
            shapes.append(Text(center, base, title, anchor=MIDDLE))
        return shapes

    def row_shapes(self, selected: Sequence[str] = (), top: float = 0.0) -> List[Shape]:
        ascent, bars = self._metrics.ascent + _PADDING / 2, self._bars(top)
        bottom = top + self.height
        ticks = [self._x(level) for level in _TICKS_DB]
        shapes: List[Shape] = [segments(np.array(ticks), top, np.array(ticks), bottom, _GRID), *bars]
        for index, layer in enumerate(self._table.rows):
            y = top + index * self.row
            name = self._metrics.elided(layer.layer, self._left - 3 * _PADDING, True)
            shapes.append(Text(2 * _PADDING, y + ascent, name, "accent" if layer.layer in selected else "text"))
            if layer.layer == self._table.start:
                shapes.append(rects(1, y + 2, 5, y + self.row - 3, _START))
            shapes += self._numbers(layer, y)
            if layer.layer in selected:
                shapes.append(rects(1.0, y, self._width - 1, y + self.row - 1, None, _SELECTED))
        return shapes

    def _bars(self, top: float) -> List[Shape]:
        shapes: List[Shape] = []
        y = top + self.row * np.arange(len(self._table.rows))
        height = (self.row - 2 * _GAP) / len(ROLES)
        for place, (part, role) in enumerate(ROLES.items()):
            levels = [getattr(layer, part).sqnr_db for layer in self._table.rows]
            ends = np.array([self._x(_NONE_DB if np.isnan(level) else level) for level in levels])
            begin = y + _GAP + place * height
            if len(ends):
                shapes.append(rects(np.full(len(ends), self._left), begin, ends, begin + height - 1, Fill(role)))
        return shapes

    def _x(self, level_db: float) -> float:
        """Return the position of an SQNR: the left end for no error, the right end for one as large as the signal."""
        share = (_NONE_DB - min(max(level_db, _LONGEST_DB), _NONE_DB)) / (_NONE_DB - _LONGEST_DB)
        return float(self._left + share * (self._right - self._left))

    def _numbers(self, layer: LayerDrift, y: float) -> List[Shape]:
        centers, base = self._centers(), y + self._metrics.ascent + _PADDING / 2
        shapes: List[Shape] = []
        texts = [SQNR.cell(getattr(layer, part).sqnr_db) for part in PARTS]
        texts += [FRACTION.cell(layer.own_fraction), COSINE.cell(layer.total.cosine)]
        role = value_role(SQNR, layer.total.sqnr_db)
        for index, center, wide in zip(self._shown, centers, self._columns):
            is_colored = bool(role) and index == PARTS.index(TOTAL)
            if is_colored:
                shapes.append(rects(center - wide / 2 + 1, y + 1, center + wide / 2 - 1, y + self.row - 1, Fill(role)))
            shapes.append(Text(center, base, texts[index], ink_on(role) if is_colored else "muted", MIDDLE))
        return shapes

    def _centers(self) -> Sequence[float]:
        edges = self._right + _PADDING + np.cumsum([0.0, *self._columns])
        centers: List[float] = ((edges[:-1] + edges[1:]) / 2).tolist()
        return centers
