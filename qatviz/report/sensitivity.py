"""Section of a report on the sensitivity of the run to the quantization of each tensor."""

from typing import List

from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.presentation.color_bar import bar_texts, color_bar
from qatviz.presentation.scene import SMALL, Scene, Shape
from qatviz.presentation.sensitivity import DIVERGENCE, SensitivityLayout, sensitivity_table
from qatviz.report.markup import Markup, element, join
from qatviz.report.run_data import RunData
from qatviz.report.svg import FONTS, shapes_markup, svg
from qatviz.report.tables import scrolling

#: Width of the picture, and size of the colour bar, px.
_WIDTH, _LEGEND_SIZE = 760.0, (420.0, 19.0)


def section(run: RunData, found: RunSensitivity) -> Markup:
    """Return the picture of the table with its colour bar, and how to read it."""
    estimated = found.estimated
    about = (
        f"Estimated divergence of the outputs if only this tensor is quantized, by number of bits, at step "
        f"{estimated.step:,} on {estimated.examples:,} held-out examples. The frame "
        f"marks the bits in effect. {DIVERGENCE.help}"
    )
    measured = found.measured
    more = (
        ""
        if measured is None
        else (
            f"Alone and all but it: measured on {measured.examples:,} held-out examples with only this tensor "
            "quantized, and with all but it, under the settings of the run."
        )
    )
    return join(
        element("p", about),
        element("p", more) if more else None,
        element("p", _legend()),
        scrolling("Sensitivity by tensor and number of bits", _picture(run, found)),
    )


def _picture(run: RunData, found: RunSensitivity) -> Markup:
    bits = {name: run.book.of(name).num_bits if run.is_active(name) else None for name in found.estimated.tensors}
    table = sensitivity_table(found.estimated, found.measured, bits)
    places = SensitivityLayout(table, _WIDTH, FONTS[SMALL])
    rows: List[Shape] = [*places.header_shapes(None), *places.row_shapes(top=places.row)]
    texts = [
        f"{name}: "
        + ", ".join(f"{title} {DIVERGENCE.text(float(value))}" for title, value in zip(table.titles, values))
        for name, values in zip(table.names, table.values)
    ]
    title = f"Sensitivity of {len(table.names)} tensors"
    return svg(Scene(_WIDTH, places.height + places.row, rows, title, "; ".join(texts)), "chart sensitivity")


def _legend() -> Markup:
    width, height = _LEGEND_SIZE
    content = shapes_markup(color_bar(DIVERGENCE, width, height, FONTS[SMALL]))
    words = f"Colours of the divergence, from good to bad: {' to '.join(bar_texts(DIVERGENCE))}"
    return element("svg", content, width=width, height=height, role="img", aria_label=words, class_="key scale")
