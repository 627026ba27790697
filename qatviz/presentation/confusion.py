"""Scene of a confusion matrix: a row for each class, a column for each predicted class."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.predictions import Confusion, most_changed
from qatviz.number_format import count, si
from qatviz.presentation.palette import ink_on, scale_role
from qatviz.presentation.scene import END, MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects

#: Largest number of classes that are drawn; of more, those that change most.
MOST_CLASSES = 24
#: Which matrix is drawn: in float, quantized, or the second minus the first.
IN_FLOAT, QUANTIZED, DIFFERENCE = "Float", "Quantized", "Difference"
KINDS = (IN_FLOAT, QUANTIZED, DIFFERENCE)
_GAP, _PADDING = 1.0, 4.0
#: Heading of the columns.
_HEADING = "predicted"
#: Largest part of the width for the names, and the smallest cell with a text, px.
_NAMES, _LEAST_TEXT = 0.3, 14.0
#: Part of a line's height that digits and capitals need.
_NAME_PART = 0.7
#: Largest ratio of a cell's width to its height.
_WIDEST = 3.0
_SELECTED = Stroke("accent", 2.0)


class MatrixCell(NamedTuple):
    """Cell by the indices of its class and of the predicted class."""

    row: int
    column: int


class ConfusionTable(NamedTuple):
    """Rows and columns of the picture.

    Attributes
    ----------
    names : tuple of str
        Names of the drawn classes.
    classes : np.ndarray
        Their indices, int64 ``[k]``.
    values : np.ndarray
        int64 ``[k, k]``: numbers of examples or pixels, or differences of them.
    totals : np.ndarray
        int64 ``[k]``: numbers of all examples or pixels of the classes.
    kind : str
        One of :data:`KINDS`.
    omitted : int
        Number of classes that are not drawn.
    """

    names: Tuple[str, ...]
    classes: np.ndarray
    values: np.ndarray
    totals: np.ndarray
    kind: str
    omitted: int


def confusion_table(confusion: Confusion, names: Sequence[str], kind: str) -> ConfusionTable:
    """Return the picture's rows and columns for a matrix of one of :data:`KINDS`."""
    whole = {IN_FLOAT: confusion.in_float, QUANTIZED: confusion.quantized, DIFFERENCE: confusion.difference}[kind]
    classes = np.arange(len(names)) if len(names) <= MOST_CLASSES else most_changed(confusion, MOST_CLASSES)
    shown = tuple(names[index] for index in classes)
    totals = confusion.in_float.sum(axis=1)[classes]
    return ConfusionTable(shown, classes, whole[np.ix_(classes, classes)], totals, kind, len(names) - len(shown))


def cell_role(table: ConfusionTable, row: int, column: int) -> str:
    """Return the role of a cell's colour; empty for 0.

    Numbers have the sequential scale, as a fraction of the class; differences are good where they make more predictions
    right or fewer wrong, on a scale to the largest one.
    """
    value = int(table.values[row, column])
    if not value:
        return ""
    if table.kind != DIFFERENCE:
        return scale_role(value / max(int(table.totals[row]), 1), False)
    sign = 1 if row == column else -1
    return scale_role(0.5 + 0.5 * sign * value / int(np.abs(table.values).max()), True)


