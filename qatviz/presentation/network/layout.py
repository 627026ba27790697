"""Layout of a directed acyclic graph: in layers, without overlaps, folded to fit.

After Sugiyama, Tagawa and Toda (1981): layers by longest path, an order within each by barycentres so that few edges
cross, then coordinates. An edge that passes through a layer gets a lane there, like a narrow node. A long and narrow
graph, as of most networks, is cut where a single tensor connects its parts, which are placed side by side.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.presentation.network.layers import Key, Layers, lay_in_layers

DOWN, RIGHT = "down", "right"
Edge = Tuple[str, str]
Size = Tuple[float, float]

#: Space between layers, between neighbours in a layer, and between parts; straight length of an edge before a turn.
LAYER_GAP, NEIGHBOUR_GAP, PART_GAP, TURN = 26.0, 18.0, 44.0, 13.0
#: Maximum number of parts: more are hard to follow.
MAX_PARTS = 10
#: Factor of a layout's score for every further part, which must pay off in scale.
PART_PENALTY = 0.93
#: Maximum difference of equal lengths, far less than a pixel.
_EQUAL = 1e-3


class GraphLayout(NamedTuple):
    """Layout of a graph.

    Attributes
    ----------
    boxes : dict of str to (x, y, width, height)
        Boxes of the nodes; ``x`` and ``y`` from 0, downwards.
    routes : dict of (str, str) to np.ndarray
        float64 ``[n, 2]``: points of every edge from the border of its source to that of its target. Points that differ
        in both coordinates are connected by a curve along the flow.
    layers : tuple of tuple of str
        The names in each layer, in order.
    width, height : float
    flow : str
        ``down`` or ``right``.
    parts : int
        Number of parts side by side.
    """

    boxes: Dict[str, Tuple[float, float, float, float]]
    routes: Dict[Edge, np.ndarray]
    layers: Tuple[Tuple[str, ...], ...]
    width: float
    height: float
    flow: str
    parts: int

    def scale_in(self, width: float, height: float) -> float:
        """Return the scale at which the layout fits into an area of this size."""
        return min(width / self.width, height / self.height)


def layered_layout(sizes: Dict[str, Size], edges: Sequence[Edge], flow: str = DOWN, parts: int = 1) -> GraphLayout:
    """Return the layout of a graph.

    Parameters
    ----------
    sizes : dict of str to (width, height)
        Sizes of all nodes, by name.
    edges : sequence of (str, str)
        From, to; each once.
    flow : str
        Whether edges go ``down`` or to the ``right``.
    parts : int
        Number of parts to cut it into; fewer if there are not enough places to cut.

    Raises
    ------
    ValueError
        If an edge has an end that is no node, or there is a cycle.
    """
    return _drawn(_fold(_in_layers(sizes, edges, flow), parts))


def fitting_layout(
    sizes: Dict[str, Size], edges: Sequence[Edge], width: float, height: float, flow: Optional[str] = None
) -> GraphLayout:
    """Return the layout with the largest scale, up to 1, in an area of ``width`` x ``height``.

    ``flow`` is chosen as well unless given. Raises the errors of :func:`layered_layout`.
    """
    best: Optional[_Folded] = None
    best_score = -1.0
    for direction in (DOWN, RIGHT) if flow is None else (flow,):
        layers = _in_layers(sizes, edges, direction)
        for parts in range(1, len(layers.cuttable[: MAX_PARTS - 1]) + 2):
            folded = _fold(layers, parts)
            score = min(width / folded.width, height / folded.height, 1.0) * PART_PENALTY ** (parts - 1)
            if score > best_score:
                best, best_score = folded, score
    assert best is not None  # there is at least one direction, and one part
    return _drawn(best)


class _Input(NamedTuple):
    """Graph in layers for one flow.

    The arrays are float64 ``[layers]``: each layer's ``begins`` and ``thickness`` along the flow, its ends ``low`` and
    ``high`` across it.
    """

    layers: Layers
    sizes: Dict[str, Size]
    flow: str
    begins: np.ndarray
    thickness: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def cuttable(self) -> List[int]:
        return self.layers.cuttable


class _Folded(NamedTuple):
    """Positions of the layers: ``begins`` along the flow, ``shift`` across it, float64 ``[layers]``.

    ``gutters`` maps the first layer of each part but the first to the middle of the gap before it, across the flow.
    """

    input: _Input
    gutters: Dict[int, float]
    begins: np.ndarray
    shift: np.ndarray
    width: float
    height: float


def _in_layers(sizes: Dict[str, Size], edges: Sequence[Edge], flow: str) -> _Input:
    along = 1 if flow == DOWN else 0
    layers = lay_in_layers({name: size[1 - along] for name, size in sizes.items()}, edges, NEIGHBOUR_GAP)
    thickness = np.array(
        [max(sizes[key][along] if isinstance(key, str) else 0.0 for key in layer) for layer in layers.order]
    )
    begins = np.concatenate([[0.0], np.cumsum(thickness + LAYER_GAP)[:-1]])
    low, high = (
        np.array([pick(layers.across[key] + half * layers.breadth[key] for key in layer) for layer in layers.order])
        for pick, half in ((min, -0.5), (max, 0.5))
    )
    return _Input(layers, sizes, flow, begins, thickness, low, high)


def _fold(found: _Input, parts: int) -> _Folded:
    """Cut the graph into parts side by side, with a gutter between them for the connecting edge."""
    cuts = _cuts(found, parts)
    bounds = [0, *cuts, len(found.begins)]
    begins, shift = found.begins.copy(), np.zeros(len(found.begins))
    gutters, end = {}, 0.0
    for first, last in zip(bounds[:-1], bounds[1:]):
        if first:
            gutters[first] = end + PART_GAP / 2
            end += PART_GAP
        low = found.low[first:last].min()
        shift[first:last] = end - low
        end += found.high[first:last].max() - low
        begins[first:last] += (TURN if cuts else 0.0) - found.begins[first]
    length = float((begins + found.thickness).max()) + (TURN if cuts else 0.0)
    extent = (end, length) if found.flow == DOWN else (length, end)
    return _Folded(found, gutters, begins, shift, float(extent[0]), float(extent[1]))


def _drawn(folded: _Folded) -> GraphLayout:
    layers, sizes, flow, _, thickness = folded.input[:5]
    begins = folded.begins
    along = 1 if flow == DOWN else 0
    depth: Dict[Key, float] = {name: size[along] for name, size in sizes.items()}
    places = {
        key: (begins[index], begins[index] + thickness[index], layers.across[key] + folded.shift[index])
        for index, layer in enumerate(layers.order)
        for key in layer
    }
    boxes: Dict[str, Tuple[float, float, float, float]] = {}
    for name, size in sizes.items():
        begin, end, middle = places[name]
        corner = (float(middle - size[1 - along] / 2), float((begin + end - depth[name]) / 2))
        x, y = corner if flow == DOWN else (corner[1], corner[0])
        boxes[name] = (x, y, size[0], size[1])
    routes = {
        edge: _route(chain, places, depth, layers.rank, folded.gutters, flow) for edge, chain in layers.chains.items()
    }
    names = tuple(tuple(key for key in layer if isinstance(key, str)) for layer in layers.order)
    return GraphLayout(boxes, routes, names, folded.width, folded.height, flow, len(folded.gutters) + 1)


def _cuts(found: _Input, parts: int) -> List[int]:
    """Return the layers that start a new part: evenly spaced, where a single tensor connects the parts."""
    length = found.begins[-1] + found.thickness[-1]
    cuts: List[int] = []
    for number in range(1, parts):
        free = [index for index in found.cuttable if not cuts or index > cuts[-1]]
        if not free:
            break
        cuts.append(min(free, key=lambda index: abs(found.begins[index] - number * length / parts)))
    return cuts


def _route(
    chain: Sequence[Key],
    places: Dict[Key, Tuple[float, float, float]],
    depth: Dict[Key, float],
    rank: Dict[Key, int],
    gutters: Dict[int, float],
    flow: str,
) -> np.ndarray:
    """Return the points of an edge through its lanes and around the ends of parts."""
    points: List[Tuple[float, float]] = []
    for key, following in zip(chain[:-1], chain[1:]):
        begin, end, middle = places[key]
        if key in depth and depth[key] < end - begin - _EQUAL:
            points.append(((begin + end + depth[key]) / 2, middle))  # straight up to the end of its layer
        points.append((end, middle))
        next_begin, next_end, next_middle = places[following]
        cut = rank[following]
        if cut in gutters:
            turn, back = end + TURN, next_begin - TURN
            points += [(turn, middle), (turn, gutters[cut]), (back, gutters[cut]), (back, next_middle)]
        points.append((next_begin, next_middle))
        if following in depth and depth[following] < next_end - next_begin - _EQUAL:
            points.append(((next_begin + next_end - depth[following]) / 2, next_middle))
    found = np.array(points)
    return found[:, ::-1].copy() if flow == DOWN else found
