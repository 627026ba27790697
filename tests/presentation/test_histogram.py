"""Scenes of distributions: areas are counts, lost values are marked, ranges are in place."""

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


def staged_distribution(*settings, tensor="dense1.weights", change=lambda run: None, log2=False):
    """Return the distribution of a tensor of a staged run, and the recorded histogram."""
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


def content_of(found, view=None, pending=None):
    group = HistogramScene(AREA, found, view or view_of(found), pending).content(METRICS)
    assert group.clip == AREA
    return group.shapes


def shapes_with_role(shapes, kind, role):
    def role_of(shape):
        look = getattr(shape, "fill", None) or shape.stroke
        return look.role if look is not None else None

    return [shape for shape in shapes if isinstance(shape, kind) and role_of(shape) == role]


def heights(area):
    """Return the height of each bin of a histogram's area."""
    return AREA[3] - area.y[1:-1:2]


def test_the_area_of_float_values_is_their_counts():
    found, recorded = staged_distribution()
    (area,) = shapes_with_role(content_of(found), Area, "float_values")
    expected = np.maximum(recorded.float_counts * ROOM / recorded.float_counts.max(), 2.0 * (recorded.float_counts > 0))
    np.testing.assert_allclose(heights(area), expected)
    np.testing.assert_allclose(area.x[[0, -1]], [AREA[0], AREA[2]])


def test_logarithmic_counts_reach_from_zero_to_the_top():
    found, recorded = staged_distribution()
    (area,) = shapes_with_role(content_of(found, view_of(found, is_log=True)), Area, "float_values")
    ratio = np.log1p(recorded.float_counts) / np.log1p(top_count(found, True))
    np.testing.assert_allclose(heights(area), np.maximum(ROOM * ratio, VISIBLE_PX * (recorded.float_counts > 0)))


@pytest.mark.parametrize("log2", [False, True])
def test_levels_of_few_bits_are_bars_at_their_values(log2):
    found, recorded = staged_distribution(
        ("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", False), log2=log2
    )
    view = view_of(found)
    (bars,) = shapes_with_role(content_of(found, view), Rects, "in_range")
    per_unit = (AREA[2] - AREA[0]) / (view.high - view.low)
    used = found.levels[found.level_counts > 0]
    middles = AREA[0] + (used - view.low) * per_unit
    assert len(bars.left) == len(used) and np.abs((bars.left + bars.right) / 2 - middles).max() <= 1
    if not log2:
        codes = np.flatnonzero(recorded.code_counts) + recorded.code_min
        np.testing.assert_allclose(used, (codes - recorded.zero_point[0]) * recorded.scale[0], rtol=1e-6)
    assert (AREA[3] - bars.top).max() == pytest.approx(ROOM), "not lost at the foot of the float values"
    assert not shapes_with_role(content_of(found, view), Area, "in_range")


def test_unused_levels_are_marked():
    found, _ = staged_distribution(("dense1.weights.num_bits", 4), ("dense1.weights.per_channel", False))
    counts = found.level_counts.copy()
    counts[2] = 0
    heights_ = np.where(counts > 0, found.level_heights, 0)
    unused, used = shapes_with_role(
        content_of(replace(found, level_counts=counts, level_heights=heights_)), Rects, "in_range"
    )
    assert len(unused.left) == np.count_nonzero(counts == 0) and unused.fill.opacity < used.fill.opacity
    assert set(AREA[3] - unused.top) == {VISIBLE_PX}


def test_dense_levels_are_drawn_as_an_outline():
    shapes = content_of(staged_distribution(("dense1.weights.per_channel", False))[0], None)
    assert shapes_with_role(shapes, Area, "in_range") and not shapes_with_role(shapes, Rects, "in_range")
    found, _ = staged_distribution(("dense1.weights.per_channel", True))
    (outline,) = shapes_with_role(content_of(found), Area, "in_range")
    assert outline.stroke is not None and found.levels is None, "per channel there are no common levels"


