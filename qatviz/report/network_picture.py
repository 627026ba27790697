"""The network as SVG: a box for each operation, with the bits and the SQNR of its tensors."""

from typing import Dict, List, Tuple

import numpy as np

from qatviz.network.checks import INPUT
from qatviz.presentation.network.drawing import NodeText, network_drawing
from qatviz.presentation.network.layout import DOWN, GraphLayout, fitting_layout
from qatviz.report.markup import Markup, element, join, number
from qatviz.report.run_data import RunData
from qatviz.report.tensor_rows import LEVEL_STYLES, TensorRow

#: Width of the page, px, and heights that a picture may have: the first in which it can be drawn at its size is taken.
_ROOM, _HEIGHTS, _AT_SIZE = 1080.0, (240.0, 400.0, 560.0, 760.0, 1000.0, 1400.0), 0.97
_WIDTH, _LINE, _BADGE = 196.0, 15.0, 19.0
_MARGIN = 7.0
#: Characters that surely fit a line of a box: names are bold, and may be in capitals.
_NAME_FITS, _TEXT_FITS = 23, 27


def network_picture(run: RunData, rows: Dict[str, TensorRow]) -> Markup:
    """Return the figure of the network; ``rows`` are by tensor name."""
    plan, network = run.book.plan, run.network
    texts, tensors, edges = network_drawing(network, plan)
    sizes = {name: _size(len(tensors[name])) for name in texts}
    layout = _layout(sizes, edges)
    boxes = [_box(layout.boxes[name], text, [rows[t.name] for t in tensors[name]]) for name, text in texts.items()]
    words = f"{len(plan.units)} operations, from {INPUT} to {plan.units[-1].name}"
    width, height = layout.width + 8, layout.height + 8
    return element(
        "svg",
        element("title", f"The network {network.name}"),
        element("desc", words),
        _edges(layout),
        boxes,
        viewBox=f"-4 -4 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        class_="graph",
        aria_label=f"The network {network.name}: {words}",
    )


def _layout(sizes: Dict[str, Tuple[float, float]], edges: List[Tuple[str, str]]) -> GraphLayout:
    for height in _HEIGHTS:
        found = fitting_layout(sizes, edges, _ROOM, height)
        if found.scale_in(_ROOM, height) >= _AT_SIZE:
            break
    return found


def _size(num_tensors: int) -> Tuple[float, float]:
    return _WIDTH, 3 * _LINE + 2 * _MARGIN + num_tensors * _BADGE


def _box(place: Tuple[float, float, float, float], text: NodeText, rows: List[TensorRow]) -> Markup:
    x, y, width, height = place
    parts = [
        element("title", "\n".join(text)),
        element("rect", x=x, y=y, width=width, height=height, rx=5, class_="box" if rows else "box plain"),
    ]
    top = y + _MARGIN
    for line, fits, style in zip(text, (_NAME_FITS, _TEXT_FITS, _TEXT_FITS), ("name", None, None)):
        parts.append(element("text", cut(line, fits), x=x + _MARGIN, y=top + 0.75 * _LINE, class_=style))
        top += _LINE
    for row in rows:
        parts.append(_badge(x + _MARGIN, top, width - 2 * _MARGIN, row))
        top += _BADGE
    return element("g", parts)


def _badge(x: float, y: float, width: float, row: TensorRow) -> Markup:
    """Kind, bits, SQNR; the verdict by symbol and colour."""
    level = LEVEL_STYLES[row.verdict.level]
    told = f"{row.bits} {'bits' if row.is_active else ''}".strip()
    if row.is_active and row.is_measured:
        told += " · " + row.measure_text("sqnr_db")
    return element(
        "g",
        element("title", f"{row.tensor.name}: {row.verdict.text}"),
        element("rect", x=x, y=y, width=width, height=_BADGE - 3, rx=3, class_="badge " + level),
        element("text", row.symbol, x=x + 5, y=y + 12, class_="symbol " + level),
        element("text", f"{row.tensor.kind} {told}", x=x + 19, y=y + 12),
    )


def _edges(layout: GraphLayout) -> Markup:
    path, heads = [], []
    for points in layout.routes.values():
        path.append("M{} {}".format(*map(number, points[0])))
        for (x0, y0), (x1, y1) in zip(points[:-1], points[1:]):
            path.append(_segment(x0, y0, x1, y1, layout.flow == DOWN))
        heads.append(_head(points[-1], layout.flow == DOWN))
    return join(element("path", d="".join(path), class_="edges"), element("path", d="".join(heads), class_="heads"))


def _segment(x0: float, y0: float, x1: float, y1: float, down: bool) -> str:
    if x0 == x1 or y0 == y1:
        return f"L{number(x1)} {number(y1)}"
    if down:
        corners = (x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1)
    else:
        corners = ((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1)
    return "C" + " ".join(map(number, corners))


def _head(tip: np.ndarray, down: bool) -> str:
    x, y = map(number, tip)
    return f"M{x} {y}{'l-3.5 -7h7' if down else 'l-7 -3.5v7'}Z"


def cut(text: str, fits: int) -> str:
    """Without its middle where it is too long: names differ at their ends."""
    if len(text) <= fits:
        return text
    begin = (fits - 1) // 2
    return text[:begin] + "…" + text[len(text) - (fits - 1 - begin) :]
