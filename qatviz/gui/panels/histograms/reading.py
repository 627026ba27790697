"""Texts and data of a tile: hover tooltip, description for assistive technology, table."""

from typing import Dict

import numpy as np

from qatviz.analysis.distribution import Distribution
from qatviz.gui.panels.histograms.tile import TileContent
from qatviz.measures import MEASURES
from qatviz.number_format import si
from qatviz.presentation.histogram import frozen_text


def reading(content: TileContent, x: float) -> str:
    """Return the tooltip for the bin at ``x`` (on the tile's axis): its ends and its number of values."""
    shown = content.shown
    lines = [f"{content.name}  ({content.badge.text})"]
    index = int(np.searchsorted(shown.edges, x, side="right")) - 1
    if 0 <= index < len(shown.counts):
        total = shown.counts.sum()
        of = f"{'a sample of ' if shown.sample is not None else ''}{total:,.0f} values"
        lines.append(f"{_extent(shown, index)}: {shown.counts[index]:,.0f} of {of}")
        for key, counts in (("clipped", shown.clipped), ("flushed", shown.flushed)):
            if counts[index] >= 0.5:
                lines.append(f"about {counts[index]:,.0f} of them {MEASURES[key].name}")
    levels, level_counts = shown.levels, shown.level_counts
    if levels is not None and level_counts is not None and len(levels):
        nearest = int(np.argmin(np.abs(levels - x)))
        level = f"level {_level(shown, levels[nearest])}"
        if shown.level_bands is not None:
            low, high = shown.level_bands[nearest]
            level = f"levels {si(low, 4)} to {si(high, 4)} by channel"
        lines.append(f"{level}: {level_counts[nearest]:,.0f} values{frozen_text(shown, nearest)}")
    elif shown.representable is not None and 0 <= index < len(shown.counts):
        lines.append(f"quantized: {shown.quantized[index]:,.0f} values")
    if shown.representable is not None and not shown.is_log2:
        lines.append(f"representable: {si(shown.representable[0], 4)} to {si(shown.representable[1], 4)}")
    if content.pending is not None:
        lines.append(f"pending {content.pending.text}")
    return "\n".join(lines)


def _extent(shown: Distribution, index: int) -> str:
    low, high = shown.edges[index : index + 2]
    if not shown.is_log2:
        return f"{si(low, 4)} to {si(high, 4)}"
    if index == 0:
        return f"|value| below {si(2.0**high, 4)}"
    return f"|value| {si(2.0**low, 4)} to {si(2.0**high, 4)}"


def _level(shown: Distribution, level: float) -> str:
    if not shown.is_log2:
        return si(level, 4)
    return "0" if level < shown.edges[1] else "±" + si(2.0**level, 4)


def sentence(content: TileContent) -> str:
    """Return a sentence that describes the tile."""
    return ", ".join((content.name, content.badge.text, *content.readout))


def columns(content: TileContent) -> Dict[str, np.ndarray]:
    """Return the plotted data by column: the bins, then the levels if they are known."""
    shown, axis = content.shown, "log2_value" if content.shown.is_log2 else "value"
    table = {
        axis + "_from": shown.edges[:-1],
        axis + "_to": shown.edges[1:],
        "float": shown.counts,
        "clipped": shown.clipped,
        "flushed": shown.flushed,
        "quantized": shown.quantized,
    }
    if shown.levels is not None:
        table.update({"level_" + axis: shown.levels, "level_count": shown.level_counts})
    if shown.level_frozen is not None:
        table["level_frozen"] = shown.level_frozen
    return table
