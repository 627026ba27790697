"""Saving and copying figures: pictures, numbers, the dialog, and failures."""

import csv
import os
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from window_stage import draw

from qatviz.gui.panels.declarations import PANELS
from qatviz.gui.widgets.figures.figure import (
    FigureError,
    FigureMenu,
    caption_of,
    picture,
    save_csv,
    save_png,
    save_svg,
)
from qatviz.gui.widgets.figures.files import FigureStyle
from qatviz.gui.widgets.figures.save_dialog import SaveFigureDialog
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import DARK, LIGHT, Theme
from qatviz.presentation.chart import Curve, Frame, curve_shapes, grid, x_labels
from qatviz.presentation.figure_caption import Caption, caption_strips, legend_item
from qatviz.presentation.scene import Fill, Stroke, estimated_metrics

SIZE = QtCore.QSize(500, 300)
RED, GREEN = "bad", "good"
RANGE = Stroke("range_edge")
INK = {role: Theme(DARK).color(role).name() for role in (RED, GREEN)}


class Plot(SceneWidget):
    """A curve with axes."""

    def __init__(self, theme, name, role=RED):
        super().__init__(theme)
        self.figure_name, self.role, self.numbers = name, role, {}
        self.x_range, self.y_range = (0.0, 4.0), (0.0, 16.0)
        self.menu = FigureMenu(self)

    @property
    def frame(self):
        return Frame(40.0, 5.0, self.width() - 5.0, self.height() - 20.0, self.x_range, self.y_range)

    def shapes(self, is_figure):
        x = np.arange(5.0)
        curve = Curve(x, x**2, None, None, Stroke(self.role, 2.0))
        labels = x_labels(self.frame, self.width(), self.metrics, "loss & more")
        return [*grid(self.frame, False, self.metrics, self.height()), *labels, curve_shapes(self.frame, [curve])]

    def table(self):
        return self.numbers


class Framed(QtWidgets.QWidget):
    """A plot inside a widget with a context, like a panel's."""

    def __init__(self, context):
        super().__init__()
        self.context = context
        self.plot = Plot(context.theme, "loss")
        self.plot.numbers = {"step": np.arange(5), "loss": np.array([0, 1, 4, 9, 16.0])}
        QtWidgets.QVBoxLayout(self).addWidget(self.plot)


@pytest.fixture
def framed(context, show):
    return show(Framed(context), 400, 300)


def ink(image, color=INK[RED]):
    """Return where an image has a colour: bool [height, width]."""
    image = image.convertToFormat(QtGui.QImage.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asarray(image.byteCount()), np.uint32)
    return (pixels.reshape(image.height(), image.width()) & 0xFFFFFF) == int(color[1:], 16)


def dialogs(app, kind):
    return [widget for widget in app.topLevelWidgets() if isinstance(widget, kind) and widget.isVisible()]


def test_a_picture_has_the_given_size_and_the_widget_keeps_its_own(framed):
    before = framed.plot.size()
    image = picture(framed.plot, SIZE)
    assert image.size() == SIZE and framed.plot.size() == before
    _rows, columns = np.nonzero(ink(image))
    assert columns.max() > 460, "the plot was laid out for the size, not stretched or cut"
    assert picture(framed.plot).size() == before


def test_scaled_pictures_have_the_same_layout_and_line_width(framed):
    once, twice = ink(picture(framed.plot, SIZE)), ink(picture(framed.plot, SIZE, 2.0))
    assert twice.shape == (600, 1000)
    assert twice.mean() == pytest.approx(once.mean(), rel=0.15)
    for axis in (0, 1):
        ends = [np.flatnonzero(drawn.any(axis=axis))[[0, -1]] for drawn in (once, twice)]
        np.testing.assert_allclose(ends[1] / 2, ends[0], atol=3)


