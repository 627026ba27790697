"""Histogram of a tensor at a snapshot, with its axis and description."""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.distribution import Distribution, distribution, extent
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import si
from qatviz.presentation.histogram import (
    FROZEN,
    SAMPLE_SIZE,
    HistogramScene,
    HistogramView,
    legend_entries,
    sample,
    top_count,
)
from qatviz.presentation.scene import SMALL, Scene
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.report.markup import Markup, element
from qatviz.report.svg import FONTS, shapes_markup, svg

#: Size of the picture, and margins of the plot, px.
SIZE = (346.0, 150.0)
SIDE, TOP, BOTTOM = 8.0, 6.0, 17.0
#: Margin beside the values, relative to their range.
_ROOM = 0.02
#: Maximum ratio of a common axis to the narrower of two distributions.
COMMON_UP_TO = 4.0
_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}


class Shown(NamedTuple):
    """Distribution of a tensor at a snapshot, extent of its axis, and description."""

    distribution: Distribution
    extent: Tuple[float, float]
    words: str


def shown_at(snapshot: Snapshot, tensor: QuantizedTensor, index: int) -> Optional[Shown]:
    """Return the distribution of a tensor, ``index`` in the plan; None if its values are not finite."""
    histogram = snapshot.histograms[tensor.name]
    measure = {name: float(snapshot.values[row, index]) for name, row in _ROW.items()}
    if not np.isfinite(histogram.edges).all():
        return None
    is_on, ends = snapshot.enabled[index], (measure["range_min"], measure["range_max"])
    found = distribution(histogram, snapshot.num_bits[index], is_on, ends, measure["clipped"], measure["flushed"])
    low, high = extent(histogram, ends if is_on else None)
    if not high > low:  # all values are one
        room = abs(low) / 2 or 0.5
        low, high = low - room, high + room
    counted, sampled = int(histogram.float_counts.sum()), histogram.sample
    number = f"{counted:,}" if sampled is None else f"sample of {sampled:,} of {histogram.size:,}"
    words = f"{number} values from {si(histogram.edges[0])} to {si(histogram.edges[-1])}"
    if not is_on:
        return Shown(found, (low, high), words + "; in float")
    grid = f"{snapshot.num_bits[index]} bits, representable {si(ends[0])} to {si(ends[1])}"
    error = f"{MEASURES['sqnr_db'].text(measure['sqnr_db'])}; " + ", ".join(
        f"{MEASURES[key].text(measure[key])} {MEASURES[key].name}" for key in ("clipped", "flushed")
    )
    frozen = measure["frozen_weights"]
    if frozen > 0:
        error += f"; {MEASURES['frozen_weights'].text(frozen)} frozen"
    return Shown(found, (low, high), "; ".join((words, grid, error)))


def common_axis(first: Tuple[float, float], last: Tuple[float, float]) -> Optional[Tuple[float, float]]:
    """Return a common axis; None if one of the distributions would be too narrow on it."""
    low, high = min(first[0], last[0]), max(first[1], last[1])
    narrow = min(first[1] - first[0], last[1] - last[0])
    return (low, high) if high - low <= COMMON_UP_TO * narrow else None


def histogram(shown: Shown, title: str, axis: Optional[Tuple[float, float]] = None) -> Markup:
    """Return the histogram's picture; ``axis`` is the shown range of values."""
    low, high = shown.extent if axis is None else axis
    room = _ROOM * (high - low)
    view = HistogramView(low - room, high + room, top_count(shown.distribution, False))
    width, height = SIZE
    area = SIDE, TOP, width - SIDE, height - BOTTOM
    scene, metrics = HistogramScene(area, shown.distribution, view), FONTS[SMALL]
    shapes = [*scene.axis(metrics, (0.0, width)), scene.content(metrics)]
    return svg(Scene(width, height, shapes, title, shown.words), "histogram")


def legend(snapshots: Sequence[Optional[Snapshot]]) -> Markup:
    """Return the legend of the histograms of ``snapshots``, with samples of the shapes."""
    shown = [known for snapshot in snapshots if snapshot is not None for known in snapshot.histograms.values()]
    has_frozen = any(known.frozen_bins is not None for known in shown)
    width, height = SAMPLE_SIZE
    entries = [
        element(
            "span",
            element(
                "svg", shapes_markup(sample(entry.key)), class_="key", width=width, height=height, aria_hidden="true"
            ),
            element("abbr", entry.label, title=entry.about),
        )
        for entry in legend_entries([FROZEN] if has_frozen else [])
    ]
    return element("p", entries, class_="legend")
