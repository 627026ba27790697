"""Names, paths and messages from files are shown as they are: never as markup, which could load files."""

import os
import re

import pytest
from PyQt5 import QtCore, QtWidgets
from window_stage import StagedLauncher, draw, make_window, prepared_of

from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.dialogs.fields import Field
from qatviz.gui.dialogs.path_field import DataField
from qatviz.gui.widgets.figures.ask_file import warn
from qatviz.gui.widgets.labels import Label, RichLabel, plain_tip
from qatviz.protocol import events

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOSTILE = "/data/<img src='file:///etc/passwd'><b>\"bold\"</b> &amp; =cmd|' /C calc'!A0 \u202etxt.exe"
MARK = "<img src='file"


def labels_of(widget):
    return [widget] * isinstance(widget, QtWidgets.QLabel) + widget.findChildren(QtWidgets.QLabel)


def assert_shown_as_it_is(*widgets):
    """Return the number of texts that show what is foreign; fail if Qt would treat one as markup."""
    found = 0
    for widget in widgets:
        for label in labels_of(widget):
            assert label.textFormat() == QtCore.Qt.PlainText or MARK not in label.text(), label.text()
            found += MARK in label.text() or MARK.replace("<", "&lt;").replace("'", "&#x27;") in label.text()
        for other in [widget, *widget.findChildren(QtCore.QObject)]:
            tip = other.toolTip() if hasattr(other, "toolTip") and callable(other.toolTip) else ""
            assert MARK not in tip or not QtCore.Qt.mightBeRichText(tip), tip
            found += "etc/passwd" in tip
        for view in widget.findChildren(QtWidgets.QAbstractItemView):
            model = view.model()
            for row in range(model.rowCount() if model is not None else 0):
                tip = model.data(model.index(row, 0), QtCore.Qt.ToolTipRole) or ""
                assert MARK not in tip or not QtCore.Qt.mightBeRichText(tip), tip
                found += "etc/passwd" in tip
    return found


def test_every_label_of_the_window_has_its_kind_of_text():
    """A QLabel that is neither would decide from its text."""
    for folder, _, names in os.walk(os.path.join(ROOT, "qatviz", "gui")):
        for name in names:
            if not name.endswith(".py") or name == "labels.py":
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                assert not re.search(r"\bQLabel\(|\(QtWidgets\.QLabel\)", file.read()), name


def test_a_run_with_a_hostile_name_and_events(app, staged, context, qtbot):
    run = staged("lenet")
    window = make_window(context.settings, StagedLauncher())
    qtbot.addWidget(window)
    window.recent.add(HOSTILE)
    window.show_prepared(prepared_of(run, HOSTILE)._replace(title=HOSTILE))
    window.show()
    run._news.append(events.RecordFailed(3, HOSTILE))
    run._news.append(events.CommandRejected(3, None, None, HOSTILE))
    window.bridge.tick()
    window.docks.open("events")
    window.show_failure(HOSTILE, HOSTILE)
    window._fill_recent()
    draw(window, app)
    assert MARK in window.banner.text.text()
    status = window.findChild(QtWidgets.QStatusBar)
    status.refresh()
    assert "&lt;img" in status.state.text()
    assert assert_shown_as_it_is(window) >= 4
    window.close_without_asking()


@pytest.mark.parametrize(
    "make",
    [
        lambda context: DetailsDialog(HOSTILE, HOSTILE, HOSTILE),
        lambda context: noted(context),
        lambda context: remembered(context),
        lambda context: Label(HOSTILE),
    ],
)
def test_parts_of_dialogs(app, context, qtbot, make):
    widget = make(context)
    qtbot.addWidget(widget)
    assert assert_shown_as_it_is(widget) >= 1


def noted(context):
    field = Field(QtWidgets.QLineEdit(), context.theme)
    field.show_note(HOSTILE, True)
    return field


def remembered(context):
    context.settings.setValue("new_run/data_recent", [HOSTILE])
    context.settings.setValue("data_recent", [HOSTILE])
    field = DataField([("digits", "Pictures")], context.settings)
    field.box.setEditText(HOSTILE)
    return field


def test_a_warning_about_a_path(app, qtbot):
    parent = QtWidgets.QWidget()
    qtbot.addWidget(parent)
    warn(parent, HOSTILE)
    box = parent.findChild(QtWidgets.QMessageBox)
    assert box.textFormat() == QtCore.Qt.PlainText and box.text() == HOSTILE
    box.close()


def test_plain_tips_keep_text_and_rich_labels_keep_markup(app, qtbot):
    assert plain_tip("a < b\nc") == "a < b\nc"
    assert not QtCore.Qt.mightBeRichText("a < b") and "&lt;img" in plain_tip(HOSTILE)
    assert RichLabel("<b>x</b>").textFormat() == QtCore.Qt.RichText


@pytest.mark.parametrize("kind", [Label, RichLabel])
def test_no_line_of_a_label_ends_between_a_number_and_its_unit(app, kind):
    """Qt breaks lines at any space but U+00A0."""
    text = "edge codes hold 4.00 %"
    label = kind(text, wordWrap=True)
    assert label.text() == text and QtWidgets.QLabel.text(label) == text.replace(" %", "\u00a0%")
    for new in ("≈ 38.2 dB", "± 0.3", "400 B, 12.3 kB", "20 s left", "8 bits"):
        label.setText(new)
        assert label.text() == new and " " not in QtWidgets.QLabel.text(label).replace(", ", "").replace(" left", "")
    assert QtWidgets.QLabel.text(label) == "8\u00a0bits"
    label.setText("5 blocks of 3 sizes")
    assert QtWidgets.QLabel.text(label) == label.text(), "words that only begin like a unit"
