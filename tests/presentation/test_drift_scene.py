"""Pictures and sentences of drift, channels and feature maps."""

import numpy as np
import pytest

from qatviz.analysis.channels import channel_ranges, screened
from qatviz.analysis.drift import Drift, FeatureMaps, LayerDrift, PartError
from qatviz.presentation.channels import (
    ChannelsLayout,
    ChannelsView,
    channels_values,
    overview_text,
    place_text,
    sorted_rows,
)
from qatviz.presentation.drift import DriftLayout, drift_table, layer_text, start_text
from qatviz.presentation.feature_maps import COLORS, map_colors, map_shapes, maps_help, maps_scene, maps_values
from qatviz.presentation.palette import DARK
from qatviz.presentation.scene import Image, Line, Rects, Text, estimated_metrics
from qatviz.settings import quantizer_settings

METRICS = estimated_metrics(10.0, 6.0)


def layer(name, own_db, inherited_db):
    own, inherited = (10 ** (-value / 10) for value in (own_db, inherited_db))
    parts = (PartError(own, 0.9), PartError(inherited, 0.95), PartError(own + inherited, 0.85))
    return LayerDrift(name, "Conv2D", *parts)


def drift(*layers):
    return Drift(layers, 0.125, 1200, 256)


def texts(shapes):
    return [shape.text for shape in shapes if isinstance(shape, Text)]


# Sentences


def test_the_sentence_names_the_layer_where_the_drift_starts():
    text = start_text(drift(layer("a", 40, 99), layer("b", 12, 38), layer("c", 9, 13)))
    assert text.startswith("The drift starts at b, the first layer below 20.0 dB: its SQNR is 12.0 dB")
    assert (
        "99.7 % of the error its own" in text and "c has the largest error of its own, with an SQNR of 9.0 dB" in text
    )


def test_the_sentence_on_a_drift_that_builds_up_names_its_largest_cause():
    text = start_text(drift(layer("a", 24, 99), layer("b", 23, 24), layer("c", 25, 20)))
    assert "builds up" in text and "at c" in text and "Up to there, b has the largest error of its own" in text


def test_sentences_without_a_drift():
    assert "No layer drifts below 20.0 dB: the lowest SQNR" in start_text(drift(layer("a", 40, 99)))
    exact = LayerDrift("a", "Dense", *[PartError(0.0, 1.0)] * 3)
    assert "the same as the network in float" in start_text(drift(exact))


def test_a_row_explains_itself():
    lines = layer_text(layer("a", 30, 20))
    assert lines[0] == "a (Conv2D)" and "SQNR 30.0 dB" in lines[1] and "SQNR 20.0 dB" in lines[2] and len(lines) == 4


# The table of layers


def test_longer_bars_are_larger_errors():
    layout = DriftLayout(drift_table(drift(layer("a", 30, 90), layer("b", 15, 20))), 600.0, METRICS)
    own, inherited = [s for s in layout.row_shapes() if isinstance(s, Rects) and len(s.left) == 2]
    widths = own.right - own.left
    assert widths[1] == pytest.approx(1.5 * widths[0]) and (inherited.right - inherited.left)[0] == 0


def test_rows_are_sorted_by_the_column_at_a_click():
    layers = (layer("a", 30, 20), layer("b", 10, 40), layer("c", 20, 30))
    layout = DriftLayout(drift_table(drift(*layers)), 800.0, METRICS)
    assert layout.column_at(5.0) is None and layout.row_at(layout.height + 1) is None and layout.row_at(1.0) == 0
    found = {layout.column_at(float(x)) for x in range(800)}
    assert found == {None, 0, 1, 2, 3, 4}
    names = {column: [row.layer for row in drift_table(drift(*layers), column).rows] for column in (0, 1)}
    assert names == {0: ["b", "c", "a"], 1: ["a", "c", "b"]}


def test_a_narrow_table_leaves_columns_out_and_keeps_the_total():
    layout = DriftLayout(drift_table(drift(layer("a_layer_with_a_long_name", 30, 20))), 240.0, METRICS)
    titles = texts(layout.header_shapes(2))
    assert "Total (dB) ▾" in titles and "Cosine" not in titles
    assert max(text.x for text in layout.row_shapes() if isinstance(text, Text)) < 240
    assert layout.column_at(239.0) == 2


