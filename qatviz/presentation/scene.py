"""Pictures as data: shapes and texts in pixels, with colours by role. Painters draw them with Qt or as SVG.

Coordinates are pixels from the upper left corner, y downwards. Arrays are float64 ``[n]``. Shapes are painted in their
order, the last on top. Roles of colours are the names of :class:`qatviz.presentation.palette.Palette`.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

START, MIDDLE, END = "start", "middle", "end"
#: Roles of fonts: labels of axes; titles; names in a small overview.
SMALL, TITLE, LARGE = "small", "title", "large"
DASHED, DOTTED = (5.0, 3.0), (1.5, 3.0)


class Fill(NamedTuple):
    """Fill of a shape: role of the colour, and opacity 0..1."""

    role: str
    opacity: float = 1.0


class Stroke(NamedTuple):
    """Stroke of a line: role of the colour, width in pixels, lengths of dashes and gaps (none: solid), opacity 0..1."""

    role: str
    width: float = 1.0
    dash: Tuple[float, ...] = ()
    opacity: float = 1.0


class Area(NamedTuple):
    """Closed polygon; its corners are rounded to pixels unless it is ``smooth``."""

    x: np.ndarray
    y: np.ndarray
    fill: Optional[Fill]
    stroke: Optional[Stroke] = None
    smooth: bool = False


class Line(NamedTuple):
    """Line through points; NaN interrupts it. ``dots`` marks the points; isolated points are always marked."""

    x: np.ndarray
    y: np.ndarray
    stroke: Stroke
    dots: bool = False


class Band(NamedTuple):
    """Area between two lines over the same ascending ``x``; NaN interrupts it."""

    x: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    fill: Fill


class Segments(NamedTuple):
    """Straight lines, each from ``x0, y0`` to ``x1, y1``."""

    x0: np.ndarray
    y0: np.ndarray
    x1: np.ndarray
    y1: np.ndarray
    stroke: Stroke


class Rects(NamedTuple):
    """Rectangles by their edges; ``radius`` rounds their corners."""

    left: np.ndarray
    top: np.ndarray
    right: np.ndarray
    bottom: np.ndarray
    fill: Optional[Fill]
    stroke: Optional[Stroke] = None
    radius: float = 0.0


class Curves(NamedTuple):
    """Smooth lines through points ``[n, 2]``, straight between points that differ in one coordinate only.

    Other points are connected by a curve along the flow: downwards, or to the right.
    """

    routes: Sequence[np.ndarray]
    flow_down: bool
    stroke: Stroke


class Text(NamedTuple):
    """Text on the baseline ``y``, which starts, is centred, or ends at ``x``."""

    x: float
    y: float
    text: str
    role: str = "muted"
    anchor: str = START
    font: str = SMALL


class Image(NamedTuple):
    """Image in a rectangle: colour indices, uint8 ``[rows, columns]``, the first row on top.

    ``colors`` has the colour of each index: uint8 ``[n, 4]``, RGBA.
    """

    left: float
    top: float
    right: float
    bottom: float
    pixels: np.ndarray
    colors: np.ndarray


class Picture(NamedTuple):
    """Picture of data in a rectangle: uint8 ``[rows, columns]``, or RGB ``[rows, columns, 3]``, the first row on top.

    Pixels stay sharp if they are enlarged.
    """

    left: float
    top: float
    right: float
    bottom: float
    pixels: np.ndarray


class Group(NamedTuple):
    """Shapes that belong together.

    Attributes
    ----------
    shapes : sequence
    clip : (left, top, right, bottom), optional
        Rectangle that clips the shapes.
    title : str
        Text on hover.
    """

    shapes: Sequence[Any]
    clip: Optional[Tuple[float, float, float, float]] = None
    title: str = ""


Shape = Union[Area, Line, Band, Segments, Rects, Curves, Text, Image, Picture, Group]


class Scene(NamedTuple):
    """Complete picture.

    Attributes
    ----------
    width, height : float
    shapes : sequence of shapes
    title, description : str
        Title and description for assistive technology.
    """

    width: float
    height: float
    shapes: Sequence[Shape]
    title: str = ""
    description: str = ""


class Metrics:
    """Sizes of text in one font, px.

    Attributes
    ----------
    height, ascent : float
        Height of a line, and of its part above the baseline.
    width : callable
        Returns the width of a text.
    """

    def __init__(self, height: float, ascent: float, width: Callable[[str], float]):
        self.height, self.ascent, self.width = height, ascent, width

    def elided(self, text: str, room: float, middle: bool = False) -> str:
        """Return ``text``, with its end (or ``middle``) elided if it is wider than ``room``."""
        if self.width(text) <= room:
            return text
        low, high = 0, len(text)
        while low < high:  # the longest that fits
            kept = (low + high + 1) // 2
            low, high = (kept, high) if self.width(_cut(text, kept, middle)) <= room else (low, kept - 1)
        return _cut(text, low, middle)


def _cut(text: str, kept: int, middle: bool) -> str:
    end = kept // 2 if middle else 0
    return text[: kept - end] + "…" + text[len(text) - end :]


def estimated_metrics(points: float, character: float) -> Metrics:
    """Return estimated sizes of text; ``character`` is a generous mean width of a character."""
    return Metrics(1.25 * points, points, lambda text: character * len(text))


#: Fonts by their roles.
Fonts = Dict[str, Metrics]


def segments(x0: Any, y0: Any, x1: Any, y1: Any, stroke: Stroke) -> Segments:
    """Return lines between points; scalars are broadcast."""
    x0, y0, x1, y1 = _alike(x0, y0, x1, y1)
    return Segments(x0, y0, x1, y1, stroke)


def rects(left: Any, top: Any, right: Any, bottom: Any, fill: Optional[Fill], stroke: Optional[Stroke] = None) -> Rects:
    """Return rectangles; scalars are broadcast."""
    left, top, right, bottom = _alike(left, top, right, bottom)
    return Rects(left, top, right, bottom, fill, stroke)


def _alike(*parts: Any) -> List[np.ndarray]:
    """Return arrays of the same length (faster than NumPy's broadcasting)."""
    arrays = [np.asarray(part, np.float64) for part in parts]
    length = next((len(part) for part in arrays if part.ndim), 1)
    return [part if part.ndim else part.repeat(length) for part in arrays]
