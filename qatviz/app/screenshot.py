"""Drawing of the window to a file, on machines without a display and for the documentation."""

import os
import tempfile
import time
from typing import List, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.app.main import Application
from qatviz.errors import QatvizError, SettingError
from qatviz.gui.model.user_settings import UserSettings
from qatviz.gui.panels.declarations import PANELS
from qatviz.gui.widgets.figures.files import check_writable_figure, save_png
from qatviz.gui.window.main_window import MainWindow
from qatviz.session.request import OpenRequest, RunRequest
from qatviz.telemetry.run_handle import RECORDED

#: Time limit in seconds for the training steps before the window is drawn.
TIMEOUT_S = 600.0


def draw_screenshot(
    path: str, size: Tuple[int, int], theme: str, request: RunRequest, steps: int, show: Sequence[str]
) -> str:
    """Draw the window of a recorded run, or of a new one after ``steps`` steps, and return the path of the picture.

    Parameters
    ----------
    path : str
        PNG file to write.
    size : (int, int)
        Width and height of the window, px.
    theme : str
        One of `qatviz.gui.widgets.theme.THEMES`.
    request : RunRequest
    steps : int
        Training steps of a new run before it is drawn; no effect for a recorded run.
    show : sequence of str
        Names of the panels to bring to the front.

    Raises
    ------
    SettingError
        If there is no such panel.
    QatvizError
        If the run can't be prepared or fails, it does not reach the step within `TIMEOUT_S`, or the file can't be
        written.
    """
    check_writable_figure(path)  # not only after minutes of training
    with tempfile.TemporaryDirectory() as folder:
        # The user's own settings of the window are neither used nor changed.
        settings = UserSettings(os.path.join(folder, "settings.ini"), QtCore.QSettings.IniFormat)
        settings.setValue("window/theme", theme)
        application = Application(settings)
        window = application.open_window()
        window.resize(*size)
        window.docks.arrange()
        try:
            known = [panel.name for panel in PANELS]
            for name in show:
                if name not in known:
                    raise SettingError.of_field("show", f"is {name!r}: expected one of {', '.join(known)}")
                window.docks.open(name)
            failures: List[str] = []
            window.launcher.failed.connect(lambda text, details: failures.append(details or text))
            window.launcher.begin(request)
            _wait(application, window, 0 if isinstance(request, OpenRequest) else steps, failures)
            draw_all(application, window)
            save_png(window, path)
        finally:
            window.close_without_asking()
            application.finish()
    return os.path.abspath(path)


def draw_all(application: Application, window: MainWindow) -> None:
    """Repaint every visible panel that is due, and wait for the estimate for the chip, for at most five seconds."""
    deadline = time.perf_counter() + 5.0
    while time.perf_counter() < deadline:
        application.app.processEvents()
        due = [panel for panel in window.panels.made.values() if panel.is_due()]
        for panel in due:
            panel.refresh()
        if not due and window.chip.is_settled:
            break
        if not due:
            time.sleep(0.01)
    window.statusBar().refresh()
    application.app.processEvents()


def _wait(application: Application, window: MainWindow, steps: int, failures: Sequence[str]) -> None:
    deadline = time.perf_counter() + TIMEOUT_S
    model = window.model
    while time.perf_counter() < deadline:
        application.app.processEvents(QtCore.QEventLoop.AllEvents, 50)
        window.bridge.tick()
        if failures:
            raise QatvizError(f"the run could not be drawn: {failures[0]}")
        if model.failure is not None:
            raise QatvizError(f"the run could not be drawn: {model.failure.message}\n{model.failure.traceback}")
        ready = (
            model.run is not None and model.step >= steps and (model.snapshot is not None or model.state == RECORDED)
        )
        if ready or (model.ended and model.snapshot is not None):
            return
        time.sleep(0.01)
    raise QatvizError(f"the run did not reach step {steps} within {TIMEOUT_S:g} s")
