"""Title above and legend below a saved figure, so that it can be read without the window."""

from typing import List, NamedTuple, Sequence, Tuple, Union

from qatviz.presentation.scene import SMALL, TITLE, Fill, Fonts, Metrics, Shape, Stroke, Text, rects, segments

#: Size of a sample of the legend, px.
SAMPLE_WIDTH, SAMPLE_HEIGHT = 14.0, 12.0
_SEPARATOR = " · "
_MARGIN, _GAP, _BETWEEN, _LINE_GAP = 8.0, 5.0, 14.0, 3.0


class LegendItem(NamedTuple):
    """Entry of a legend.

    Attributes
    ----------
    shapes : sequence of shapes
        Sample, from the origin on, at most :data:`SAMPLE_HEIGHT` high.
    label : str
    width : float
        Width of the sample, px.
    """

    shapes: Sequence[Shape]
    label: str
    width: float = SAMPLE_WIDTH


class Caption(NamedTuple):
    """Title, details (run, step, settings), which may be empty, and legend of a figure; the legend may be empty."""

    title: str
    details: Sequence[str] = ()
    legend: Sequence[LegendItem] = ()


class Strips(NamedTuple):
    """Layout of a caption: the heights above and below the figure, and groups of shapes with their origins.

    The origins of ``above`` are from the top of the picture, those of ``below`` from the bottom of the figure.
    """

    top: int
    bottom: int
    above: List[Tuple[float, float, Sequence[Shape]]]
    below: List[Tuple[float, float, Sequence[Shape]]]


def legend_item(style: Union[Fill, Stroke], label: str) -> LegendItem:
    """Return an entry with a rectangle or a line."""
    if isinstance(style, Fill):
        return LegendItem([rects(0, 1, SAMPLE_WIDTH - 1, SAMPLE_HEIGHT - 1, style)], label)
    return LegendItem([segments(0, SAMPLE_HEIGHT / 2, SAMPLE_WIDTH - 1, SAMPLE_HEIGHT / 2, style)], label)


def caption_strips(caption: Caption, width: float, fonts: Fonts) -> Strips:
    """Return the layout of a caption for a figure of ``width`` pixels; details and legend wrap, a title is elided."""
    title, small = fonts[TITLE], fonts[SMALL]
    room = width - 2 * _MARGIN
    above = [Text(_MARGIN, _MARGIN / 2 + title.ascent, title.elided(caption.title, room), "text", font=TITLE)]
    top = _MARGIN / 2 + title.height
    for line_text in _lines(caption.details, room, small):
        above.append(Text(_MARGIN, top + small.ascent, line_text))
        top += small.height
    below: List[Tuple[float, float, Sequence[Shape]]] = []
    line = max(small.height, SAMPLE_HEIGHT) + _LINE_GAP
    x, y = _MARGIN, _LINE_GAP
    for item in caption.legend:
        needed = item.width + _GAP + small.width(item.label)
        if x > _MARGIN and x + needed > width - _MARGIN:
            x, y = _MARGIN, y + line
        below.append((x, y + (line - SAMPLE_HEIGHT) / 2, item.shapes))
        baseline = (line - small.height) / 2 + small.ascent
        below.append((x + item.width + _GAP, y, [Text(0.0, baseline, item.label)]))
        x += needed + _BETWEEN
    bottom = y + line + _LINE_GAP if caption.legend else 0.0
    return Strips(round(top + _MARGIN / 2), round(bottom), [(0.0, 0.0, above)], below)


def _lines(details: Sequence[str], room: float, metrics: Metrics) -> List[str]:
    """Return ``details`` in lines that are broken between them."""
    lines: List[str] = []
    for part in filter(None, details):
        joined = f"{lines[-1]}{_SEPARATOR}{part}" if lines else part
        if lines and metrics.width(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(metrics.elided(part, room))
    return lines
