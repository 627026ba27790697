"""The part of histograms and codes that are frozen weights."""

from dataclasses import replace

import numpy as np
import pytest
from test_histogram import AREA, METRICS, content_of, shapes_with_role, staged_distribution

from qatviz.analysis.distribution import distribution, to_log2
from qatviz.presentation.axes import CountScale
from qatviz.presentation.histogram import FROZEN, LEGEND, PENDING, frozen_text, legend_entries
from qatviz.presentation.scene import Area, Rects
from qatviz.presentation.tensor_plots import code_shapes

BITS = (("*.weights.num_bits", 3),)


def with_frozen(*settings, log2=False):
    """Return the distribution of a tensor of whose values of each code and bin a quarter is frozen, and its levels."""
    plain, recorded = staged_distribution(*(settings or BITS))
    counts, bins = recorded.code_counts, recorded.quantized_counts
    quarter = replace(recorded, frozen_counts=None if counts is None else counts // 4, frozen_bins=bins // 4)
    bits = next(value for path, value in (settings or BITS) if path.endswith("num_bits"))
    found = distribution(quarter, bits, True, plain.representable)
    return (to_log2(found) if log2 else found), quarter


@pytest.mark.parametrize("log2", [False, True])
def test_the_foot_of_each_bar_is_the_frozen_part(log2):
    found, recorded = with_frozen(log2=log2)
    assert found.level_frozen == pytest.approx(np.full(len(found.levels), 0.25), abs=0.1)
    if not log2:
        on_levels = (found.level_frozen * found.level_counts).sum()
        assert on_levels == pytest.approx(recorded.frozen_counts.sum())
    shapes = content_of(found)
    (levels,), (frozen,) = (shapes_with_role(shapes, Rects, role) for role in ("in_range", "frozen"))
    used = levels.bottom - levels.top > 12
    assert (frozen.bottom == AREA[3]).all()
    ratio = (frozen.bottom - frozen.top) / (levels.bottom - levels.top)
    assert ratio[used] == pytest.approx(0.25, abs=0.1)
    assert frozen_text(found, 1).endswith("% of them frozen")


def test_without_single_levels_the_outline_has_a_frozen_part():
    found, recorded = with_frozen(("*.weights.num_bits", 10))
    assert found.levels is None and found.frozen.sum() == recorded.frozen_bins.sum()
    (frozen,) = shapes_with_role(content_of(found), Area, "frozen")
    assert frozen is not None


def test_nothing_is_drawn_and_explained_without_frozen_weights():
    found, _ = staged_distribution(*BITS)
    shapes = content_of(found)
    assert not shapes_with_role(shapes, Rects, "frozen") and not shapes_with_role(shapes, Area, "frozen")
    assert found.frozen is None and frozen_text(found, 0) == ""
    assert {FROZEN, PENDING} == {entry.key for entry in LEGEND} - {entry.key for entry in legend_entries()}
    assert FROZEN in [entry.key for entry in legend_entries([FROZEN])]


def test_bars_of_codes_have_a_frozen_part():
    codes, counts = np.arange(-4, 4), np.array([0, 8, 40, 80, 80, 40, 8, 0])
    scale = CountScale(80.0, False)
    edge = (codes == -4) | (codes == 3)
    group = code_shapes(AREA, (-4.5, 3.5), scale, codes, counts, edge, 0, METRICS, counts // 2)
    (frozen,) = shapes_with_role(group.shapes, Rects, "frozen")
    heights = frozen.bottom - frozen.top
    assert heights == pytest.approx((AREA[3] - AREA[1]) * counts[1:-1] / 160, rel=0.05)
