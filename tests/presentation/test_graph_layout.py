"""Drawing graphs: no overlaps, continuous edges, few crossings, folds that fit."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.presentation.network.layers import crossings, lay_in_layers, spread
from qatviz.presentation.network.layout import DOWN, NEIGHBOUR_GAP, RIGHT, fitting_layout, layered_layout

SIZE = (100.0, 40.0)
CHAIN = [(f"n{i}", f"n{i + 1}") for i in range(29)]


def sizes_of(edges, size=SIZE):
    return dict.fromkeys(dict.fromkeys(itertools.chain(*edges)), size)


@st.composite
def graphs(draw):
    """Draw a connected acyclic graph with one source, like a network's, and nodes of many sizes."""
    count = draw(st.integers(2, 10))
    edges = []
    for target in range(1, count):
        sources = draw(st.sets(st.integers(0, target - 1), min_size=1, max_size=3))
        edges += [(f"n{source}", f"n{target}") for source in sorted(sources)]
    side = st.integers(5, 200)
    return {f"n{i}": (draw(side), draw(side)) for i in range(count)}, edges


def overlap(one, other):
    x0, y0, w0, h0 = one
    x1, y1, w1, h1 = other
    return min(x0 + w0, x1 + w1) - max(x0, x1) > 1e-6 and min(y0 + h0, y1 + h1) - max(y0, y1) > 1e-6


def points_along(points, flow):
    """Return points along an edge as drawn: straight lines, or curves along the flow."""
    share, pieces = np.linspace(0, 1, 33)[:, None], []
    for start, end in zip(points[:-1], points[1:]):
        if (start == end).any():
            pieces.append(start + share * (end - start))
            continue
        along = 1 if flow == DOWN else 0
        middle = (start[along] + end[along]) / 2
        near, far = start.copy(), end.copy()
        near[along] = far[along] = middle
        pieces.append(
            (1 - share) ** 3 * start
            + 3 * (1 - share) ** 2 * share * near
            + 3 * (1 - share) * share**2 * far
            + share**3 * end
        )
    return np.concatenate(pieces)


@settings(max_examples=40, deadline=None)
@given(graphs(), st.sampled_from([DOWN, RIGHT]), st.integers(1, 4))
def test_nodes_do_not_overlap_and_edges_join_their_borders(graph, flow, parts):
    sizes, edges = graph
    layout = layered_layout(sizes, edges, flow, parts)
    assert set(layout.boxes) == set(sizes) and set(layout.routes) == set(edges)
    for name, (x, y, width, height) in layout.boxes.items():
        assert (width, height) == sizes[name]
        assert x >= -1e-6 and x + width <= layout.width + 1e-6 and y >= -1e-6 and y + height <= layout.height + 1e-6
    for one, other in itertools.combinations(layout.boxes.values(), 2):
        assert not overlap(one, other)
    along = 1 if flow == DOWN else 0
    for (source, target), points in layout.routes.items():
        x, y, width, height = layout.boxes[source]
        leaves = (x + width / 2, y + height) if flow == DOWN else (x + width, y + height / 2)
        x, y, width, height = layout.boxes[target]
        arrives = (x + width / 2, y) if flow == DOWN else (x, y + height / 2)
        np.testing.assert_allclose([points[0], points[-1]], [leaves, arrives], atol=1e-6)
        assert points[1][along] > points[0][along] and points[-1][along] > points[-2][along], "it goes with the flow"


@settings(max_examples=40, deadline=None)
@given(graphs(), st.sampled_from([DOWN, RIGHT]), st.integers(1, 4))
def test_no_edge_runs_through_a_node(graph, flow, parts):
    sizes, edges = graph
    layout = layered_layout(sizes, edges, flow, parts)
    for (source, target), points in layout.routes.items():
        path = points_along(points, flow)
        assert (path > -1e-6).all() and (path < np.array([layout.width, layout.height]) + 1e-6).all()
        for name, (x, y, width, height) in layout.boxes.items():
            inside = (path > (x + 1e-6, y + 1e-6)) & (path < (x + width - 1e-6, y + height - 1e-6))
            assert not inside.all(axis=1).any(), f"{source} -> {target} runs through {name}"


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_layers_are_by_longest_path(graph):
    sizes, edges = graph
    layers = layered_layout(sizes, edges).layers
    rank = {name: number for number, layer in enumerate(layers) for name in layer}
    for name in sizes:
        above = [rank[source] for source, target in edges if target == name]
        assert rank[name] == (max(above) + 1 if above else 0)


