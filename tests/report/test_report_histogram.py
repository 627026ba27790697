"""Histograms: the areas are the counts, and what is lost is marked."""

from xml.etree import ElementTree

import numpy as np
import pytest
from staging import StagedRun

from qatviz.protocol.commands import ChangeSettings
from qatviz.report.histogram import _BOTTOM, _TOP, SIZE, Shown, common_axis, histogram, shown_at

FLOOR, ROOM = SIZE[1] - _BOTTOM, SIZE[1] - _BOTTOM - _TOP


def shown(*settings, tensor="dense1.weights", change=lambda run: None):
    run = StagedRun("mlp")
    run.send(ChangeSettings(settings or (("*.weights.num_bits", 8),)))
    run.advance(1, snapshot=False)
    change(run)
    snapshot = run.take_snapshot()
    index = run.plan.index(tensor)
    return shown_at(snapshot, run.plan.tensors[index], index), snapshot.histograms[tensor]


def picture(found, axis=None):
    return ElementTree.fromstring(histogram(found, "a tensor", axis))


def path_of(svg, style):
    return next((path.get("d") for path in svg.iter("path") if path.get("class") == style), None)


def heights_at(path, xs):
    """How high the area of ``M V H V H ... Z`` is above the floor at some places."""
    steps, x, y = [], None, None
    for part in path.rstrip("Z").replace("M", " M").replace("V", " V").replace("H", " H").split(" V"):
        head, *rest = part.replace("M", "").split(" H")
        if x is None:
            x, _ = map(float, head.split())
        else:
            y = float(head)
        for end in rest:
            steps.append((x, float(end), FLOOR - y))
            x = float(end)
    return [next((height for low, high, height in steps if low <= at <= high), 0.0) for at in xs]


def x_of(found, values, axis=None):
    low, high = axis or found.extent
    room = 0.02 * (high - low)
    return 8 + (np.asarray(values) - low + room) * (SIZE[0] - 16) / (high - low + 2 * room)


def test_the_area_of_float_values_is_their_counts():
    found, recorded = shown()
    middles = (recorded.edges[:-1] + recorded.edges[1:]) / 2.0
    heights = heights_at(path_of(picture(found), "float"), x_of(found, middles))
    counts = recorded.float_counts
    expected = np.maximum(counts * ROOM / counts.max(), 2.0 * (counts > 0))
    assert np.allclose(heights, expected, atol=0.11)


def test_levels_of_few_bits_are_bars_where_the_values_are():
    found, recorded = shown(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", False))
    svg = picture(found)
    bars = [float(part.split()[0]) for part in path_of(svg, "level").split("M")[1:]]
    used = np.flatnonzero(recorded.code_counts) + recorded.code_min
    middles = x_of(found, (used - recorded.zero_point[0]) * recorded.scale[0])
    assert len(bars) == len(used) == 3 and np.allclose(np.array(bars) + 3, middles, atol=0.2)
    assert path_of(svg, "levels") is None


def test_levels_that_stand_close_are_an_outline():
    svg = picture(shown(("dense1.weights.per_channel", False))[0])
    assert path_of(svg, "levels") and path_of(svg, "level") is None


def test_what_is_lost_is_marked_and_told():
    def stretch(run):
        values = run.values_of("dense1.weights")
        values[:] = np.where(np.abs(values) > 0.05, values * 4, values)

    found, _ = shown(("dense1.weights.num_bits", 3), ("dense1.weights.per_channel", False), change=stretch)
    assert path_of(picture(found), "flushed") and "rounded to zero" in found.words and "3 bits" in found.words
    assert not found.distribution.clipped.any() and path_of(picture(found), "clipped") is None
    clipped = found._replace(
        distribution=found.distribution.__class__(
            **dict(
                vars(found.distribution),
                clipped=np.where(found.distribution.edges[1:] > 0.25, found.distribution.counts, 0),
            )
        )
    )
    svg = picture(clipped)
    at = x_of(found, [0.3, -0.3])
    assert [height > 0 for height in heights_at(path_of(svg, "clipped"), at)] == [True, False]


def test_in_float_there_is_no_grid():
    found, _ = shown(("dense1.weights.enabled", False))
    svg = picture(found)
    assert found.words.endswith("; in float")
    assert {path.get("class") for path in svg.iter("path")} == {"float", "axis"} and svg.find("rect") is None


def test_the_window_is_bracketed_and_what_is_outside_shaded():
    found, _ = shown()
    low, high = found.distribution.window
    wide = (low - (high - low), high + (high - low))
    svg = picture(found, wide)
    rects = [(float(r.get("x")), float(r.get("x")) + float(r.get("width"))) for r in svg.iter("rect")]
    assert rects[0][1] == pytest.approx(x_of(found, low, wide), abs=0.2)
    assert rects[1][0] == pytest.approx(x_of(found, high, wide), abs=0.2)
    assert "l5 -3" in path_of(picture(found, (low + (high - low) / 3, high)), "edge"), "an arrow to an end out of sight"


def test_a_bin_that_towers_over_all_others_is_cut():
    def sparse(run):
        values = run.values_of("dense1.activations")
        values[::2] = 0

    found, recorded = shown(tensor="dense1.activations", change=sparse)
    svg = picture(found)
    assert path_of(svg, "cut")
    top = np.delete(recorded.float_counts, found.distribution.zero_bin).max()
    heights = heights_at(path_of(svg, "float"), x_of(found, found.distribution.edges[:-1] + 1e-4))
    assert max(heights) == pytest.approx(ROOM, abs=0.1) and top < recorded.float_counts.max() / 1.5


def test_values_that_are_all_one_and_values_that_are_not_finite():
    def constant(run):
        run.values_of("dense1.weights")[:] = 0.25

    found, _ = shown(change=constant)
    assert found.extent[1] > found.extent[0] and picture(found) is not None
    found, recorded = shown()
    broken = recorded.__class__(**dict(vars(recorded), edges=np.full_like(recorded.edges, np.nan)))
    run = StagedRun("mlp")
    snapshot = run.take_snapshot()
    snapshot.histograms["dense1.weights"] = broken
    assert shown_at(snapshot, run.plan.tensor("dense1.weights"), run.plan.index("dense1.weights")) is None


def test_before_and_after_share_an_axis_unless_it_would_squeeze_one():
    assert common_axis((-1, 1), (-2, 1.5)) == (-2, 1.5)
    assert common_axis((-0.1, 0.1), (-2, 2)) is None
    assert isinstance(shown()[0], Shown)
