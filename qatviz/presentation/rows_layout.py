"""Positions in a picture of a table whose rows have the same height."""

from abc import ABC, abstractmethod
from typing import List, Optional, Sequence

from qatviz.presentation.scene import Metrics, Shape

#: Space above and below the text of a header, together, px.
PADDING = 6.0


class RowsLayout(ABC):
    """Positions of the rows in a picture of some width.

    Attributes
    ----------
    row, head : float
        Height of a row, and of the header.
    """

    def __init__(self, number: int, row: float, width: float, metrics: Metrics):
        self._number, self.row, self._width, self._metrics = number, row, width, metrics
        self.head = metrics.height + PADDING

    @property
    def height(self) -> float:
        """Height of all rows, without the header."""
        return self.row * self._number

    def row_at(self, y: float) -> Optional[int]:
        """Return the row at ``y`` below the header; None below the last one."""
        row = int(y // self.row)
        return row if 0 <= row < self._number else None

    @abstractmethod
    def column_at(self, x: float) -> Optional[int]:
        """Return the column by which a click at ``x`` sorts; None for the original order."""

    @abstractmethod
    def header_shapes(self, sorted_by: Optional[int]) -> List[Shape]:
        """Return the titles, at the top of the picture; that of the sorted column is marked."""

    @abstractmethod
    def row_shapes(self, selected: Sequence[str] = (), top: float = 0.0) -> List[Shape]:
        """Return the rows, the first at ``top``; those whose names are ``selected`` are marked."""
