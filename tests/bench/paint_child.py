"""Child process of bench_window: opens the window as a user does, and prints when it was painted and when the first
step was done.

Its argument is the time (``time.time()``) at which the parent started it.
"""

import gc
import os
import sys
import time
from pathlib import Path

START = float(sys.argv[1])
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def let_windows_tell():
    """Have the application's windows print when they have been painted, and close after the first step."""
    from PyQt5 import QtCore

    from qatviz.app import main as application
    from qatviz.gui.model.run_model import STEPS

    class Told(application.MainWindow):
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

    application.MainWindow = Told


def main():
    """As ``qatviz`` does it; the window tells what it is asked for by its own signals and events."""
    from qatviz import cli
    from qatviz.cli import window

    opened = window._open

    def open_and_tell(request):
        gc.disable()  # as the command does before it imports the application
        let_windows_tell()
        return opened(request)

    window._open = open_and_tell
    os.environ["QATVIZ_RUNS"] = sys.argv[2]
    cli.main([])


main()
