"""Sections of a report on the errors of the layers, and on the channels of the weights."""
# Apart from the other sections: a report has them only if their results are known.

from typing import List

from qatviz.analysis.channels import SCREENED, RunChannels
from qatviz.analysis.drift import FeatureMaps, RunDrift
from qatviz.measures import MEASURES
from qatviz.presentation.channels import ChannelsLayout, ChannelsView, overview_text
from qatviz.presentation.drift import DriftLayout, drift_table, drift_title, layer_text, start_text
from qatviz.presentation.feature_maps import maps_help, maps_scene
from qatviz.presentation.palette import DARK, LIGHT
from qatviz.presentation.rows_layout import RowsLayout
from qatviz.presentation.scene import SMALL, Image, Scene, Shape
from qatviz.report.markup import Markup, element, join
from qatviz.report.svg import FONTS, svg
from qatviz.report.tables import scrolling

#: Width of a picture, and largest height of that of feature maps, px.
_WIDTH, _MAPS = 860.0, 420.0

#: Palettes, with the classes of what is shown in one of them only.
_PALETTES = (("in-light", LIGHT), ("in-dark", DARK))


def drift_section(found: RunDrift) -> Markup:
    """Return where the drift starts, the picture of all layers, how to read it, and the feature maps if known."""
    drift = found.drift
    title = drift_title(drift)
    about = (
        f"{title[0].upper()}{title[1:]}. A layer's own error is what its quantizers add, for the inputs of the network "
        "in float; its inherited error is that of its inputs in the quantized network, as it passes through the layer "
        f"in float. Longer bars are larger errors. {MEASURES['sqnr_db'].help}"
    )
    layout = DriftLayout(drift_table(drift), _WIDTH, FONTS[SMALL])
    texts = ["; ".join(layer_text(layer)) for layer in drift.layers]
    picture = _picture(layout, f"Errors of {len(drift.layers)} layers", ". ".join(texts))
    return join(
        element("p", start_text(drift)),
        element("p", about),
        scrolling("Errors of the layers", picture),
        None if found.maps is None else _feature_maps(found.maps),
    )


def _feature_maps(maps: FeatureMaps) -> Markup:
    """Return the feature maps of a layer, in the colours of both palettes if they are images: the style shows one."""
    scenes = [(style, maps_scene(maps, palette, _WIDTH, _MAPS, FONTS[SMALL])) for style, palette in _PALETTES]
    pictures = [svg(scene, f"chart {style}") for style, scene in scenes]
    has_images = any(isinstance(shape, Image) for shape in scenes[0][1].shapes)
    return join(
        element("h3", f"Output of {maps.layer}"),
        element("p", f"Held-out example {maps.example:,}, at step {maps.step:,}. {maps_help(maps)}"),
        scrolling(scenes[0][1].title, join(pictures) if has_images else svg(scenes[0][1], "chart")),
    )


def channels_section(found: RunChannels) -> Markup:
    """Return which weights are hard to quantize, the picture of all channels, and how to read it."""
    helps = " ".join(f"{MEASURES[name].label}: {MEASURES[name].help}" for name in SCREENED)
    about = f"Weights at step {found.step:,}, batch norm folded in: minimum, quartiles and maximum of channels. {helps}"
    layout = ChannelsLayout(found.tensors, ChannelsView(), _WIDTH, FONTS[SMALL])
    texts = [f"{row.ranges.tensor}: {row.verdict.text}" for row in found.tensors]
    picture = _picture(layout, f"Channels of {len(found.tensors)} weight tensors", " ".join(texts))
    return join(
        element("p", overview_text(found.tensors)), element("p", about), scrolling("Channels of the weights", picture)
    )


def _picture(layout: RowsLayout, title: str, description: str) -> Markup:
    rows: List[Shape] = [*layout.header_shapes(None), *layout.row_shapes(top=layout.head)]
    return svg(Scene(_WIDTH, layout.height + layout.head, rows, title, description), "chart rows")
