"""Scenes of distributions: areas are counts, what is lost is marked, ranges are where they are."""

from dataclasses import replace

import numpy as np
import pytest
from staging import StagedRun

from qatviz.analysis.distribution import distribution, extent, to_log2
from qatviz.presentation.axes import VISIBLE_PX
from qatviz.presentation.histogram import (
    LEGEND,
    SAMPLE_SIZE,
    SMALLEST_PX,
    HistogramScene,
    HistogramView,
    PendingGrid,
    sample,
    top_count,
)
from qatviz.presentation.scene import Area, Rects, Segments, Text, estimated_metrics
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES

METRICS = estimated_metrics(10.0, 6.0)
AREA = (10.0, 20.0, 310.0, 120.0)
ROOM = AREA[3] - AREA[1]


def shown(*settings, tensor="dense1.weights", change=lambda run: None, log2=False):
    """The distribution of a tensor, and the histogram that it is of."""
    run = StagedRun("mlp")
    run.send(ChangeSettings(settings or (("*.weights.num_bits", 8),)))
    run.advance(1, snapshot=False)
    change(run)
    snapshot, index = run.take_snapshot(), run.plan.index(tensor)
    measure = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, index].tolist()))
    recorded, window = snapshot.histograms[tensor], (measure["range_min"], measure["range_max"])
    bits, is_on = snapshot.num_bits[index], snapshot.enabled[index]
    found = distribution(recorded, bits, is_on, window, measure["clipped"], measure["flushed"])
    return (to_log2(found) if log2 else found), recorded


def view_of(found, low=None, high=None, is_log=False):
    low, high = (found.edges[0] if low is None else low), (found.edges[-1] if high is None else high)
    return HistogramView(float(low), float(high), top_count(found, is_log), is_log)


def content(found, view=None, pending=None):
    group = HistogramScene(AREA, found, view or view_of(found), pending).content(METRICS)
    assert group.clip == AREA
    return group.shapes


def of(shapes, kind, role):
    def role_of(shape):
        look = getattr(shape, "fill", None) or shape.stroke
        return look.role if look is not None else None

    return [shape for shape in shapes if isinstance(shape, kind) and role_of(shape) == role]


def heights(area):
    """Of each bin of a histogram's area."""
    return AREA[3] - area.y[1:-1:2]


def test_the_area_of_float_values_is_their_counts():
    found, recorded = shown()
    (area,) = of(content(found), Area, "float_values")
    expected = np.maximum(recorded.float_counts * ROOM / recorded.float_counts.max(), 2.0 * (recorded.float_counts > 0))
    np.testing.assert_allclose(heights(area), expected)
    np.testing.assert_allclose(area.x[[0, -1]], [AREA[0], AREA[2]])


def test_logarithmic_counts_reach_from_nothing_to_the_top():
    found, recorded = shown()
    (area,) = of(content(found, view_of(found, is_log=True)), Area, "float_values")
    ratio = np.log1p(recorded.float_counts) / np.log1p(top_count(found, True))
    np.testing.assert_allclose(heights(area), np.maximum(ROOM * ratio, VISIBLE_PX * (recorded.float_counts > 0)))


