"""Status bar: what is shown during a work takes room from the numbers, and nothing covers anything else."""

import pytest
from PyQt5 import QtWidgets
from window_stage import draw

from qatviz.gui.window.correction_bar import CorrectionBar

BUSY = "Reading held-out examples of the recorded run"


def shown(bar):
    """The visible widgets of a status bar with text, by their left edge."""
    parts = [w for w in bar.children() if isinstance(w, QtWidgets.QWidget) and w.isVisible() and w.width()]
    return sorted(parts, key=lambda widget: widget.x())


@pytest.mark.parametrize("width", [900, 1280, 1920])
@pytest.mark.parametrize("points", [0, 14])
def test_nothing_in_the_status_bar_covers_anything_during_work(staged_window, app, width, points):
    window, run, advance = staged_window
    window.theme.set_font_points(points)
    window.resize(width, 800)
    run.evaluate()
    advance(2)
    bar = window.statusBar()
    (correction,) = bar.findChildren(CorrectionBar)

    def check():
        bar.refresh()
        draw(window, app)
        app.processEvents()
        parts = shown(bar)
        for left, right in zip(parts, parts[1:]):
            assert left.geometry().right() < right.x(), (left, right)
        for name, field in bar.fields.items():
            if field.isVisible():
                assert field.fontMetrics().horizontalAdvance(field.text()) <= field.width(), name
        return [name for name, field in bar.fields.items() if field.isVisible()]

    try:
        before = check()
        bar.show_busy(BUSY)
        during = check()
        assert bar.busy.isVisible() and bar.busy.width() >= bar.busy.sizeHint().width()
        correction.text.setText("Re-estimate batch norm: 50 %")
        correction.show()
        check()
        correction.hide()
        bar.show_busy("")
        assert check() == before and set(during) <= set(before) and not bar.busy.isVisible()
    finally:
        window.theme.set_font_points(0)