@pytest.mark.parametrize("scale", [0.0001, 100.0])
def test_a_picture_of_no_or_too_many_pixels_is_refused(framed, scale):
    with pytest.raises(FigureError, match="pixels: expected 1 to"):
        picture(framed.plot, SIZE, scale)


def test_png_is_read_back_as_it_was_drawn(framed, tmp_path):
    save_png(framed.plot, tmp_path / "a.png", SIZE)
    read = QtGui.QImage(str(tmp_path / "a.png"))
    assert read.convertToFormat(QtGui.QImage.Format_RGB32) == picture(framed.plot, SIZE).convertToFormat(
        QtGui.QImage.Format_RGB32
    )
    assert os.listdir(str(tmp_path)) == ["a.png"]


def test_a_hidden_widget_has_a_picture(context, app):
    hidden = Framed(context)
    assert ink(picture(hidden.plot, SIZE)).any()
    hidden.deleteLater()


def test_a_window_is_saved_at_its_full_size(app, show, framed, tmp_path):
    save_png(framed, tmp_path / "window.png")
    assert QtGui.QImage(str(tmp_path / "window.png")).size() == framed.size()


def test_svg_holds_lines_and_text_at_the_size(framed, tmp_path):
    save_svg(framed.plot, tmp_path / "a.svg", SIZE)
    root = ElementTree.parse(str(tmp_path / "a.svg")).getroot()
    assert root.get("viewBox") == "0 0 500 300"
    texts = {(text.text or "").strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"loss & more", "2", "4"} <= texts
    assert f'stroke="{INK[RED]}"' in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert not list(root.iter("{http://www.w3.org/2000/svg}image"))
    fonts = {text.get("font-family") for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert all(font.startswith("'") and font.endswith("', sans-serif") for font in fonts)


def test_svg_clips_curves_to_their_plot(framed, tmp_path):
    framed.plot.x_range, framed.plot.y_range = (1.0, 2.0), (1.0, 4.0)
    save_svg(framed.plot, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    names = {"svg": "http://www.w3.org/2000/svg"}
    inside = ElementTree.tostring(root.find(".//svg:g[@clip-path]", names)).decode()
    assert INK[RED] in inside and text.count(INK[RED]) == inside.count(INK[RED])
    rect, frame = root.find(".//svg:clipPath/svg:rect", names), framed.plot.frame
    assert float(rect.get("width")) == pytest.approx(frame.right - frame.left, abs=1.5)
    assert float(rect.get("x")) == pytest.approx(frame.left, abs=1.5)
    assert "loss" not in inside


def test_svg_clips_each_of_several_plots_at_its_place(context, show, tmp_path):
    window = QtWidgets.QWidget()
    layout = QtWidgets.QHBoxLayout(window)
    for name, role in (("a", RED), ("b", GREEN)):
        layout.addWidget(Plot(context.theme, name, role))
    show(window, 600, 200)
    save_svg(window, tmp_path / "a.svg")
    root = ElementTree.parse(str(tmp_path / "a.svg")).getroot()
    groups = [
        ElementTree.tostring(group).decode()
        for group in root.iter("{http://www.w3.org/2000/svg}g")
        if group.get("clip-path")
    ]
    assert len(groups) == 2
    assert {(INK[RED] in group, INK[GREEN] in group) for group in groups} == {(True, False), (False, True)}
    rects = [clip[0] for clip in root.iter("{http://www.w3.org/2000/svg}clipPath")]
    left = sorted(float(rect.get("transform").rstrip(")").split(",")[4]) for rect in rects)
    assert left[-1] > 300 > left[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_csv_preserves_every_digit_and_every_name(tmp_path, dtype):
    numbers = np.random.RandomState(0).randn(50).astype(dtype)
    numbers[:3] = np.nan, np.inf, 1e-40
    table = {'a "quoted", name': numbers, "count": np.arange(3), "Zählung\nlang": np.array(["x,y", "z"])}
    save_csv(table, tmp_path / "a.csv")
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.count(b"\r\n") == 51
    with open(str(tmp_path / "a.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(table)
    np.testing.assert_array_equal(np.array([row[0] for row in rows[1:]]).astype(dtype), numbers)
    assert [row[1] for row in rows[1:]] == ["0", "1", "2"] + 47 * [""]
    assert [row[2] for row in rows[1:4]] == ["x,y", "z", ""]


def test_no_text_in_a_csv_is_a_formula_and_any_text_can_be_written(tmp_path):
    texts = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\x1b[31mred", "caf\udcff", "a=b", "x\ny"]
    save_csv({"text": texts, "number": np.arange(-4, 5)}, tmp_path / "a.csv")
    with open(str(tmp_path / "a.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == [
        *("'" + text for text in texts[:5]),
        "\\x1b[31mred",
        "caf\\udcff",
        "a=b",
        "x\ny",
    ]
    assert [int(row[1]) for row in rows] == list(range(-4, 5))


@pytest.mark.parametrize("table, reason", [({}, "no data"), ({"a": np.zeros((2, 2))}, "'a' has 2 dimensions")])
def test_csv_of_an_invalid_table_names_the_file_and_the_reason(tmp_path, table, reason):
    with pytest.raises(FigureError, match=reason) as caught:
        save_csv(table, tmp_path / "a.csv")
    assert "a.csv" in str(caught.value) and os.listdir(str(tmp_path)) == []


def test_a_failed_write_keeps_the_existing_file(framed, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("before")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FigureError, match="a.csv: can't be written: No space left on device"):
        save_csv({"a": [1]}, path)
    assert path.read_text() == "before" and os.listdir(str(tmp_path)) == ["a.csv"]


def test_copy_puts_the_picture_on_the_clipboard(framed, app):
    framed.plot.menu.copy_action.trigger()
    assert app.clipboard().image().size() == framed.plot.size()
    assert ink(app.clipboard().image()).any()


def test_a_right_click_opens_the_menu(framed, app):
    middle = framed.plot.rect().center()
    event = QtGui.QContextMenuEvent(QtGui.QContextMenuEvent.Mouse, middle, framed.plot.mapToGlobal(middle))
    app.sendEvent(framed.plot, event)
    assert framed.plot.menu.isVisible()
    framed.plot.menu.close()


def test_the_dialog_saves_at_the_entered_size_and_remembers_it(framed, app, context, tmp_path):
    context.settings.setValue("figures/directory", str(tmp_path))
    saved = []
    framed.plot.menu.saved.connect(saved.append)
    framed.plot.menu.picture_action.trigger()
    (dialog,) = dialogs(app, SaveFigureDialog)
    assert dialog.path() == str(tmp_path / "loss.png")
    assert dialog.size_in_pixels() == framed.plot.size() and not dialog.width_box.isEnabled()
    QtTest.QTest.keyClick(dialog.as_shown_box, QtCore.Qt.Key_Space)
    dialog.width_box.setValue(300)
    dialog.height_box.setValue(200)
    dialog.scale_box.setValue(3)
    assert "900 × 600 pixels" not in dialog.result_label.text(), "with title and legend, the picture is higher"
    dialog.caption_box.setChecked(False)
    assert "900 × 600 pixels" in dialog.result_label.text()
    QtTest.QTest.mouseClick(dialog.buttons.button(QtWidgets.QDialogButtonBox.Save), QtCore.Qt.LeftButton)
    assert saved == [str(tmp_path / "loss.png")]
    assert QtGui.QImage(saved[0]).size() == QtCore.QSize(900, 600)

    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    assert dialog.path() == str(tmp_path / "loss-2.png"), "no picture is replaced by accident"
    assert dialog.size_in_pixels() == QtCore.QSize(300, 200) and dialog.scale() == 3
    dialog.path_edit.setText("loss")
    assert "replaced" in dialog.result_label.text()
    dialog.path_edit.setText(str(tmp_path / "other.png"))
    dialog.format_box.setCurrentIndex(1)
    assert dialog.path() == str(tmp_path / "other.svg") and not dialog.scale_box.isEnabled()
    dialog.accept()
    assert saved[-1] == str(tmp_path / "other.svg")
    assert 'viewBox="0 0 300 200"' in (tmp_path / "other.svg").read_text(encoding="utf-8")


def test_numbers_are_saved_to_the_chosen_file(framed, app, context, tmp_path):
    context.settings.setValue("figures/directory", str(tmp_path))
    framed.plot.menu.table_action.trigger()
    (dialog,) = dialogs(app, QtWidgets.QFileDialog)
    dialog.selectFile(str(tmp_path / "numbers"))
    dialog.accept()
    assert (tmp_path / "numbers.csv").read_text(encoding="utf-8").splitlines()[:2] == ["step,loss", "0,0.0"]


def test_a_figure_without_numbers_refuses_csv_before_asking_for_a_file(framed, app):
    framed.plot.numbers = {}
    framed.plot.menu.table_action.trigger()
    (box,) = dialogs(app, QtWidgets.QMessageBox)
    assert "no data" in box.text() and not dialogs(app, QtWidgets.QFileDialog)
    box.accept()


def type_path(dialog, path):
    dialog.path_edit.setFocus()
    dialog.path_edit.selectAll()
    QtTest.QTest.keyClicks(dialog.path_edit, str(path))


def save_button(dialog):
    return dialog.buttons.button(QtWidgets.QDialogButtonBox.Save)


def test_a_failed_write_keeps_the_dialog_open_with_its_entries(framed, app, context, tmp_path):
    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    type_path(dialog, tmp_path / "nowhere" / "a.png")
    dialog.as_shown_box.setChecked(False)
    dialog.width_box.setValue(333)
    QtTest.QTest.mouseClick(save_button(dialog), QtCore.Qt.LeftButton)
    assert dialogs(app, SaveFigureDialog) == [dialog] and "a.png: can't be written" in dialog.result_label.text()
    assert dialog.width_box.value() == 333 and context.settings.value("figures/directory") is None
    type_path(dialog, tmp_path / "a.png")
    QtTest.QTest.mouseClick(save_button(dialog), QtCore.Qt.LeftButton)
    assert not dialogs(app, SaveFigureDialog) and QtGui.QImage(str(tmp_path / "a.png")).width() == 666


def test_a_failed_write_of_numbers_asks_again_with_the_same_name(framed, app, tmp_path, monkeypatch):
    framed.plot.menu.table_action.trigger()
    (dialog,) = dialogs(app, QtWidgets.QFileDialog)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    dialog.selectFile(str(tmp_path / "numbers.csv"))
    dialog.accept()
    monkeypatch.undo()
    (box,) = dialogs(app, QtWidgets.QMessageBox)
    assert "numbers.csv: can't be written: No space left" in box.text()
    box.accept()
    (again,) = dialogs(app, QtWidgets.QFileDialog)
    assert again.selectedFiles() == [str(tmp_path / "numbers.csv")]
    again.accept()
    assert (tmp_path / "numbers.csv").exists() and not dialogs(app, QtWidgets.QFileDialog)


def test_numbers_are_saved_as_csv_or_refused(framed, app, tmp_path):
    framed.plot.menu.table_action.trigger()
    (dialog,) = dialogs(app, QtWidgets.QFileDialog)
    dialog.selectFile(str(tmp_path / "numbers.xlsx"))
    dialog.accept()
    (box,) = dialogs(app, QtWidgets.QMessageBox)
    assert "numbers.xlsx: expected a name that ends in .csv" in box.text() and os.listdir(str(tmp_path)) == []
    box.accept()
    for left in dialogs(app, QtWidgets.QFileDialog):
        left.reject()


@pytest.mark.parametrize("typed, problem", [("/", "is a directory"), ("", "Enter the name"), (".", "is a directory")])
def test_a_directory_is_refused_as_the_name_of_a_picture(framed, app, typed, problem):
    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    type_path(dialog, typed) if typed else dialog.path_edit.clear()
    assert problem in dialog.result_label.text() and not save_button(dialog).isEnabled()
    dialog.accept()
    assert dialog.isVisible()
    dialog.reject()


def test_the_format_follows_a_typed_suffix(framed, app, context, tmp_path):
    context.settings.setValue("figures/directory", str(tmp_path))
    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    assert not dialog.is_vector()
    type_path(dialog, "plot.svg")
    assert dialog.is_vector() and dialog.path() == str(tmp_path / "plot.svg")
    QtTest.QTest.mouseClick(save_button(dialog), QtCore.Qt.LeftButton)
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").startswith("<?xml") and os.listdir(str(tmp_path)) == [
        "plot.svg"
    ]


def test_unknown_suffixes_are_refused_and_names_with_dots_are_accepted(framed, app, context, tmp_path):
    context.settings.setValue("figures/directory", str(tmp_path))
    framed.plot.figure_name = "histogram-conv1.weights"
    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    type_path(dialog, "plot.pdf")
    assert "can't be saved as .pdf: end the name in .png or .svg" in dialog.result_label.text()
    assert not save_button(dialog).isEnabled()
    type_path(dialog, "conv2.weights")
    assert dialog.path() == str(tmp_path / "conv2.weights.png") and save_button(dialog).isEnabled()
    dialog.reject()


def test_the_status_bar_reports_saved_files_and_csv_needs_data(context, app, show, tmp_path):
    window = QtWidgets.QMainWindow()
    label = QtWidgets.QLabel("figure")
    label.figure_name = "note"
    menu = FigureMenu(label)
    window.setCentralWidget(label)
    show(window)
    menu.copy()
    assert window.statusBar().currentMessage() == "Copied note"
    assert not menu.table_action.isVisible() and framed_actions(menu) == ["Copy picture", "Save picture…"]


def framed_actions(menu):
    return [action.text() for action in menu.actions() if action.isVisible()]


# Title, legend and colours


def texts_of(path):
    root = ElementTree.parse(str(path)).getroot()
    return [(text.text or "").strip() for text in root.iter("{http://www.w3.org/2000/svg}text")]


STYLE = FigureStyle(
    LIGHT,
    lambda: Caption(
        "conv1.weights: codes",
        ("lenet", "step 7"),
        [legend_item(Fill("clipped"), "beyond"), legend_item(RANGE, "range")],
    ),
)


def test_a_saved_figure_has_title_details_and_legend_outside_of_the_plot(framed, tmp_path):
    save_svg(framed.plot, tmp_path / "a.svg", SIZE, STYLE)
    assert {"conv1.weights: codes", "lenet · step 7", "beyond", "range", "loss & more"} <= set(
        texts_of(tmp_path / "a.svg")
    )
    light = Theme(LIGHT)
    image, plain = picture(framed.plot, SIZE, 1.0, STYLE), picture(framed.plot, SIZE, 1.0, FigureStyle(LIGHT))
    assert plain.size() == SIZE and image.width() == SIZE.width() and image.height() > SIZE.height() + 30
    curve, whole = (np.nonzero(ink(each, light.color(RED).name()))[0] for each in (image, plain))
    (samples,) = [np.nonzero(ink(image, light.color("clipped").name()))[0]]
    assert curve.min() - whole.min() == curve.max() - whole.max() > 20 and curve.max() < samples.min()


def test_a_figure_is_light_by_default_and_the_window_keeps_its_colours(framed):
    before = picture(framed.plot)
    image = picture(framed.plot, SIZE, 1.0, FigureStyle(LIGHT))
    assert image.pixelColor(250, 3) == Theme(LIGHT).color("base") != Theme(DARK).color("base")
    assert ink(image, Theme(LIGHT).color(RED).name()).any() and not ink(image).any()
    assert picture(framed.plot) == before and framed.context.theme.name == DARK
    assert framed.plot.styleSheet() == "" and framed.plot.palette() == framed.palette()


def test_the_dialog_saves_a_light_figure_with_a_title_by_default(framed, context, app, tmp_path):
    context.settings.setValue("figures/directory", str(tmp_path))
    for choose, texts, color in ((False, True, LIGHT), (True, False, DARK)):
        framed.plot.menu.save_picture()
        (dialog,) = dialogs(app, SaveFigureDialog)
        dialog.format_box.setCurrentIndex(1)
        dialog.path_edit.setText(str(tmp_path / f"{choose}.svg"))
        if choose:
            assert dialog.theme() == LIGHT and dialog.has_caption()
            dialog.colors_box.setCurrentIndex(1)
            dialog.caption_box.setChecked(False)
        dialog.accept()
        app.processEvents()
        assert ("loss" in texts_of(tmp_path / f"{choose}.svg")) == texts
        assert Theme(color).color(RED).name() in (tmp_path / f"{choose}.svg").read_text(encoding="utf-8")
    framed.plot.menu.save_picture()
    (dialog,) = dialogs(app, SaveFigureDialog)
    assert dialog.theme() == "" and not dialog.has_caption(), "the choice is remembered"
    dialog.reject()


def test_long_legends_wrap_and_long_titles_are_elided():
    metrics = estimated_metrics(10, 6)
    fonts = {"small": metrics, "title": metrics}
    caption = Caption("t" * 99, ["d" * 99], [legend_item(RANGE, f"entry {number}") for number in range(12)])
    narrow, wide = caption_strips(caption, 300.0, fonts), caption_strips(caption, 3000.0, fonts)
    assert narrow.bottom > 2 * wide.bottom > 0 and narrow.top == wide.top
    title, details = narrow.above[0][2]
    assert title.text.endswith("…") and details.text.endswith("…")
    parted = Caption("t", ("lenet · on digits", "step 3", "8 bits", "symmetric"))
    wrapped = caption_strips(parted, 150.0, fonts).above[0][2][1:]
    assert [text.text for text in wrapped] == ["lenet · on digits", "step 3 · 8 bits", "symmetric"]
    ends = [x + metrics.width(shapes[0].text) for x, _, shapes in narrow.below[1::2]]
    assert max(ends) <= 300 and len(ends) == 12
    assert caption_strips(Caption("t"), 300.0, fonts).bottom == 0


def brightness(image):
    image = image.convertToFormat(QtGui.QImage.Format_Grayscale8)
    pixels = np.frombuffer(image.constBits().asarray(image.byteCount()), np.uint8)
    return np.median(pixels.reshape(image.height(), -1)[:, : image.width()])


def test_each_figure_can_be_light_and_has_a_title_with_run_and_step(staged_window, app):
    window, _run, _advance = staged_window
    window.theme.use(DARK)
    for name in (panel.name for panel in PANELS):
        window.docks.open(name)
        draw(window, app)
    menus = window.findChildren(FigureMenu)
    assert len(menus) >= 8
    for menu in menus:
        figure = menu._figure
        before, caption = picture(figure), caption_of(figure)
        title, step, *_ = caption.details
        assert caption.title and title == window.model.title and step.startswith("step "), figure
        light = picture(figure, None, 1.0, FigureStyle(LIGHT, lambda figure=figure: caption_of(figure)))
        assert brightness(light) > 170 and brightness(before) < 90, figure
        assert brightness(picture(figure)) < 90, figure
    codes = window.panels["tensor"].codes
    assert [item.label for item in caption_of(codes).legend][:1] == ["values of a code"]
