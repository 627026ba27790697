"""Section of a report on the network on a chip."""

import math
from typing import List, Union

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.measures import MEASURES
from qatviz.number_format import bytes_text, duration_text, percent_text, si
from qatviz.presentation.buffer_timeline import BufferTimeline
from qatviz.presentation.chip_texts import facts, source_lines, sources_text, status_text
from qatviz.presentation.scene import SMALL, Scene
from qatviz.report.markup import Markup, element, join
from qatviz.report.svg import FONTS, svg
from qatviz.report.tables import Head, scrolling, table

#: Size of the picture, px.
_WIDTH, _HEIGHT = 760.0, 300.0
#: Columns of numbers, with their meaning.
_NUMBERS = (
    ("MACs", "Multiplications with additions"),
    ("Cycles", MEASURES["cycles"].help),
    ("Time", MEASURES["chip_ms"].help),
    ("Of all cycles", ""),
    ("Buffers", MEASURES["buffers"].help),
)


def section(found: ChipEstimate) -> Markup:
    """Return flash, RAM and time, the timeline of buffers, and the cost of each layer."""
    rows = [[fact.name, fact.value, fact.help] for fact in facts(found)]
    return join(
        element("p", f"An estimate for {found.target.label}, such as {found.target.example}."),
        table(f"The network on {found.target.part}", ["", "Estimate", "Meaning"], rows),
        scrolling("Buffers in the arena by operation", _picture(found)),
        _layers(found),
        element("p", sources_text(found.target)),
        element("ul", [element("li", source) for source in source_lines(found.target)]),
    )


def _picture(found: ChipEstimate) -> Markup:
    shapes = BufferTimeline(found, _WIDTH, _HEIGHT, FONTS[SMALL]).shapes()
    texts = "; ".join(f"{place.name}: {bytes_text(place.nbytes)}" for place in found.arena.places)
    title = f"Arena: {status_text(found)}"
    return svg(Scene(_WIDTH, _HEIGHT, shapes, title, texts), "chart buffers")


def _layers(found: ChipEstimate) -> Markup:
    heads: List[Union[str, Head]] = ["Layer", "Operations"]
    heads += [Head(text, about, True) for text, about in _NUMBERS]
    is_known = not math.isnan(found.cycles)
    rows = [
        [
            layer.layer,
            ", ".join(dict.fromkeys(layer.operations)),
            si(layer.macs),
            si(layer.cycles),
            duration_text(found.target.seconds(layer.cycles)),
            percent_text(layer.cycles / found.cycles if is_known and found.cycles else None),
            bytes_text(layer.ram) + (" (peak)" if layer.layer == found.peak_layer else ""),
        ]
        for layer in found.layers
    ]
    return table("Cost of each layer for one example", heads, rows)