def test_a_twisted_ladder_is_untwisted():
    """Two chains, given in opposite order in every other layer, can be drawn without crossings."""
    edges = [("s", "a0"), ("s", "b0")]
    for i in range(6):
        edges += [(f"a{i}", f"a{i + 1}"), (f"b{i}", f"b{i + 1}")][:: 1 - 2 * (i % 2)]
    sizes = dict.fromkeys(["s"] + [kind + str(i) for i in range(7) for kind in ("ab" if i % 2 else "ba")], 10.0)
    layers = lay_in_layers(sizes, edges, 5.0)
    above = {key: [] for key in layers.rank}
    for source, target in edges:
        above[target].append(source)
    assert crossings(layers.order, above) == 0


def test_crossings_are_counted():
    above = {"c": ["b"], "d": ["a"], "e": ["a", "b"], "a": [], "b": []}
    assert crossings([["a", "b"], ["c", "d", "e"]], above) == 2
    assert crossings([["a", "b"], ["d", "e", "c"]], above) == 0


def test_a_chain_is_straight_and_its_skip_edge_runs_beside_it():
    layout = layered_layout(sizes_of(CHAIN), CHAIN)
    assert {box[0] for box in layout.boxes.values()} == {0.0} and layout.width == SIZE[0]
    edges = [("a", "b"), ("b", "c"), ("a", "c")]
    layout = layered_layout(sizes_of(edges), edges)
    lane = layout.routes["a", "c"][1:-1]
    assert len(lane) == 2 and lane[0][0] == lane[1][0], "straight past b"


def test_a_chain_is_folded_to_fit_the_window_and_read_in_order():
    sizes = sizes_of(CHAIN)
    wide, tall = fitting_layout(sizes, CHAIN, 1200, 300), fitting_layout(sizes, CHAIN, 420, 600)
    for layout, window in ((wide, (1200, 300)), (tall, (420, 600))):
        assert layout.parts > 1
        assert layout.scale_in(*window) > 2 * max(
            layered_layout(sizes, CHAIN, flow).scale_in(*window) for flow in (DOWN, RIGHT)
        )
    places = [wide.boxes[f"n{i}"][:2] for i in range(30)]
    assert places == sorted(places, key=lambda place: place[::-1] if wide.flow == RIGHT else place)


def test_a_graph_that_fits_is_not_folded():
    edges = CHAIN[:3]
    assert fitting_layout(sizes_of(edges), edges, 150, 400)[5:] == (DOWN, 1)
    assert fitting_layout(sizes_of(edges), edges, 700, 80)[5:] == (RIGHT, 1)
    assert fitting_layout(sizes_of(edges), edges, 700, 80, DOWN).flow == DOWN


def test_layouts_are_cut_only_between_blocks():
    """Blocks with a shortcut: no part may begin inside a block."""
    edges = []
    for block in range(6):
        a, b, c, after = f"a{block}", f"b{block}", f"c{block}", f"a{block + 1}"
        edges += [(a, b), (b, c), (c, after), (a, after)]
    layout = fitting_layout(sizes_of(edges), edges, 500, 500, DOWN)
    assert layout.parts > 1
    for (source, _target), points in layout.routes.items():
        if points[-1][1] < points[0][1]:  # it goes to another part
            assert source[0] == "a"


@pytest.mark.parametrize("edges, reason", [([("a", "b"), ("b", "a")], "cycle"), ([("a", "x")], "not both are nodes")])
def test_invalid_graphs_are_refused(edges, reason):
    with pytest.raises(ValueError, match=reason):
        layered_layout({"a": SIZE, "b": SIZE}, edges)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 10)), min_size=1, max_size=8), st.floats(0, 30))
def test_spread_keeps_the_distances_at_least_cost(pairs, distance):
    wanted, pull = (np.array(column) for column in zip(*pairs))
    apart = np.full(len(wanted) - 1, distance)
    found = spread(wanted, apart, pull)
    assert (np.diff(found) >= apart - 1e-9).all()
    if (np.diff(wanted) >= apart).all():
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    cost = np.sum(pull * (found - wanted) ** 2)
    steps = np.random.RandomState(0).randn(200, len(wanted))
    for step in steps * 0.05:
        other = found + step
        if (np.diff(other) >= apart).all():
            assert np.sum(pull * (other - wanted) ** 2) >= cost - 1e-9


def test_neighbours_keep_a_gap():
    edges = [("s", name) for name in "abcd"]
    boxes = layered_layout(sizes_of(edges), edges).boxes
    left = sorted(boxes[name][0] for name in "abcd")
    assert (np.diff(left) >= SIZE[0] + NEIGHBOUR_GAP - 1e-9).all()
