"""The verdict on the tensor page, and the change that it offers."""

from PyQt5 import QtCore, QtWidgets
from tensor_stage import NAME, advance_and_draw, change, clock, make  # noqa: F401


def test_an_offer_is_computed_applied_and_undone(context, staged, make, qtbot):
    run = staged(steps=1)
    change(context, run, make(), per_channel=False, symmetric=True, num_bits=3)
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    qtbot.waitUntil(panel.verdict.button.isVisible)
    offer, before = panel.verdict.button.text(), context.model.settings_of(NAME)
    assert "SQNR" in offer and "→" in offer and panel.verdict.text.text().endswith(".")
    panel.verdict.button.click()
    assert not panel.verdict.button.isVisible()
    qtbot.waitUntil(lambda: not context.edits.unsent)
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) != before
    context.edits.undo()
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) == before


def test_a_long_offer_does_not_widen_the_panel(context, staged, make):
    staged()
    panel = make()
    before = panel.minimumSizeHint().width()
    button = panel.verdict.button
    text = "Range Least squared error (MSE): SQNR ≈ 8.2 dB → 10.8 dB or more"
    button.setText(text)
    button.show()
    QtWidgets.QApplication.processEvents()  # which lays the panel out anew
    assert panel.minimumSizeHint().width() == before < button.sizeHint().width()
    button.setFixedSize(button.sizeHint().width() // 2, button.sizeHint().height())
    option = QtWidgets.QStyleOptionButton()
    button.initStyleOption(option)
    room = button.style().subElementRect(QtWidgets.QStyle.SE_PushButtonContents, option, button).width()
    plain = QtWidgets.QPushButton(button.fontMetrics().elidedText(text, QtCore.Qt.ElideMiddle, room), button.parent())
    plain.setFixedSize(button.size())
    assert "…" in plain.text() and button.grab().toImage() == plain.grab().toImage()
    assert button.text() == text


def test_nothing_is_offered_for_a_good_tensor(context, staged, make, qtbot):
    run, panel = staged(steps=1), make()
    change(context, run, panel, per_channel=True, num_bits=8)
    advance_and_draw(context, run, panel)
    assert panel.verdict.text.text().startswith("Good")
    assert not panel.verdict.button.isVisible() and panel.verdict._trials is None