class ConfusionLayout:
    """Positions of the cells in a picture.

    Parameters
    ----------
    table : ConfusionTable
    size : (float, float)
        Width and height, px.
    metrics : Metrics
        Sizes of the texts.
    """

    def __init__(self, table: ConfusionTable, size: Tuple[float, float], metrics: Metrics):
        self._table, self._metrics = table, metrics
        width, height = size
        number = len(table.names)
        longest = max((metrics.width(name) for name in table.names), default=0.0) + 2 * _PADDING
        self.left = min(longest, _NAMES * width) + metrics.height
        self._place(width - self.left - _PADDING, height, metrics.height + _PADDING)
        # Beside the names of the columns, the heading takes no height from the cells.
        beside = self.left + number * self.cell_width + 2 * _PADDING
        self._heading_x = beside
        if beside + metrics.width(_HEADING) > width:
            self._place(width - self.left - _PADDING, height, 2 * metrics.height + _PADDING)
            self._heading_x = self.left

    def _place(self, width: float, height: float, top: float) -> None:
        """Set the upper edge of the cells and their size, which is at most ``width`` times ``height - top`` in all."""
        number = max(len(self._table.names), 1)
        self.top = top
        self.cell_height = max((height - top - _PADDING) / number, 2.0)
        self.cell_width = min(max(width / number, 2.0), _WIDEST * self.cell_height)
        self.cell_height = min(self.cell_height, self.cell_width)

    @property
    def bottom(self) -> float:
        """Lower edge of the matrix."""
        return self.top + self.cell_height * len(self._table.names)

    def cell_at(self, x: float, y: float) -> Optional[MatrixCell]:
        """Return the cell at a point, by the indices of the classes; None outside."""
        row, column = int((y - self.top) // self.cell_height), int((x - self.left) // self.cell_width)
        number = len(self._table.names)
        if not (0 <= row < number and 0 <= column < number):
            return None
        return MatrixCell(int(self._table.classes[row]), int(self._table.classes[column]))

    def center(self, cell: MatrixCell) -> Tuple[float, float]:
        """Return the middle of a drawn cell."""
        row, column = (int(np.flatnonzero(self._table.classes == index)[0]) for index in cell)
        return self.left + (column + 0.5) * self.cell_width, self.top + (row + 0.5) * self.cell_height

    def shapes(self, selected: Optional[MatrixCell] = None) -> List[Shape]:
        """Return names, cells and numbers; the selected cell is framed."""
        table, metrics = self._table, self._metrics
        half = metrics.ascent - metrics.height / 2
        shapes: List[Shape] = [Text(self._heading_x, metrics.ascent, _HEADING, "muted")]
        places: Dict[str, List[Tuple[float, float]]] = {}
        texts: List[Shape] = []
        named_below = self.top  # rows that are lower than a line of text are named where there is room
        for row, name in enumerate(table.names):
            y, x = self.top + row * self.cell_height, self.left + row * self.cell_width
            if y + self.cell_height / 2 - _NAME_PART * metrics.height / 2 >= named_below - 1:
                named_below = y + self.cell_height / 2 + _NAME_PART * metrics.height / 2
                shown = metrics.elided(name, self.left - _PADDING)
                texts.append(Text(self.left - _PADDING, y + self.cell_height / 2 + half, shown, "text", END))
            shown = metrics.elided(name, self.cell_width - 1)
            if self.cell_width >= _LEAST_TEXT:
                at = self.top - _PADDING - metrics.height + metrics.ascent
                texts.append(Text(x + self.cell_width / 2, at, shown, "text", MIDDLE))
            for column in range(len(table.names)):
                role = cell_role(table, row, column)
                left = self.left + column * self.cell_width
                places.setdefault(role or "raised", []).append((left, y))
                if role:
                    texts += self._number(int(table.values[row, column]), left, y + half, role)
        shapes += [self._rects(found, Fill(role)) for role, found in sorted(places.items())]
        if selected is not None and all((table.classes == index).any() for index in selected):
            x, y = self.center(selected)
            corner = [(x - self.cell_width / 2, y - self.cell_height / 2)]
            texts.append(self._rects(corner, None, _SELECTED))
        return shapes + texts

    def _number(self, value: int, left: float, base: float, role: str) -> List[Shape]:
        """Return the text of a cell if there is room for it."""
        metrics = self._metrics
        sign = "+" if value > 0 and self._table.kind == DIFFERENCE else ""
        text = sign + si(value).replace("-", "−")
        if self.cell_height < _NAME_PART * metrics.height or metrics.width(text) > self.cell_width - 2:
            return []
        return [Text(left + self.cell_width / 2, base + self.cell_height / 2, text, ink_on(role), MIDDLE)]

    def _rects(
        self, places: Sequence[Tuple[float, float]], fill: Optional[Fill], stroke: Optional[Stroke] = None
    ) -> Shape:
        x, y = np.array(places).T
        return rects(x, y, x + self.cell_width - _GAP, y + self.cell_height - _GAP, fill, stroke)


def cell_lines(confusion: Confusion, names: Sequence[str], cell: MatrixCell, noun: str) -> List[str]:
    """Return the lines that explain a cell; ``noun`` is what is counted: "example" or "pixel"."""
    before, after = (int(matrix[cell.row, cell.column]) for matrix in confusion)
    what = "predicted correctly" if cell.row == cell.column else f"predicted as {names[cell.column]}"
    change = f"{after - before:+,}".replace("-", "−") if after != before else "no change"
    return [
        f"{names[cell.row]}, {what}",
        f"float: {count(before, noun)}; quantized: {count(after, noun)} ({change})",
    ]


def omitted_text(table: ConfusionTable) -> str:
    """Return a note on classes that are not drawn; empty if all are."""
    if not table.omitted:
        return ""
    return f"The {len(table.names)} classes that change most; {table.omitted:,} others are not drawn."