@pytest.mark.parametrize("width", [240.0, 280.0, 320.0, 600.0])
def test_the_legend_of_the_bars_has_both_parts(width):
    shapes = DriftLayout(drift_table(drift(layer("conv1", 30, 20))), width, METRICS).header_shapes(None)
    parts = {shape.text: shape for shape in shapes if isinstance(shape, Text)}
    own, inherited, total = (parts[text] for text in ("own", "inherited", "Total (dB)"))
    assert own.x + METRICS.width("own") < inherited.x
    assert inherited.x + METRICS.width("inherited") < total.x - METRICS.width("Total (dB)") / 2


# The table of channels


def rows(channels=(4, 8), layer_name="conv"):
    random = np.random.RandomState(0)
    found = []
    for index, number in enumerate(channels):
        tensor = type("T", (), {"name": f"{layer_name}{index}.weights", "num_channels": number})
        values = random.randn(50, number) * (1 + index * (np.arange(number) == 0) * 30)
        found.append(screened(channel_ranges(tensor, values), quantizer_settings("weights", per_channel=False)))
    return found


def test_boxes_reach_from_quartile_to_quartile():
    (row,) = rows((4,))
    layout = ChannelsLayout([row], ChannelsView(), 800.0, METRICS)
    whiskers, boxes = [s for s in layout.row_shapes() if isinstance(s, Rects) and len(s.left) == 4][:2]
    heights, quantiles = boxes.bottom - boxes.top, row.ranges.quantiles
    expected = (quantiles[3] - quantiles[1]) / (quantiles[4] - quantiles[0])
    np.testing.assert_allclose(heights / (whiskers.bottom - whiskers.top), expected, rtol=0.2)


@pytest.mark.parametrize("width, heading", [(900.0, "By channel: minimum, quartiles, maximum"), (500.0, "By channel")])
def test_headings_are_not_cut_and_numbers_have_a_minus_sign(width, heading):
    layout = ChannelsLayout(rows(), ChannelsView(), width, METRICS)
    assert texts(layout.header_shapes(None))[1] == heading
    assert any(text.startswith("−") for text in texts(layout.row_shapes()))
    assert not any(text.startswith("-") for text in texts(layout.row_shapes()))


@pytest.mark.parametrize("width, names", [(800.0, ["depthwise0.weights", "depthwise1.weights"]), (400.0, None)])
def test_names_of_weights_that_are_too_long_still_differ(width, names):
    layout = ChannelsLayout(rows(layer_name="depthwise"), ChannelsView(), width, METRICS)
    shown = [text for text in texts(layout.row_shapes()) if "dep" in text]
    assert shown == (names or ["depthwise0", "depthwise1"])


def test_a_place_is_a_channel_or_a_row():
    found = rows()
    layout = ChannelsLayout(found, ChannelsView(by_range=True), 800.0, METRICS)
    places = [layout.place_at(float(x), layout.row * 1.5) for x in range(800)]
    channels = list(dict.fromkeys(place.channel for place in places if place.channel is not None))
    assert channels == np.argsort(-found[1].ranges.ranges, kind="stable").tolist() and channels[0] == 0
    assert "Robust z-score" in place_text(found[1], 0)[2] and "Channel 0:" in place_text(found[1], 0)[1]
    assert layout.place_at(5.0, 5.0).channel is None and layout.place_at(5.0, 9999.0) is None
    whole = ChannelsLayout(found, ChannelsView(per_layer=True), 800.0, METRICS)
    assert {whole.place_at(float(x), 5.0).channel for x in range(800)} == {None}


def test_many_channels_share_boxes_without_losing_extremes():
    (row,) = rows((3000,))
    layout = ChannelsLayout([row], ChannelsView(), 500.0, METRICS)
    boxes = [shape for shape in layout.row_shapes() if isinstance(shape, Rects)]
    assert sum(len(shape.left) for shape in boxes) < 500
    highest = min(float(shape.top.min()) for shape in boxes)
    assert highest == pytest.approx(3.0, abs=layout.row / 2), "the largest weight reaches the top of its row"


def test_rows_are_sorted_by_measure_and_verdict():
    found = rows()
    assert [row.ranges.tensor for row in sorted_rows(found, 1)] == ["conv1.weights", "conv0.weights"]
    assert sorted_rows(found, 3)[0].ranges.tensor == "conv1.weights" and sorted_rows(found, None) == tuple(found)
    text = overview_text(found)
    assert text.startswith("1 of 2 weight tensors may be hard to quantize, first conv1.weights: Channels share one")
    short = overview_text(found, has_verdict=False)
    assert text.startswith(short[:-1] + ": ") and short.endswith(f"first {found[1].ranges.tensor}.")
    assert "none will be hard" in overview_text(found[:1])