@pytest.mark.parametrize("is_log", [False, True])
def test_levels_of_two_bits_per_channel_are_three_bands(is_log):
    found, recorded = staged_distribution(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", True))
    shapes = content_of(found, view_of(found, is_log=is_log))
    zero, bands = shapes_with_role(shapes, Rects, "in_range")
    scales = recorded.scale.astype(np.float64)
    np.testing.assert_allclose(
        found.level_bands[[0, -1]], [[-scales.max(), -scales.min()], [scales.min(), scales.max()]]
    )
    assert len(zero.left) == 1 and len(bands.left) == 2 and bands.fill.opacity < zero.fill.opacity
    assert (
        bands.right[0] < zero.left[0]
        and zero.right[0] < bands.left[1]
        and not shapes_with_role(shapes, Area, "in_range")
    )
    assert found.level_counts.sum() == recorded.code_counts.sum()


def test_the_bar_of_an_outlier_level_is_cut_and_shows_its_count():
    found, _ = staged_distribution(("dense1.weights.num_bits", 2), ("dense1.weights.per_channel", False))
    counts = np.array([10.0, 1000.0, 20.0])
    found = replace(found, level_counts=counts, level_heights=counts * found.level_heights.max() / counts.max())
    shapes = content_of(found)
    (bars,) = shapes_with_role(shapes, Rects, "in_range")
    tall = AREA[3] - bars.top
    assert tall[1] == pytest.approx(ROOM) and tall[2] == pytest.approx(2 * tall[0]) and tall[2] > ROOM / 2
    assert [text.text for text in shapes if isinstance(text, Text) and text.role == "in_range"] == ["▲ 1000"]
    order = [getattr(shape, "fill", None) or shape.stroke for shape in shapes if not isinstance(shape, Text)]
    roles = [look.role for look in order if look is not None]
    assert roles.index("in_range") > roles.index("range_edge"), "levels are not hidden behind the range"
    assert (bars.right - bars.left).min() >= (AREA[2] - AREA[0]) / 20


def test_clipped_values_and_values_rounded_to_zero_are_marked():
    found, _ = staged_distribution(("dense1.weights.num_bits", 3), ("dense1.weights.per_channel", False))
    assert shapes_with_role(content_of(found), Area, "flushed") and not shapes_with_role(
        content_of(found), Area, "clipped"
    )
    part = np.where(found.edges[1:] > found.edges[-20], found.counts, 0.0)
    shapes = content_of(replace(found, clipped=part))
    (clipped,), (floats,) = shapes_with_role(shapes, Area, "clipped"), shapes_with_role(shapes, Area, "float_values")
    np.testing.assert_allclose(heights(clipped), np.where(part > 0, heights(floats), 0.0))


def test_a_float_tensor_shows_its_values_only():
    found, _ = staged_distribution(("dense1.weights.enabled", False))
    shapes = content_of(found)
    fill, outline = (shape for shape in shapes if isinstance(shape, Area))
    assert len(shapes) == 2 and fill.fill.role == outline.stroke.role == "float_values"


def test_the_range_has_brackets_and_the_area_beyond_is_shaded():
    found, _ = staged_distribution()
    low, high = found.representable
    width = high - low
    view = view_of(found, low - width, high + width)
    shapes = content_of(found, view)
    at = [AREA[0] + (end - view.low) * (AREA[2] - AREA[0]) / (view.high - view.low) for end in (low, high)]
    left, right = shapes_with_role(shapes, Rects, "clipped")
    assert (left.left[0], left.right[0], right.left[0], right.right[0]) == pytest.approx((AREA[0], *at, AREA[2]))
    (brackets,) = shapes_with_role(shapes, Segments, "range_edge")
    np.testing.assert_allclose(brackets.x0, np.repeat(at, 2))
    (arrows,) = shapes_with_role(content_of(found, view_of(found, low + width / 3, high)), Segments, "range_edge")
    assert len(arrows.x0) == 4 and arrows.x1[0] == AREA[0] + 5, "an arrow to the end that is out of sight"


@pytest.mark.parametrize("window", [(-np.inf, np.inf), (np.inf, np.inf), (-np.inf, -np.inf), (0.0, 1e300)])
@pytest.mark.parametrize("width", [1.0, 1e-320, 1e-30, 1e30])
def test_ranges_far_beyond_the_axis_get_bounded_coordinates(window, width):
    found = replace(staged_distribution()[0], representable=window)
    for shape in content_of(found, view_of(found, 0.0, width)):
        if isinstance(shape, (Rects, Segments)):
            assert all(np.abs(part).max() < 1e5 for part in shape[:4] if len(part))


def test_an_outlier_bin_is_cut_and_labelled():
    def sparse(run):
        run.values_of("dense1.activations")[::2] = 0

    found, recorded = staged_distribution(tensor="dense1.activations", change=sparse)
    shapes = content_of(found)
    (cut,) = shapes_with_role(shapes, Segments, "base")
    (count,) = (shape for shape in shapes if isinstance(shape, Text))
    zero = recorded.float_counts[found.zero_bin]
    assert count.text.startswith("▲ ") and top_count(found, False) < zero / 1.5 and top_count(found, True) >= zero
    (plate,) = shapes_with_role(shapes, Rects, "base")  # the text may lie on a bar of any colour
    order = [shape is plate or shape is count for shape in shapes]
    assert shapes[order.index(True)] is plate
    assert plate.left[0] < count.x and count.x + METRICS.width(count.text) < plate.right[0]
    assert plate.top[0] < count.y < plate.bottom[0]
    (area,) = shapes_with_role(shapes, Area, "float_values")
    assert heights(area).max() == ROOM and AREA[1] <= cut.y0.min() < AREA[1] + 20
    assert not shapes_with_role(content_of(found, view_of(found, is_log=True)), Segments, "base")


def test_pending_settings_draw_brackets_and_levels():
    found, _ = staged_distribution()
    view = view_of(found, -1.0, 1.0)
    pending = PendingGrid(-0.5, 0.5, 0.25)
    shapes = content_of(found, view, pending)
    (brackets,), (levels,) = shapes_with_role(shapes, Segments, "ghost"), shapes_with_role(shapes, Rects, "ghost")
    assert brackets.stroke.dash and sorted(set(brackets.x0)) == [85.0, 235.0]
    np.testing.assert_allclose((levels.left + levels.right) / 2, [85, 122.5, 160, 197.5, 235])
    dense = content_of(found, view, pending._replace(scale=0.001))
    assert shapes_with_role(dense, Segments, "ghost") and not shapes_with_role(dense, Rects, "ghost")
    in_float = content_of(found, view, PendingGrid(np.nan, np.nan, np.nan))
    assert not shapes_with_role(in_float, Segments, "ghost")


@pytest.mark.parametrize("log2", [False, True])
def test_axis_labels_lie_within_the_picture_and_do_not_touch(log2):
    found, _ = staged_distribution(log2=log2)
    scene = HistogramScene(AREA, found, view_of(found))
    texts = [shape for shape in scene.axis(METRICS, (0.0, 320.0)) if isinstance(shape, Text)]
    ends = [(text.x, text.x + METRICS.width(text.text)) for text in texts]
    assert len(texts) >= 3 and ends[0][0] >= 0 and ends[-1][1] <= 320
    assert all(a[1] < b[0] for a, b in zip(ends, ends[1:]))


@pytest.mark.parametrize("is_log", [False, True])
def test_the_count_axis_has_the_scale_of_the_areas(is_log):
    found, recorded = staged_distribution()
    scene = HistogramScene(AREA, found, view_of(found, is_log=is_log))
    lines, *labels, _ = scene.count_axis(METRICS)
    (area,) = shapes_with_role(scene.content(METRICS).shapes, Area, "float_values")
    counts = [float(text.text.replace("k", "e3")) for text in labels]
    assert counts[0] == 0 and len(counts) == len(lines.y0) >= 3
    y = dict(zip(counts, lines.y0))
    at, count = heights(area).argmax(), recorded.float_counts.max()
    place = np.log1p if is_log else float
    largest = max(counts)
    assert (AREA[3] - y[largest]) / heights(area)[at] == pytest.approx(place(largest) / place(count), rel=1e-6)


def test_constant_and_empty_distributions_have_a_top():
    found, _ = staged_distribution()
    one = replace(found, counts=np.array([5.0]), zero_bin=0)
    assert top_count(one, False) == 5.0 and top_count(replace(one, counts=np.array([0.0])), False) == 1.0


def test_without_room_nothing_is_drawn():
    found, _ = staged_distribution()
    assert HistogramScene(AREA, found, view_of(found)).is_drawn
    assert not HistogramScene((0, 0, SMALLEST_PX - 1, 100), found, view_of(found)).is_drawn


def test_every_entry_of_the_legend_has_a_sample():
    for entry in LEGEND:
        (shape,) = sample(entry.key)
        x = (shape.left, shape.right) if isinstance(shape, Rects) else (shape.x0, shape.x1)
        assert min(part.min() for part in x) >= 0 and max(part.max() for part in x) <= SAMPLE_SIZE[0]
    assert len({entry.key for entry in LEGEND}) == len(LEGEND) and all(len(entry.about) > 30 for entry in LEGEND)


def test_the_axis_covers_the_values_and_the_range():
    found, recorded = staged_distribution()
    low, high = extent(recorded, found.representable)
    assert low <= min(recorded.edges[0], found.representable[0]) and high >= max(
        recorded.edges[-1], found.representable[1]
    )
