"""Scene of the sensitivity of a network: a row for each tensor, a column for each number of bits."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.sensitivity import Measured, MeasuredSensitivity, Sensitivity
from qatviz.measures import MEASURES
from qatviz.metric import METRICS
from qatviz.presentation.color_bar import value_role
from qatviz.presentation.palette import ink_on
from qatviz.presentation.rows_layout import RowsLayout
from qatviz.presentation.scene import MIDDLE, Fill, Metrics, Rects, Shape, Stroke, Text, rects

#: Measure of the cells, which has their number format and colours.
DIVERGENCE = MEASURES["divergence"]
#: Titles of the columns behind those of the numbers of bits.
NOW, ALONE, WITHOUT = "Now", "Alone", "All but it"
#: Largest part of the width for the names of tensors, and smallest width of a column, px.
_NAMES, _LEAST_COLUMN = 0.4, 34.0
_PADDING, _GAP = 4.0, 1.0
_PRESENT, _SELECTED = Stroke("text", 2.0), Stroke("accent", 2.0)


class Cell(NamedTuple):
    """Cell of the picture: indices of its row and of its column; column -1 is that of the names."""

    row: int
    column: int


class SensitivityTable(NamedTuple):
    """Rows and columns of the picture.

    Attributes
    ----------
    names : tuple of str
        Tensors, in the order of the rows.
    titles : tuple of str
        Titles of the columns.
    widths : tuple of int
        Numbers of bits of the first columns.
    values : np.ndarray
        float64 ``[rows, columns]``: divergences, NaN where unknown.
    bits : tuple
        Number of bits in effect by row; None for a tensor that is in float.
    step, examples : int
        As in :class:`qatviz.analysis.sensitivity.Sensitivity`.
    """

    names: Tuple[str, ...]
    titles: Tuple[str, ...]
    widths: Tuple[int, ...]
    values: np.ndarray
    bits: Tuple[Optional[int], ...]
    step: int
    examples: int


def sensitivity_table(
    found: Sensitivity,
    measured: Optional[MeasuredSensitivity],
    bits: Dict[str, Optional[int]],
    column: Optional[int] = None,
) -> SensitivityTable:
    """Return the table of an estimate, with the columns of a measurement if there is one.

    Parameters
    ----------
    bits : dict of str to int or None
        Numbers of bits in effect; None for a tensor in float.
    column : int, optional
        Column by which the rows are sorted, the largest value first; None: in the order of the network.
    """
    values = np.concatenate([found.scores, found.present[:, np.newaxis]], axis=1)
    titles = [*(f"{width} bits" for width in found.widths), NOW]
    if measured is not None:
        known = {name: index for index, name in enumerate(measured.tensors)}
        places = [known.get(name) for name in found.tensors]
        for title, results in ((ALONE, measured.alone), (WITHOUT, measured.without)):
            column_values = [np.nan if place is None else results[place].divergence for place in places]
            values = np.concatenate([values, np.array(column_values)[:, np.newaxis]], axis=1)
            titles.append(title)
    order = np.arange(len(found.tensors))
    if column is not None and column < len(titles):
        key = np.where(np.isnan(values[:, column]), -np.inf, values[:, column])
        order = np.argsort(-key, kind="stable")
    names = tuple(found.tensors[index] for index in order)
    return SensitivityTable(
        names,
        tuple(titles),
        found.widths,
        values[order],
        tuple(bits[name] for name in names),
        found.step,
        found.examples,
    )


def table_values(table: SensitivityTable) -> Dict[str, Any]:
    """Return the values by column, for files."""
    return {"tensor": list(table.names), **dict(zip(table.titles, table.values.T))}


class SensitivityLayout(RowsLayout):
    """Layout of the table in a picture of some width; the cells of the bits in effect are framed.

    Parameters
    ----------
    table : SensitivityTable
    width : float
    metrics : Metrics
        Sizes of the texts.

    Attributes
    ----------
    left, column : float
        Left edge of the first column, and width of each, px.
    columns : int
        Number of columns.
    """

    def __init__(self, table: SensitivityTable, width: float, metrics: Metrics):
        super().__init__(len(table.names), metrics.height + _PADDING, width, metrics)
        self._table, self.columns = table, len(table.titles)
        longest = max((metrics.width(name) for name in table.names), default=0.0) + 2 * _PADDING
        room = width - _LEAST_COLUMN * len(table.titles)
        self.left = max(min(longest, max(_NAMES * width, room)), _LEAST_COLUMN)
        self.column = max((width - self.left) / len(table.titles), _LEAST_COLUMN)

    def column_at(self, x: float) -> Optional[int]:
        return min(int((x - self.left) // self.column), len(self._table.titles) - 1) if x >= self.left else None

    def cell_at(self, x: float, y: float) -> Optional[Cell]:
        """Return the cell at a point below the header; None below the last row."""
        row, column = self.row_at(y), self.column_at(x)
        return None if row is None else Cell(row, -1 if column is None else column)

    def header_shapes(self, sorted_by: Optional[int]) -> List[Shape]:
        base = _PADDING / 2 + self._metrics.ascent
        shapes: List[Shape] = [Text(_PADDING, base, "Tensor" + (" ▾" if sorted_by is None else ""))]
        for index, title in enumerate(self._table.titles):
            text = self._metrics.elided(title + (" ▾" if index == sorted_by else ""), self.column - _GAP)
            shapes.append(Text(self.left + (index + 0.5) * self.column, base, text, anchor=MIDDLE))
        return shapes

    def row_shapes(self, selected: Sequence[str] = (), top: float = 0.0) -> List[Shape]:
        table, ascent = self._table, self._metrics.ascent + _PADDING / 2
        cells: Dict[str, List[Tuple[float, float]]] = {}
        shapes: List[Shape] = []
        for row, name in enumerate(table.names):
            y = top + row * self.row
            is_selected = name in selected
            shown = self._metrics.elided(name, self.left - 2 * _PADDING, True)
            shapes.append(Text(_PADDING, y + ascent, shown, "accent" if is_selected else "text"))
            for column, value in enumerate(table.values[row]):
                role = value_role(DIVERGENCE, float(value))
                x = self.left + column * self.column
                if role:
                    cells.setdefault(role, []).append((x, y))
                text = self._metrics.elided(DIVERGENCE.cell(float(value)), self.column - _GAP - 2)
                ink = ink_on(role) if role else "muted"
                shapes.append(Text(x + (self.column - _GAP) / 2, y + ascent, text, ink, MIDDLE))
        fills = [self._rects(places, Fill(role)) for role, places in sorted(cells.items())]
        marks = [(self._at(row, top), _SELECTED) for row, name in enumerate(table.names) if name in selected]
        frames: List[Shape] = [
            rects(1.0, y, self.left + self.column * len(table.titles) - 1, y + self.row - _GAP, None, stroke)
            for y, stroke in marks
        ]
        present = [
            (self.left + table.widths.index(bits) * self.column, self._at(row, top))
            for row, bits in enumerate(table.bits)
            if bits in table.widths
        ]
        if present:
            frames.append(self._rects(present, None, _PRESENT))
        return [*fills, *shapes, *frames]

    def _at(self, row: int, top: float) -> float:
        return top + row * self.row

    def _rects(
        self, places: Sequence[Tuple[float, float]], fill: Optional[Fill], stroke: Optional[Stroke] = None
    ) -> Rects:
        x, y = np.array(places).T
        return rects(x, y, x + self.column - _GAP, y + self.row - _GAP, fill, stroke)


def cell_text(table: SensitivityTable, cell: Cell, measured: Optional[MeasuredSensitivity]) -> List[str]:
    """Return the lines that explain a cell."""
    name = table.names[cell.row]
    bits = table.bits[cell.row]
    lines = [f"{name}, now {'in float' if bits is None else f'{bits} bits'}"]
    if cell.column < 0:
        return lines
    title, value = table.titles[cell.column], DIVERGENCE.text(float(table.values[cell.row, cell.column]))
    if title in (ALONE, WITHOUT):
        return [*lines, *_measured_lines(name, measured)]
    settings = "Its present settings" if title == NOW else title
    return [*lines, f"{settings}, all others in float: divergence of the outputs {value} (estimate)"]


def _measured_lines(name: str, measured: Optional[MeasuredSensitivity]) -> List[str]:
    if measured is None or name not in measured.tensors:
        return ["Not measured: it is in float, or on the grid of another tensor"]
    place, metric = measured.tensors.index(name), METRICS[measured.metric]

    def words(what: str, found: Measured) -> str:
        loss = MEASURES["loss"].text(found.loss)
        return f"{what}: loss {loss}, divergence {DIVERGENCE.text(found.divergence)}, {metric.text(found.score)}"

    return [
        f"Measured at step {measured.step:,} on {measured.examples:,} held-out examples, {metric.title}:",
        words("Only this quantized", measured.alone[place]),
        words("All but this", measured.without[place]),
        words("All", measured.quantized),
        words("None", measured.in_float),
    ]
