"""Child process of bench_window: opens the window like a user and prints the times of first paint and first step.

Its argument is the time (``time.time()``) at which the parent started it.
"""

import gc
import os
import sys
import time
from pathlib import Path

START = float(sys.argv[1])
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def report_paint_and_first_step():
    """Make the application's windows print the time of first paint and first step, and then close."""
    from PyQt5 import QtCore

    from qatviz.app import main as application
    from qatviz.gui.model.run_model import STEPS

    class ReportingWindow(application.MainWindow):
        painted = False

        def paintEvent(self, event):
            super().paintEvent(event)
            if not self.painted:
                self.painted = True
                print(time.time() - START, flush=True)
                self.model.changed.connect(self._on_news)

        def _on_news(self, topic):
            if topic == STEPS:
                self.model.changed.disconnect(self._on_news)
                print(time.time() - START, flush=True)
                QtCore.QTimer.singleShot(0, self.close)

    application.MainWindow = ReportingWindow


def main():
    """Run ``qatviz`` without arguments, with a window that prints its times."""
    from qatviz import cli
    from qatviz.cli import window

    opened = window._open

    def open_and_report(request):
        gc.disable()  # as the command does before it imports the application
        report_paint_and_first_step()
        return opened(request)

    window._open = open_and_report
    os.environ["QATVIZ_RUNS"] = sys.argv[2]
    cli.main([])


main()
