"""Layout of the grid of tiles, which fills the view as far as tiles keep their proportions; and their selection."""

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from PyQt5 import QtCore

FIT, SMALL, MEDIUM, LARGE = "fit", "small", "medium", "large"
#: Minimum width and height of a tile, px. Those of ``fit`` show the nine tensors of LeNet in a window of 1280 × 800.
SIZES = {FIT: (150, 72), SMALL: (160, 92), MEDIUM: (260, 164), LARGE: (420, 260)}
GAP_PX = 5
#: Preferred ratio of a tile's width to its height.
SHAPE = 1.65
#: Minimum ratio of width to height of a tile that grows to fill the height.
TALLEST = 1.1


@dataclass(frozen=True)
class TileGrid:
    """Grid of ``count`` tiles in ``columns``, each ``width`` by ``height`` pixels."""

    count: int
    columns: int
    width: int
    height: int

    @property
    def size(self) -> QtCore.QSize:
        return QtCore.QSize(self.width, self.height)

    @property
    def total_height(self) -> int:
        rows = -(-self.count // self.columns)
        return rows * (self.height + GAP_PX) + GAP_PX

    def place(self, index: int) -> Tuple[int, int]:
        """Return ``x, y`` of a tile's upper left corner."""
        row, column = divmod(index, self.columns)
        return GAP_PX + column * (self.width + GAP_PX), GAP_PX + row * (self.height + GAP_PX)

    def index_at(self, x: int, y: int) -> Optional[int]:
        """Return the index of the tile at a point; None between tiles and beyond them."""
        column, in_x = divmod(x - GAP_PX, self.width + GAP_PX)
        row, in_y = divmod(y - GAP_PX, self.height + GAP_PX)
        index = row * self.columns + column
        is_cell = 0 <= column < self.columns and row >= 0 and index < self.count
        return index if is_cell and in_x < self.width and in_y < self.height else None

    def indices_between(self, top: int, bottom: int) -> range:
        """Return the indices of the tiles in all rows that are at least partly between two heights."""
        pitch = self.height + GAP_PX
        first = max(0, top // pitch) * self.columns
        last = min(self.count, (max(bottom - GAP_PX, 0) // pitch + 1) * self.columns)
        return range(first, last)


def arrange(count: int, size: str, width: int, height: int, smallest_height: int = 0) -> TileGrid:
    """Return the grid for ``count`` tiles of a ``size`` in a view of ``width`` by ``height`` pixels.

    Tiles are at least ``smallest_height`` pixels high, which large text needs.

    ``fit`` makes tiles as large as possible with all of them visible, or small if they can't all be: as small as it
    allows where otherwise not even two rows are visible.
    """
    grid = _fitting(count, width, height, smallest_height) if size == FIT else None
    if grid is not None:
        return grid
    is_low = height < 2 * (SIZES[SMALL][1] + GAP_PX) + GAP_PX
    least_width, least_height = SIZES[SMALL if size == FIT and not is_low else size]
    columns = max(1, min((width - GAP_PX) // (least_width + GAP_PX), max(count, 1)))
    if size != FIT and count < columns:
        columns = max(1, count)
    tile_width = (width - GAP_PX) // columns - GAP_PX
    rows = max(1, -(-count // columns))
    room = (height - GAP_PX) // rows - GAP_PX
    tile_height = max(least_height, smallest_height, min(room, int(tile_width / TALLEST)))
    return TileGrid(count, columns, max(tile_width, 40), tile_height)


def _fitting(count: int, width: int, height: int, smallest_height: int) -> Optional[TileGrid]:
    least_width, least_height = SIZES[FIT][0], max(SIZES[FIT][1], smallest_height)
    best, best_score = None, 0.0
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        tile_width, tile_height = (width - GAP_PX) // columns - GAP_PX, (height - GAP_PX) // rows - GAP_PX
        if tile_width < least_width or tile_height < least_height:
            continue
        tile_height = min(tile_height, int(tile_width / TALLEST))
        score = min(tile_width / SHAPE, tile_height)
        if score > best_score:
            best, best_score = TileGrid(count, columns, tile_width, tile_height), score
    return best


def picked(
    names: Sequence[str], selected: Sequence[str], start: str, name: str, is_range: bool, is_addition: bool
) -> Tuple[Tuple[str, ...], str]:
    """Return the selection after a click, by the rules of lists, and its current tile.

    Parameters
    ----------
    names : sequence of str
        The shown tiles, in order.
    selected : sequence of str
        The selection before the click; it may have names that are not shown.
    start : str
        Start of a range; a name that is not shown starts none.
    name : str
        The clicked tile.
    is_range, is_addition : bool
        Whether Shift was held, which selects all tiles from ``start`` on; whether Ctrl was held, which adds or removes
        the tile (the last one stays selected).
    """
    if is_range and start in names:
        first, last = sorted((names.index(start), names.index(name)))
        return tuple(names[first : last + 1]), name
    if not is_addition:
        return (name,), name
    others = tuple(other for other in selected if other != name)
    if name in selected and others:
        return others, others[-1]
    return (*others, name), name