def test_the_values_of_all_channels_are_in_the_table():
    found, table = rows(), channels_values(rows())
    assert {len(column) for column in table.values()} == {12}
    assert table["median"][:4] == found[0].ranges.quantiles[2].tolist()


# Feature maps


def maps(shape, seed=0):
    random = np.random.RandomState(seed)
    in_float = random.randn(*shape).astype(np.float32)
    noise = 0.1 * random.randn(*shape).astype(np.float32)
    noise[..., 2] *= 5
    return FeatureMaps("conv", 7, in_float, in_float + noise, 12)


def test_the_channel_with_the_largest_error_is_drawn_first():
    found = maps((8, 6, 4))
    shapes = map_shapes(found, map_colors(DARK), 500.0, 300.0, METRICS)
    images = [shape for shape in shapes if isinstance(shape, Image)]
    assert len(images) == 3 * 4 and all(image.pixels.shape == (8, 6) for image in images)
    assert texts(shapes)[1].startswith("2: ") and "4 of 4 channels" in texts(shapes)[0]
    values = images[0].pixels.astype(int) - COLORS // 2
    expected = found.in_float[:, :, 2] / np.abs(found.in_float).max() * (COLORS // 2)
    np.testing.assert_allclose(values, expected, atol=0.51)
    assert all(image.right <= 500 and image.bottom <= 300 for image in images)


@pytest.mark.parametrize("shape", [(1, 20, 5), (20, 5)])
def test_sequences_are_one_picture_of_all_channels(shape):
    shapes = map_shapes(maps(shape), map_colors(DARK), 400.0, 200.0, METRICS)
    images = [shape for shape in shapes if isinstance(shape, Image)]
    assert [image.pixels.shape for image in images] == [(5, 20)] * 3


@pytest.mark.parametrize("shape, ends_at_image", [((8, 6, 4), True), ((20, 5), True), ((10,), False)])
def test_the_picture_of_maps_ends_below_the_last_one(shape, ends_at_image):
    found = maps(shape)
    scene = maps_scene(found, DARK, 500.0, 900.0, METRICS)
    lowest = max((s.bottom for s in scene.shapes if isinstance(s, Image)), default=900.0)
    assert lowest <= scene.height == pytest.approx(lowest, abs=10) and (scene.height < 800) == ends_at_image
    assert "conv for held-out example 7" in scene.title and ("SQNR" in maps_help(found)) == (shape == (8, 6, 4))


def test_maps_that_do_not_fit_are_left_out_and_counted():
    shapes = map_shapes(maps((32, 32, 64)), map_colors(DARK), 260.0, 140.0, METRICS)
    images = [shape for shape in shapes if isinstance(shape, Image)]
    assert 0 < len(images) < 3 * 64 and max(image.bottom for image in images) <= 140


@pytest.mark.parametrize("width", [500.0, 300.0, 240.0])
def test_the_title_of_maps_is_as_long_as_there_is_room(width):
    title = texts(map_shapes(maps((32, 32, 64)), map_colors(DARK), width, 140.0, METRICS))[0]
    assert "float, quantized, difference × " in title and METRICS.width(title) <= width and "…" not in title
    assert title.endswith("of 64 channels") == (width == 500.0)


def test_a_vector_is_drawn_as_lines():
    found = maps((10,))
    shapes = map_shapes(found, map_colors(DARK), 400.0, 200.0, METRICS)
    in_float, quantized = [shape for shape in shapes if isinstance(shape, Line)]
    spans = [float(np.ptp(line.y)) for line in (in_float, quantized)]
    assert spans[0] / spans[1] == pytest.approx(np.ptp(found.in_float) / np.ptp(found.quantized), rel=1e-4)
    table = maps_values(found)
    assert table["unit"] == list(range(10)) and table["quantized"] == found.quantized.tolist()


def test_the_colour_of_zero_is_that_of_the_background():
    colors = map_colors(DARK)
    assert colors.shape == (COLORS, 4) and tuple(colors[COLORS // 2, :3]) == tuple(bytes.fromhex(DARK.base[1:]))


def test_values_that_are_not_finite_are_drawn_as_zero():
    found = maps((4, 4, 3))
    broken = FeatureMaps("conv", 0, np.where(found.in_float > 1, np.nan, found.in_float), found.quantized, 0)
    assert [shape for shape in map_shapes(broken, map_colors(DARK), 400.0, 200.0, METRICS) if isinstance(shape, Image)]
