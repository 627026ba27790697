"""Scenes of a network: a node for each operation with the values of its tensors, and the edges between them."""

from typing import Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.presentation.network.drawing import NodeText
from qatviz.presentation.palette import ink_on
from qatviz.presentation.scene import (
    DOTTED,
    LARGE,
    MIDDLE,
    SMALL,
    TITLE,
    Area,
    Curves,
    Fill,
    Fonts,
    Group,
    Metrics,
    Shape,
    Stroke,
    Text,
    rects,
)

#: Left, top, right and bottom edge.
Box = Tuple[float, float, float, float]

#: Sizes in lines of text: width and margin of a node, height of its badges, height of a large name.
_BREADTH, _MARGIN, _BADGE, _LARGE_NAME = 12.8, 0.45, 1.35, 1.8
_LINES = 3
_NODE_RADIUS, _BADGE_RADIUS, _CURSOR_RADIUS, _CURSOR_ROOM = 5.0, 3.0, 7.0, 2.5
#: Half width of an arrow head, and its length, px.
_HEAD = 3.5, 7.0
_EDGE, _HEAD_FILL = Stroke("muted", 1.4), Fill("muted")


class Badge(NamedTuple):
    """Value of one tensor in a node.

    Attributes
    ----------
    prefix : str
        ``w`` for weights, ``a`` for activations.
    text, brief : str
        Value with its unit; text where there is less room.
    role : str
        Role of the background colour; empty without a value.
    selected, current : bool
    title : str
        Text on hover.
    """

    prefix: str
    text: str
    brief: str
    role: str
    selected: bool = False
    current: bool = False
    title: str = ""


def node_size(metrics: Metrics, has_tensors: bool) -> Tuple[float, float]:
    """Return width and height of a node for a font."""
    line = metrics.height
    lines = _LINES + (_BADGE + _MARGIN if has_tensors else 0)
    return round(_BREADTH * line), round((lines + 2 * _MARGIN) * line)


def badge_boxes(count: int, size: Tuple[float, float], metrics: Metrics, is_detailed: bool = True) -> List[Box]:
    """Return the boxes of the badges of a node with ``count`` tensors."""
    (width, height), line = size, metrics.height
    margin = _MARGIN * line
    tall = _BADGE * line if is_detailed else height - 2 * margin - _LARGE_NAME * line
    each = (width - margin * (1 + count)) / max(1, count)
    lefts = [margin + index * (each + margin) for index in range(count)]
    return [(left, height - margin - tall, left + each, height - margin) for left in lefts]


def node_shapes(
    text: NodeText,
    badges: Sequence[Badge],
    size: Tuple[float, float],
    fonts: Fonts,
    is_detailed: bool = True,
    has_cursor: bool = False,
    at: Tuple[float, float] = (0.0, 0.0),
) -> List[Shape]:
    """Return the shapes of a node whose upper left corner is ``at``.

    ``is_detailed``: with all lines of text; otherwise only the name and the values, larger.
    """
    (left, top), (width, height) = at, size
    chosen = any(badge.selected for badge in badges)
    outline = Stroke("accent", 2.0) if chosen else Stroke("line", 1.2)
    body = rects(left, top, left + width, top + height, Fill("raised" if badges else "window"), outline)
    shapes: List[Shape] = [body._replace(radius=_NODE_RADIUS)]
    if has_cursor:
        edges = (left - _CURSOR_ROOM, top - _CURSOR_ROOM, left + width + _CURSOR_ROOM, top + height + _CURSOR_ROOM)
        shapes.append(rects(*edges, None, Stroke("text", 1.2, DOTTED))._replace(radius=_CURSOR_RADIUS))
    shapes += (_lines if is_detailed else _large_name)(text, bool(badges), at, size, fonts)
    boxes = badge_boxes(len(badges), size, fonts[SMALL], is_detailed)
    for badge, (x0, y0, x1, y1) in zip(badges, boxes):
        shapes += _badge(badge, (left + x0, top + y0, left + x1, top + y1), fonts, is_detailed)
    return shapes


def _lines(
    text: NodeText, has_badges: bool, at: Tuple[float, float], size: Tuple[float, float], fonts: Fonts
) -> Iterable[Shape]:
    line = fonts[SMALL].height
    left, top, room = at[0] + 1.3 * _MARGIN * line, at[1] + _MARGIN * line, size[0] - 2.6 * _MARGIN * line
    for number, (words, font) in enumerate(zip(text, (TITLE, SMALL, SMALL))):
        baseline = top + number * line + fonts[SMALL].ascent
        role = "text" if font == TITLE else "muted"
        yield Text(left, baseline, fonts[font].elided(words, room, font == TITLE), role, font=font)


def _large_name(
    text: NodeText, has_badges: bool, at: Tuple[float, float], size: Tuple[float, float], fonts: Fonts
) -> Iterable[Shape]:
    line, large = fonts[SMALL].height, fonts[LARGE]
    margin = _MARGIN * line
    height = _LARGE_NAME * line if has_badges else size[1] - margin
    baseline = at[1] + margin / 2 + (height - large.height) / 2 + large.ascent
    name = large.elided(text.name, size[0] - 2 * margin, True)
    yield Text(at[0] + size[0] / 2, baseline, name, "text", MIDDLE, LARGE)


def _badge(badge: Badge, box: Box, fonts: Fonts, is_detailed: bool) -> List[Shape]:
    font = SMALL if is_detailed else LARGE
    metrics, (left, top, right, bottom) = fonts[font], box
    outline = Stroke("line")
    if badge.selected:
        outline = Stroke("text", 2.6 if badge.current else 1.6)
    body = rects(left, top, right, bottom, Fill(badge.role or "base"), outline)
    words = f"{badge.prefix} {badge.text if is_detailed else badge.brief}"
    baseline = (top + bottom - metrics.height) / 2 + metrics.ascent
    ink = ink_on(badge.role) if badge.role else "text"
    text = Text((left + right) / 2, baseline, metrics.elided(words, right - left), ink, MIDDLE, font)
    shapes: List[Shape] = [body._replace(radius=_BADGE_RADIUS), text]
    return [Group(shapes, title=badge.title)] if badge.title else shapes


def edge_shapes(routes: Iterable[np.ndarray], flow_down: bool) -> List[Shape]:
    """Return edges through points, float64 ``[n, 2]`` each, with an arrow head at the end of each."""
    routes = list(routes)
    half, length = _HEAD
    shapes: List[Shape] = [Curves(routes, flow_down, _EDGE)]
    for points in routes:
        x, y = points[-1]
        dx, dy = ((-half, half), (-length, -length)) if flow_down else ((-length, -length), (-half, half))
        corners = np.array([x, x + dx[0], x + dx[1]]), np.array([y, y + dy[0], y + dy[1]])
        shapes.append(Area(*corners, _HEAD_FILL, smooth=True))
    return shapes
