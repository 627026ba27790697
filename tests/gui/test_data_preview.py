"""Examples and counts of a data set in the New run dialog: the painted pixels match the data."""

import numpy as np
import pytest
from new_run_stage import DIGITS, info_of
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.data import from_arrays
from qatviz.data.inputs import from_inputs
from qatviz.gui.dialogs.new_run.data_preview import DataPreview
from qatviz.gui.dialogs.new_run.sample_grid import heat_table, picture
from qatviz.gui.widgets.theme import DARK, LIGHT, Theme
from qatviz.presentation.previews import GREY, RGB, ROWS, data_info
from qatviz.presentation.scene import Rects, Text


@pytest.fixture
def preview(context, show):
    return show(DataPreview(context.theme), 700, 300)


def colors_of(image):
    """The colours of an image, uint8 ``[height, width, 3]``."""
    image = image.convertToFormat(QtGui.QImage.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asstring(image.byteCount()), np.uint8)
    width, height = image.width(), image.height()
    return pixels.reshape(height, -1)[:, : 4 * width].reshape(height, width, 4)[..., 2::-1]


@pytest.mark.parametrize("shape", [(28, 28), (5, 7), (3, 1), (9, 10, 3), (1, 3, 3)])
def test_pictures_have_the_pixels_of_the_examples(app, shape):
    sample = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    kind = RGB if len(shape) == 3 else GREY
    expected = sample if kind == RGB else np.repeat(sample[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(colors_of(picture(sample, kind)), expected)


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_strips_use_the_whole_colour_table_in_order_of_brightness(app, name):
    table = heat_table(Theme(name))
    strip = colors_of(picture(np.arange(256, dtype=np.uint8), ROWS, table))
    assert [QtGui.qRgb(*map(int, color)) for color in strip[0]] == table
    brightness = strip[0].astype(int).sum(axis=1)
    steps = np.diff(brightness)
    assert (steps >= -1).all() or (steps <= 1).all()
    assert abs(brightness[-1] - brightness[0]) > 100


def test_a_preview_without_data_shows_the_reason(preview):
    preview.show_info(None, "Reading the data…")
    assert preview.empty.text() == "Reading the data…" and preview.empty.isVisible()
    assert not preview.plot.isVisible() and preview.grid.shown == ()
    preview.show_info(DIGITS, "")
    assert not preview.empty.isVisible() and preview.plot.isVisible()
    assert preview.grid.shown[:10] == tuple("0123456789")
    assert preview.about.text() == (
        "digits: 28×28×1, 10 classes, 4,000 training + 1,000 test examples\nuint8 from 0 to 255, fed as x / 255"
    )


@pytest.mark.parametrize("size", [(320, 180), (700, 300), (1200, 500), (240, 130)])
@pytest.mark.parametrize(
    "info",
    [
        DIGITS,
        info_of((20, 60, 3)),
        info_of((64, 8, 1)),
        info_of((13,), 3, 30, 9),
        info_of((5,), 1, 30, 9, task="regression"),
    ],
    ids=["digits", "wide", "tall", "rows", "targets"],
)
def test_examples_and_captions_lie_within_the_widget_and_apart(context, show, info, size):
    grid = show(DataPreview(context.theme), *size).grid
    grid.resize(*size)
    grid.show_info(info)
    places = grid._places()
    assert places and len(grid.shown) == len(places)
    room = grid.rect().adjusted(-4, 0, 4, 1)
    for index, (spot, below) in enumerate(places):
        assert room.contains(spot) and room.contains(below) and not spot.isEmpty()
        for other, _ in places[:index]:
            assert not spot.intersects(other)
    if info.kind != ROWS:  # as wide to high as the example, but for whole pixels
        spot = places[0][0]
        assert abs(spot.width() / spot.height() - info.samples.shape[2] / info.samples.shape[1]) < 0.25 * max(
            1, info.samples.shape[2] / info.samples.shape[1]
        )


def test_each_example_is_painted_at_its_place(context, show):
    """One example is checkered, the other plain."""
    x = np.zeros((8, 6, 6, 1), np.uint8)
    x[::2, ::2, ::2] = 255
    data = from_arrays("boards", "a test", (x, np.arange(8) % 2), (x, np.arange(8) % 2))
    preview = show(DataPreview(context.theme), 700, 300)
    preview.show_info(data_info(data), "")
    image = preview.grid.grab().toImage()
    ratio = image.width() / preview.grid.width()
    for (spot, _), caption in zip(preview.grid._places(), preview.grid.shown):
        inner = spot.adjusted(2, 2, -2, -2)
        levels = {
            QtGui.QColor(image.pixel(int(px * ratio), int(py * ratio))).value()
            for px in range(inner.left(), inner.right())
            for py in range(inner.top(), inner.bottom())
        }
        assert (max(levels) > 200) == (caption == "0") and min(levels) < 50


@pytest.mark.parametrize("classes, lies", [(10, False), (3, True), (14, True), (40, False)])
def test_bars_have_the_lengths_of_the_counts(preview, classes, lies):
    names = tuple(f"class {index}" for index in range(classes)) if lies else tuple(map(str, range(classes)))
    info = info_of(classes=classes)._replace(
        groups=names, train_counts=np.arange(classes) * 7, test_counts=np.arange(classes)
    )
    preview.show_info(info, "")
    train, test = (shape for shape in preview.plot.shapes(False) if isinstance(shape, Rects))
    lengths = [bars.right - bars.left if lies else bars.bottom - bars.top for bars in (train, test)]
    per_count = lengths[0].max() / info.train_counts.max()
    for length, counts in zip(lengths, (info.train_counts, info.test_counts)):
        np.testing.assert_allclose(length, np.where(counts > 0, np.maximum(counts * per_count, 2.0), 0.0))
    texts = [shape.text for shape in preview.plot.shapes(False) if isinstance(shape, Text)]
    shown = [name for name in names if name in texts]
    assert shown == list(names) if classes <= 14 else 3 <= len(shown) <= 6
    table = preview.plot.table()
    assert table["group"].tolist() == list(names) and table["training"].tolist() == info.train_counts.tolist()


def test_targets_have_a_histogram_with_their_values_below(preview):
    preview.show_info(info_of((5,), 1, 30, 9, task="regression"), "")
    texts = [shape.text for shape in preview.plot.shapes(False) if isinstance(shape, Text)]
    assert texts[-3:] == ["0", "1", "2"] and "by target" in preview.key.text()


def test_an_elided_class_name_is_in_the_tooltip(preview, app, monkeypatch):
    names = tuple(f"a class with a long name {index}" for index in range(10))
    preview.show_info(DIGITS._replace(captions=tuple(names[index % 10] for index in range(32))), "")
    told = []
    monkeypatch.setattr(QtWidgets.QToolTip, "showText", lambda place, text, widget: told.append(text))
    spot = preview.grid._places()[3][0]
    event = QtGui.QHelpEvent(QtCore.QEvent.ToolTip, spot.center(), preview.grid.mapToGlobal(spot.center()))
    QtWidgets.QApplication.sendEvent(preview.grid, event)
    assert told == [names[3]]


def test_data_sets_are_shown_one_after_another(preview):
    named = info_of(classes=3)._replace(groups=("long name", "other name", "third"))
    for info in (DIGITS, info_of((13,), 3, 30, 9), named, DIGITS):
        preview.show_info(info, "")
        preview.grab()
        assert preview.grid.shown == info.captions[: len(preview.grid.shown)]


def test_each_input_has_a_tab_with_its_shape_and_pictures(preview):
    random = np.random.RandomState(3)
    images = random.randint(0, 256, (60, 6, 5, 3)).astype(np.uint8)
    depths, rows = random.rand(60, 4, 4, 1).astype(np.float32), np.arange(120, dtype=np.float32).reshape(60, 2)
    examples = {"image": images, "depth": depths, "row": rows}
    info = data_info(from_inputs("pair", "made", (examples, np.arange(60) % 3), validation_fraction=0.25))
    assert [each.kind for each in info.inputs] == [GREY, RGB, ROWS]
    assert info.describe().startswith("depth 4×4×1 + image 6×5×3 + row 2 features, 3 classes")
    preview.show_info(info, "")
    tabs = preview.inputs
    assert tabs.isVisible() and [tabs.tabText(i) for i in range(3)] == ["depth 4×4×1", "image 6×5×3", "row 2 features"]
    assert "fed as depth: x; image: x / 255; row: x" in preview.about.text()
    captions = preview.grid.shown
    shown = {}
    for index, each in enumerate(info.inputs):
        tabs.setCurrentIndex(index)
        shown[each.name] = [colors_of(pixmap.toImage()) for pixmap in preview.grid._pixmaps]
        assert preview.grid.shown[:3] == captions[:3]
    originals = {image.tobytes() for image in images}
    assert len(shown["image"]) == 32 and all(image.tobytes() in originals for image in shown["image"])
    assert shown["depth"][0].shape == (4, 4, 3) and shown["row"][0].shape == (1, 2, 3)
    preview.show_info(DIGITS, "")
    assert not tabs.isVisible() and tabs.count() == 0 and len(preview.grid._pixmaps) == len(DIGITS.samples)
