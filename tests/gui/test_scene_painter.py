"""Scenes painted with Qt, read back from the pixels."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.figures.figure import save_svg
from qatviz.gui.widgets.scene_painter import polygon, scene_painter
from qatviz.gui.widgets.theme import DARK, LIGHT, Theme
from qatviz.presentation.scene import (
    DASHED,
    END,
    MIDDLE,
    SMALL,
    START,
    TITLE,
    Area,
    Band,
    Curves,
    Fill,
    Group,
    Image,
    Line,
    Stroke,
    Text,
    rects,
    segments,
)

SIZE = 100
STEPS = np.arange(101.0)


@pytest.fixture
def theme(app):
    return Theme(DARK)


def painted(theme, *shapes):
    """RGB of the pixels, ``[100, 100, 3]``, on black."""
    image = QtGui.QImage(SIZE, SIZE, QtGui.QImage.Format_RGB32)
    image.fill(QtGui.QColor("black"))
    painter = QtGui.QPainter(image)
    scene_painter(theme, QtGui.QFont()).paint(painter, shapes)
    painter.end()
    pixels = np.frombuffer(image.constBits().asarray(4 * SIZE * SIZE), np.uint8).reshape(SIZE, SIZE, 4)
    return pixels[:, :, 2::-1].astype(int)


def rgb(theme, role):
    return list(theme.color(role).getRgb()[:3])


def rows(pixels, column):
    return np.flatnonzero(pixels[:, column].any(axis=1))


def test_a_polygon_has_the_given_points():
    shape = polygon(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert [(point.x(), point.y()) for point in shape] == [(1, 4), (2, 5), (3, 6)]
    assert len(polygon(np.zeros(0), np.zeros(0))) == 0


def test_a_line_is_where_its_points_are_and_interrupted_by_nan(theme):
    y = np.full(101, 75.0)
    y[40:60] = np.nan
    pixels = painted(theme, Line(STEPS, y, Stroke("bad", 2.0)))
    assert all(rows(pixels, column).tolist() == [75, 76] for column in (5, 30, 70, 95))
    assert not any(len(rows(pixels, column)) for column in range(42, 58))
    assert pixels[75, 5].tolist() == rgb(theme, "bad")


def test_dots_are_marked_and_a_point_between_gaps_always_is(theme):
    y = np.full(101, np.nan)
    y[50] = 40.0
    assert len(rows(painted(theme, Line(STEPS, y, Stroke("bad"))), 50)) >= 3
    assert len(rows(painted(theme, Line(STEPS, np.full(101, 40.0), Stroke("bad"), True)), 50)) >= 3


def test_a_band_is_filled_from_top_to_bottom_up_to_a_gap(theme):
    bottom = np.full(101, 80.0)
    bottom[45:56] = np.nan
    pixels = painted(theme, Band(STEPS, np.full(101, 10.0), bottom, Fill("in_range", 0.5)))
    for column in (10, 30, 90):
        found = rows(pixels, column)
        assert abs(found.min() - 10) <= 1 and abs(found.max() - 80) <= 1 and len(found) >= 69
    assert not len(rows(pixels, 50))


def test_shapes_outside_a_clip_are_not_painted(theme):
    line = Line(STEPS, np.linspace(-4000, 4000, 101), Stroke("bad"))
    pixels = painted(theme, Group([line], (20.0, 30.0, 80.0, 70.0)))
    found = np.argwhere(pixels.any(axis=2))
    assert len(found) and found.min(axis=0).tolist() >= [30, 20] and found.max(axis=0).tolist() <= [70, 80]


def test_areas_and_rectangles_cover_whole_pixels(theme):
    square = Area(np.array([10.2, 10.2, 19.8, 19.8]), np.array([10.2, 19.8, 19.8, 10.2]), Fill("good"))
    pixels = painted(theme, square, rects([30, 50.4], 10, [39.6, 60.4], 20, Fill("bad")))
    assert np.count_nonzero((pixels == rgb(theme, "good")).all(axis=2)) == 100
    assert np.count_nonzero((pixels == rgb(theme, "bad")).all(axis=2)) == 200
    round_ = painted(theme, rects(10, 10, 40, 40, Fill("good"))._replace(radius=10.0))
    assert round_[25, 25].tolist() == rgb(theme, "good") and not round_[10, 10].any()


def test_segments_join_their_ends_dashed_or_not(theme):
    solid = painted(theme, segments(0, 50, 100, 50, Stroke("text")))
    dashed = painted(theme, segments(0, 50, 100, 50, Stroke("text", 1.0, DASHED)))
    counts = [np.count_nonzero(pixels[50].any(axis=1)) for pixels in (solid, dashed)]
    assert counts[0] == SIZE and 0.5 * SIZE < counts[1] < 0.8 * SIZE


def test_curves_begin_and_end_along_the_flow(theme):
    route = np.array([[20.0, 10], [20, 30], [60, 80]])
    pixels = painted(theme, Curves([route], True, Stroke("text", 2.0)))
    assert all(pixels[y, 20].any() for y in (12, 20, 28)) and pixels[78, 59:62].any()
    assert pixels[55, 40].any(), "half way"


def test_an_image_shows_the_colours_of_its_numbers(theme):
    colors = np.array([[0, 0, 0, 0], [255, 0, 0, 255], [0, 255, 0, 255]], np.uint8)
    pixels = painted(theme, Image(10.0, 10.0, 30.0, 20.0, np.array([[0, 1], [2, 0]], np.uint8), colors))
    assert pixels[12, 25].tolist() == [255, 0, 0] and pixels[17, 15].tolist() == [0, 255, 0]
    assert not pixels[12, 15].any() and not pixels[30, 30].any()


def test_texts_are_anchored(theme):
    columns = []
    for anchor in (START, MIDDLE, END):
        pixels = painted(theme, Text(50.0, 50.0, "HHHH", "text", anchor))
        columns.append(np.flatnonzero(pixels.any(axis=(0, 2))))
        assert np.flatnonzero(pixels.any(axis=(1, 2))).max() < 50
    assert columns[0].min() >= 50 and columns[2].max() <= 50
    assert abs((columns[1].min() + columns[1].max()) / 2 - 50) <= 1.5


def test_text_metrics_match_the_fonts(theme):
    painter = scene_painter(theme, QtGui.QFont())
    assert painter.metrics[SMALL].height < painter.metrics[TITLE].height
    assert painter.metrics[TITLE].width("conv1") == QtGui.QFontMetrics(painter.fonts[TITLE]).horizontalAdvance("conv1")
    metrics = painter.metrics[SMALL]
    cut = metrics.elided("block_13_expand.weights", 80.0, True)
    assert metrics.width(cut) <= 80 and cut.startswith("bl") and cut.endswith("ts") and "…" in cut
    assert metrics.elided("conv1", 80.0) == "conv1" and metrics.elided("conv1", 0.0) == "…"


def test_another_theme_has_another_painter(theme):
    first = scene_painter(theme, QtGui.QFont())
    assert scene_painter(theme, QtGui.QFont()) is first
    theme.name = LIGHT
    assert scene_painter(theme, QtGui.QFont()) is not first


class Picture(QtWidgets.QWidget):
    """Two groups that are clipped."""

    def paintEvent(self, event):
        lines = [Line(STEPS, np.full(101, 50.0), Stroke("bad"))]
        clips = ((20.0, 30.0, 80.0, 70.0), (0.0, 0.0, 10.0, 100.0))
        groups = [Group(lines, clip) for clip in clips]
        scene_painter(Theme(DARK), self.font()).paint(QtGui.QPainter(self), groups)


def test_a_figure_in_svg_is_clipped_too(app, tmp_path):
    widget = Picture()
    save_svg(widget, tmp_path / "figure.svg", QtCore.QSize(100, 100))
    text = (tmp_path / "figure.svg").read_text()
    assert text.count("<clipPath") == text.count('<g clip-path="url(#clip') == 2 and "#02c1" not in text
    assert 'width="60" height="40"' in text and text.count("<polyline") == 2
    widget.deleteLater()
