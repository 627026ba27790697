"""Picture of the network's graph: a box for each operation, with the bits and the SQNR of its tensors."""

# Separate from the section that shows it, like every picture of the report.

import math
from typing import Dict, List, Tuple

from qatviz.measures import MEASURES
from qatviz.presentation.color_bar import value_role
from qatviz.presentation.network.drawing import network_drawing
from qatviz.presentation.network.layout import DOWN, GraphLayout, fitting_layout
from qatviz.presentation.network.scene import Badge, edge_shapes, node_shapes, node_size
from qatviz.presentation.scene import SMALL, TITLE, Fonts, Group, Metrics, Scene, estimated_metrics
from qatviz.report.markup import Markup
from qatviz.report.run_data import RunData
from qatviz.report.svg import FONTS, svg
from qatviz.report.tensor_rows import TensorRow

#: Width of the page, possible heights of the picture, px, and the scale from which a height is sufficient.
_ROOM, _HEIGHTS, _AT_SIZE = 1080.0, (240.0, 400.0, 560.0, 760.0, 1000.0, 1400.0), 0.97
#: Line height and ascent, px; generous, because a node's width is in lines and the widths of texts are estimates.
_LINE, _ASCENT = 15.0, 11.0
_FONTS: Fonts = {SMALL: Metrics(_LINE, _ASCENT, FONTS[SMALL].width), TITLE: estimated_metrics(12.0, 7.4)}
#: Margin around the network, px.
_MARGIN = 4.0


def network_picture(run: RunData, rows: Dict[str, TensorRow]) -> Markup:
    """Return the figure of the network; ``rows`` are by tensor name."""
    plan, network = run.book.plan, run.network
    texts, tensors, edges = network_drawing(network, plan)
    sizes = {name: node_size(_FONTS[SMALL], bool(tensors[name])) for name in texts}
    layout = _layout(sizes, edges)
    shapes = edge_shapes([route + _MARGIN for route in layout.routes.values()], layout.flow == DOWN)
    for name, text in texts.items():
        x, y = layout.boxes[name][:2]
        badges = [_badge(rows[tensor.name]) for tensor in tensors[name]]
        node = node_shapes(text, badges, sizes[name], _FONTS, at=(x + _MARGIN, y + _MARGIN))
        shapes.append(Group(node, title="\n".join(text)))
    words = f"{len(plan.units)} operations, from {', '.join(network.input_names)} to {plan.units[-1].name}"
    size = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    return svg(Scene(*size, shapes, f"The network {network.name}", words), "graph")


def _layout(sizes: Dict[str, Tuple[float, float]], edges: List[Tuple[str, str]]) -> GraphLayout:
    for height in _HEIGHTS:
        found = fitting_layout(sizes, edges, _ROOM, height)
        if found.scale_in(_ROOM, height) >= _AT_SIZE:
            break
    return found


def _badge(row: TensorRow) -> Badge:
    """Return the badge of a tensor: kind, bits and SQNR on the SQNR's colour, with the verdict on hover."""
    is_measured = row.is_active and row.is_measured
    prefix = row.tensor.kind[0] + (row.bits if row.is_active else "")
    text = row.measure_text("sqnr_db") if is_measured else "" if row.is_active else "float"
    role = value_role(MEASURES["sqnr_db"], row.measures["sqnr_db"] if is_measured else math.nan)
    return Badge(prefix, text, text, role, title=f"{row.tensor.name}: {row.verdict.text}")