@pytest.mark.parametrize("log2", [False, True])
def test_levels_of_few_bits_are_bars_where_the_values_are(log2):
    found, recorded = shown(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", False), log2=log2)
    view = view_of(found)
    (bars,) = of(content(found, view), Rects, "in_range")
    per_unit = (AREA[2] - AREA[0]) / (view.high - view.low)
    used = found.levels[found.level_counts > 0]
    middles = AREA[0] + (used - view.low) * per_unit
    assert len(bars.left) == len(used) and np.abs((bars.left + bars.right) / 2 - middles).max() <= 1
    if not log2:
        codes = np.flatnonzero(recorded.code_counts) + recorded.code_min
        np.testing.assert_allclose(used, (codes - recorded.zero_point[0]) * recorded.scale[0], rtol=1e-6)
    assert (AREA[3] - bars.top).max() == pytest.approx(ROOM), "not lost at the foot of the float values"
    assert not of(content(found, view), Area, "in_range")


def test_unused_levels_are_marked():
    found, _ = shown(("dense1.weights.num_bits", 4), ("dense1.weights.per_channel", False))
    counts = found.level_counts.copy()
    counts[2] = 0
    heights_ = np.where(counts > 0, found.level_heights, 0)
    unused, used = of(content(replace(found, level_counts=counts, level_heights=heights_)), Rects, "in_range")
    assert len(unused.left) == np.count_nonzero(counts == 0) and unused.fill.opacity < used.fill.opacity
    assert set(AREA[3] - unused.top) == {VISIBLE_PX}


def test_levels_that_are_close_are_an_outline():
    shapes = content(shown(("dense1.weights.per_channel", False))[0], None)
    assert of(shapes, Area, "in_range") and not of(shapes, Rects, "in_range")
    found, _ = shown(("dense1.weights.per_channel", True))
    (outline,) = of(content(found), Area, "in_range")
    assert outline.stroke is not None and found.levels is None, "per channel there are no common levels"


@pytest.mark.parametrize("is_log", [False, True])
def test_two_bits_per_channel_are_three_bands(is_log):
    found, recorded = shown(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", True))
    shapes = content(found, view_of(found, is_log=is_log))
    zero, bands = of(shapes, Rects, "in_range")
    scales = recorded.scale.astype(np.float64)
    np.testing.assert_allclose(
        found.level_bands[[0, -1]], [[-scales.max(), -scales.min()], [scales.min(), scales.max()]]
    )
    assert len(zero.left) == 1 and len(bands.left) == 2 and bands.fill.opacity < zero.fill.opacity
    assert bands.right[0] < zero.left[0] and zero.right[0] < bands.left[1] and not of(shapes, Area, "in_range")
    assert found.level_counts.sum() == recorded.code_counts.sum()


def test_the_bar_of_an_outlier_level_is_cut_with_its_count():
    found, _ = shown(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", False))
    counts = np.array([10.0, 1000.0, 20.0])
    found = replace(found, level_counts=counts, level_heights=counts * found.level_heights.max() / counts.max())
    shapes = content(found)
    (bars,) = of(shapes, Rects, "in_range")
    tall = AREA[3] - bars.top
    assert tall[1] == pytest.approx(ROOM) and tall[2] == pytest.approx(2 * tall[0]) and tall[2] > ROOM / 2
    assert [text.text for text in shapes if isinstance(text, Text) and text.role == "in_range"] == ["▲ 1000"]
    order = [getattr(shape, "fill", None) or shape.stroke for shape in shapes if not isinstance(shape, Text)]
    roles = [look.role for look in order if look is not None]
    assert roles.index("in_range") > roles.index("window_edge"), "levels are not hidden behind the range"
    assert (bars.right - bars.left).min() >= (AREA[2] - AREA[0]) / 20


def test_clipped_and_zeroed_values_are_marked():
    found, _ = shown(("dense1.weights.num_bits", 3), ("dense1.weights.per_channel", False))
    assert of(content(found), Area, "flushed") and not of(content(found), Area, "clipped")
    part = np.where(found.edges[1:] > found.edges[-20], found.counts, 0.0)
    shapes = content(replace(found, clipped=part))
    (clipped,), (floats,) = of(shapes, Area, "clipped"), of(shapes, Area, "float_values")
    np.testing.assert_allclose(heights(clipped), np.where(part > 0, heights(floats), 0.0))


def test_in_float_there_is_no_grid():
    found, _ = shown(("dense1.weights.enabled", False))
    shapes = content(found)
    fill, outline = (shape for shape in shapes if isinstance(shape, Area))
    assert len(shapes) == 2 and fill.fill.role == outline.stroke.role == "float_values"


def test_the_range_is_bracketed_and_what_is_beyond_is_shaded():
    found, _ = shown()
    low, high = found.representable
    width = high - low
    view = view_of(found, low - width, high + width)
    shapes = content(found, view)
    at = [AREA[0] + (end - view.low) * (AREA[2] - AREA[0]) / (view.high - view.low) for end in (low, high)]
    left, right = of(shapes, Rects, "clipped")
    assert (left.left[0], left.right[0], right.left[0], right.right[0]) == pytest.approx((AREA[0], *at, AREA[2]))
    (brackets,) = of(shapes, Segments, "window_edge")
    np.testing.assert_allclose(brackets.x0, np.repeat(at, 2))
    (arrows,) = of(content(found, view_of(found, low + width / 3, high)), Segments, "window_edge")
    assert len(arrows.x0) == 4 and arrows.x1[0] == AREA[0] + 5, "an arrow to the end that is out of sight"


@pytest.mark.parametrize("window", [(-np.inf, np.inf), (np.inf, np.inf), (-np.inf, -np.inf), (0.0, 1e300)])
@pytest.mark.parametrize("width", [1.0, 1e-320, 1e-30, 1e30])
def test_ranges_far_beyond_the_axis_have_coordinates_that_can_be_painted(window, width):
    found = replace(shown()[0], representable=window)
    for shape in content(found, view_of(found, 0.0, width)):
        if isinstance(shape, (Rects, Segments)):
            assert all(np.abs(part).max() < 1e5 for part in shape[:4] if len(part))


def test_an_outlier_bin_is_cut_and_labelled():
    def sparse(run):
        run.values_of("dense1.activations")[::2] = 0

    found, recorded = shown(tensor="dense1.activations", change=sparse)
    shapes = content(found)
    (cut,) = of(shapes, Segments, "base")
    (count,) = (shape for shape in shapes if isinstance(shape, Text))
    zero = recorded.float_counts[found.zero_bin]
    assert count.text.startswith("▲ ") and top_count(found, False) < zero / 1.5 and top_count(found, True) >= zero
    (area,) = of(shapes, Area, "float_values")
    assert heights(area).max() == ROOM and AREA[1] <= cut.y0.min() < AREA[1] + 20
    assert not of(content(found, view_of(found, is_log=True)), Segments, "base")


def test_what_is_pending_is_bracketed_with_its_levels():
    found, _ = shown()
    view = view_of(found, -1.0, 1.0)
    pending = PendingGrid(-0.5, 0.5, 0.25)
    shapes = content(found, view, pending)
    (brackets,), (levels,) = of(shapes, Segments, "ghost"), of(shapes, Rects, "ghost")
    assert brackets.stroke.dash and sorted(set(brackets.x0)) == [85.0, 235.0]
    np.testing.assert_allclose((levels.left + levels.right) / 2, [85, 122.5, 160, 197.5, 235])
    dense = content(found, view, pending._replace(scale=0.001))
    assert of(dense, Segments, "ghost") and not of(dense, Rects, "ghost")
    in_float = content(found, view, PendingGrid(np.nan, np.nan, np.nan))
    assert not of(in_float, Segments, "ghost")


@pytest.mark.parametrize("log2", [False, True])
def test_the_axis_has_labels_within_the_picture_that_do_not_touch(log2):
    found, _ = shown(log2=log2)
    scene = HistogramScene(AREA, found, view_of(found))
    texts = [shape for shape in scene.axis(METRICS, (0.0, 320.0)) if isinstance(shape, Text)]
    ends = [(text.x, text.x + METRICS.width(text.text)) for text in texts]
    assert len(texts) >= 3 and ends[0][0] >= 0 and ends[-1][1] <= 320
    assert all(a[1] < b[0] for a, b in zip(ends, ends[1:]))


@pytest.mark.parametrize("is_log", [False, True])
def test_the_axis_of_counts_is_the_scale_of_the_areas(is_log):
    found, recorded = shown()
    scene = HistogramScene(AREA, found, view_of(found, is_log=is_log))
    lines, *labels, _ = scene.count_axis(METRICS)
    (area,) = of(scene.content(METRICS).shapes, Area, "float_values")
    counts = [float(text.text.replace("k", "e3")) for text in labels]
    assert counts[0] == 0 and len(counts) == len(lines.y0) >= 3
    y = dict(zip(counts, lines.y0))
    at, count = heights(area).argmax(), recorded.float_counts.max()
    place = np.log1p if is_log else float
    largest = max(counts)
    assert (AREA[3] - y[largest]) / heights(area)[at] == pytest.approx(place(largest) / place(count), rel=1e-6)


def test_a_distribution_of_one_value_and_one_without_any_have_a_top():
    found, _ = shown()
    one = replace(found, counts=np.array([5.0]), zero_bin=0)
    assert top_count(one, False) == 5.0 and top_count(replace(one, counts=np.array([0.0])), False) == 1.0


def test_without_room_nothing_is_drawn():
    found, _ = shown()
    assert HistogramScene(AREA, found, view_of(found)).is_drawn
    assert not HistogramScene((0, 0, SMALLEST_PX - 1, 100), found, view_of(found)).is_drawn


def test_every_entry_of_the_legend_has_a_sample():
    for entry in LEGEND:
        (shape,) = sample(entry.key)
        x = (shape.left, shape.right) if isinstance(shape, Rects) else (shape.x0, shape.x1)
        assert min(part.min() for part in x) >= 0 and max(part.max() for part in x) <= SAMPLE_SIZE[0]
    assert len({entry.key for entry in LEGEND}) == len(LEGEND) and all(len(entry.about) > 30 for entry in LEGEND)


def test_the_axis_reaches_values_and_range():
    found, recorded = shown()
    low, high = extent(recorded, found.representable)
    assert low <= min(recorded.edges[0], found.representable[0]) and high >= max(
        recorded.edges[-1], found.representable[1]
    )
