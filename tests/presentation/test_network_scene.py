"""Scenes of a network: nodes, their values, edges."""

import numpy as np
import pytest

from qatviz.presentation.network.drawing import NodeText
from qatviz.presentation.network.scene import Badge, badge_boxes, edge_shapes, node_shapes, node_size
from qatviz.presentation.scene import (
    LARGE,
    SMALL,
    TITLE,
    Area,
    Curves,
    Group,
    Rects,
    Text,
    estimated_metrics,
)

FONTS = {SMALL: estimated_metrics(10.0, 6.0), TITLE: estimated_metrics(10.0, 7.0), LARGE: estimated_metrics(16.0, 10.0)}
TEXT = NodeText("conv1", "Conv2D 3×3 + BatchNorm + ReLU of many words", "28×28×16 · 416 params")
BADGES = [Badge("w", "14.4 dB", "14.4", "diverging6"), Badge("a", "exact", "exact", "diverging24")]


def texts_of(shapes):
    return [shape for shape in shapes if isinstance(shape, Text)]


def box_of(shape):
    return tuple(float(part[0]) for part in shape[:4])


def test_a_node_contains_its_texts_and_values():
    size = node_size(FONTS[SMALL], True)
    shapes = node_shapes(TEXT, BADGES, size, FONTS, at=(100.0, 50.0))
    words = [text.text for text in texts_of(shapes)]
    assert words[0] == "conv1" and words[1].startswith("Conv2D") and words[1].endswith("…")
    assert words[2:] == [TEXT.shape, "w 14.4 dB", "a exact"]
    body, *badges = (shape for shape in shapes if isinstance(shape, Rects))
    assert box_of(body) == (100, 50, 100 + size[0], 50 + size[1])
    for badge in badges:
        left, top, right, bottom = box_of(badge)
        assert 100 < left < right < 100 + size[0] and 50 < top < bottom < 50 + size[1]
    assert box_of(badges[0])[2] < box_of(badges[1])[0]
    assert [badge.fill.role for badge in badges] == ["diverging6", "diverging24"]
    for text in texts_of(shapes):
        half = FONTS[text.font].width(text.text) / (2 if text.anchor == "middle" else 1)
        assert text.x + half <= 100 + size[0]


def test_a_small_node_shows_its_name_and_values_only():
    size = node_size(FONTS[SMALL], True)
    shapes = node_shapes(TEXT, BADGES, size, FONTS, is_detailed=False)
    assert [(text.text, text.font) for text in texts_of(shapes)] == [
        ("conv1", LARGE),
        ("w 14.4", LARGE),
        ("a exact", LARGE),
    ]
    near, far = (badge_boxes(2, size, FONTS[SMALL], detailed) for detailed in (True, False))
    assert far[0][3] - far[0][1] > near[0][3] - near[0][1], "larger"


def test_selected_nodes_are_outlined():
    size = node_size(FONTS[SMALL], True)
    chosen = [BADGES[0]._replace(selected=True, current=True), BADGES[1]._replace(selected=True)]
    plain, selected = ([s for s in node_shapes(TEXT, b, size, FONTS) if isinstance(s, Rects)] for b in (BADGES, chosen))
    assert plain[0].stroke.role == "line" and selected[0].stroke.role == "accent"
    assert selected[1].stroke.width > selected[2].stroke.width > plain[1].stroke.width
    assert (
        len(node_shapes(TEXT, BADGES, size, FONTS, has_cursor=True)) == len(node_shapes(TEXT, BADGES, size, FONTS)) + 1
    )


def test_badges_without_value_and_nodes_without_tensors_are_plain():
    size = node_size(FONTS[SMALL], True)
    shapes = node_shapes(TEXT, [Badge("w", "float", "float", "")], size, FONTS)
    body, badge = (shape for shape in shapes if isinstance(shape, Rects))
    assert (badge.fill.role, texts_of(shapes)[-1].role, body.fill.role) == ("base", "text", "raised")
    low = node_size(FONTS[SMALL], False)
    assert low[1] < size[1] and node_shapes(TEXT, [], low, FONTS)[0].fill.role == "window"


def test_a_badge_shows_the_given_title():
    shapes = node_shapes(TEXT, [BADGES[0]._replace(title="told")], node_size(FONTS[SMALL], True), FONTS)
    (group,) = (shape for shape in shapes if isinstance(shape, Group))
    assert group.title == "told" and len(group.shapes) == 2


@pytest.mark.parametrize("down", [True, False])
def test_every_edge_has_an_arrowhead_at_its_end(down):
    routes = [np.array([[0, 0], [10, 20.0]]), np.array([[5, 5], [5, 9], [30, 40.0]])]
    curves, *heads = edge_shapes(routes, down)
    assert isinstance(curves, Curves) and curves.flow_down is down and len(heads) == 2
    for head, route in zip(heads, routes):
        assert isinstance(head, Area) and head.smooth and (head.x[0], head.y[0]) == tuple(route[-1])
        along = head.y if down else head.x
        assert (along[1:] < along[0]).all()
