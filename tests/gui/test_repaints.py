"""What the window does not do: lay itself out for new data, paint what is behind a plot, import what it can't show."""

import subprocess
import sys

import pytest
from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.isolated import Isolated


class Seen(QtCore.QObject):
    """Counts the events of one type that widgets receive."""

    def __init__(self, kind, *widgets):
        super().__init__()
        self.kind, self.count = kind, 0
        for widget in widgets:
            widget.installEventFilter(self)

    def eventFilter(self, watched, event):
        self.count += event.type() == self.kind
        return False


def settle(app):
    for _ in range(3):
        app.processEvents()


@pytest.fixture
def drawn(staged_window, app):
    """A window that has drawn a run; ``refresh`` draws its next snapshot in all visible panels."""
    window, run, _ = staged_window

    def refresh():
        run.advance(5)
        window.model.process(run.drain())
        for panel in window.panels.all():
            while panel.is_due():
                panel.refresh()

    window.resize(1280, 800)
    window.show()
    for _ in range(3):
        refresh()
        settle(app)
    return window, refresh


def test_new_data_does_not_lay_out_the_window(drawn, app):
    window, refresh = drawn
    for _ in range(10):  # until a timer has shown its first text in the status bar
        refresh()
        settle(app)
    header, before = window.panels["tensor"].header, window.panels["tensor"].header.step.text()
    seen = Seen(QtCore.QEvent.LayoutRequest, window, *window.docks.docks.values(), header)
    for _ in range(10):
        refresh()
        settle(app)
    assert header.step.text() != before and seen.count == 0


def test_a_repainted_plot_does_not_paint_what_is_behind_it(drawn, app):
    window, _ = drawn
    canvas, plot = window.panels["histograms"].canvas, window.panels["tensor"].overlay
    curve = next(plot for plot in window.panels["evolution"].plots.values() if plot.is_in_view())
    for _ in range(20):  # a display may uncover a part of the window at any time, which is painted then
        seen = Seen(QtCore.QEvent.Paint, window)
        painted = Seen(QtCore.QEvent.Paint, canvas.viewport(), plot, curve.canvas, curve.legend)
        canvas.draw("conv1.weights", None)
        plot.changed()
        curve.canvas.changed()
        curve.legend.update()
        settle(app)
        if seen.count == 0:
            break
    assert painted.count == 4 and seen.count == 0


def test_isolated_content_fills_its_container_and_keeps_its_minimum_size(app):
    outer, label = QtWidgets.QWidget(), QtWidgets.QLabel("text")
    layout = QtWidgets.QVBoxLayout(outer)
    layout.addWidget(Isolated(label))
    outer.resize(200, 100)
    outer.show()
    settle(app)
    assert label.size() == label.parentWidget().size()
    seen = Seen(QtCore.QEvent.LayoutRequest, outer)
    label.setText("next")
    label.setText("text")
    settle(app)
    assert seen.count == 0
    label.setText("a text that needs far more room than the widget has, so that it must be laid out again")
    settle(app)
    assert seen.count > 0 and outer.width() >= label.minimumSizeHint().width() > 200
    outer.close()


def test_the_window_imports_neither_data_nor_records_nor_keras_before_it_is_shown():
    heavy = ("qatviz.data", "qatviz.network.keras_import", "qatviz.telemetry.record.reader", "qatviz.protocol.run_spec")
    program = f"import sys, qatviz.cli.window, qatviz.app.main; print({set(heavy)} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.strip() == "set()"
