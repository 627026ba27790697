"""Application object: its windows, and the report of uncaught errors."""

import contextlib
import os
import signal
import sys
import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, List, Optional, Type

from PyQt5 import QtCore, QtWidgets

from qatviz import __version__
from qatviz.app.launching import PREPARING, READING, AppLauncher
from qatviz.errors import QatvizError
from qatviz.garbage_collection import garbage_collection_paused
from qatviz.gui.model.user_settings import PlaceSettings, UserSettings
from qatviz.gui.widgets.theme import SYSTEM, THEMES, Theme
from qatviz.gui.window.main_window import MainWindow
from qatviz.session.prepared import Prepared
from qatviz.session.request import OpenRequest, RunRequest
from qatviz.session.workplace import Workplace
from qatviz.terminal import END_NOTICE_S, print_end_notice, stop_signals
from qatviz.training.quiet import keep_tensorflow_quiet

if TYPE_CHECKING:
    from qatviz.remote.remote_workplace import RemoteWorkplace

#: Seconds that a thread may keep the interpreter lock while another waits for it. Python's 5 ms cause noticeable lag:
#: one key press acquires the lock a dozen times.
SWITCH_INTERVAL_S = 0.001
#: Maximum time (s) that the end of the program waits for runs to end and to write their state; their records stay valid
#: if that takes longer.
END_S = 30.0
#: Exit code after a second Ctrl-C, which ends that wait.
INTERRUPTED = 1


def make_application() -> QtWidgets.QApplication:
    """Return the QApplication of this process."""
    app = QtWidgets.QApplication.instance()
    if app is None:
        QtCore.QCoreApplication.setAttribute(QtCore.Qt.AA_EnableHighDpiScaling)
        QtCore.QCoreApplication.setAttribute(QtCore.Qt.AA_UseHighDpiPixmaps)
        app = QtWidgets.QApplication(["qatviz"])
    app.setApplicationName("qatviz")
    app.setOrganizationName("qatviz")
    app.setApplicationVersion(__version__)
    return app


class Application:
    """All windows of the program.

    Parameters
    ----------
    settings : QSettings, optional
        Store of remembered values; by default the user's.
    """

    def __init__(self, settings: Optional[QtCore.QSettings] = None):
        keep_tensorflow_quiet()
        self.app = make_application()
        self.settings = settings or UserSettings()
        name = self.settings.value("window/theme", SYSTEM)
        self.theme = Theme(name if name in THEMES else SYSTEM)
        self.theme.font_points = self.settings.value("window/font_points", 0, int)
        self.theme.apply()
        self.windows: List[MainWindow] = []
        self._opened: List[MainWindow] = []  # closed ones included: they are deleted at the end
        self.launchers: List[AppLauncher] = []
        self._places: List[RemoteWorkplace] = []  # other machines, connected or not yet

    def open_window(self, awaited: str = "", workplace: Optional[Workplace] = None) -> MainWindow:
        """Open a window without a run.

        Parameters
        ----------
        awaited : str
            Text that it shows until there is one.
        workplace : Workplace, optional
            Machine of the window's runs; by default this one.
        """
        launcher = AppLauncher(workplace)
        settings = PlaceSettings(self.settings, launcher.place) if launcher.place else self.settings
        window = MainWindow(self.theme, settings, launcher)
        window.window_wanted.connect(lambda prepared: self.open_window("", launcher.workplace).show_prepared(prepared))
        window.connection_wanted.connect(self.open_remote_window)
        window.closed.connect(lambda: self.windows.remove(window))
        self.windows.append(window)
        self._opened.append(window)
        self.launchers.append(launcher)
        window.model.await_run(awaited)
        window.show()
        window.frames.draw_all()
        return window

    def open_remote_window(self, address: str, remote_command: str, token: str) -> None:
        """Open a window on another machine.

        Parameters
        ----------
        address : str
            As :func:`qatviz.remote.address.parse_address` reads it.
        remote_command : str
            Command that runs qatviz there, for ssh.
        token : str
            Token of a server that listens on a port.
        """
        from qatviz.remote.client import client_of  # not needed by windows on this machine
        from qatviz.remote.remote_workplace import RemoteWorkplace

        try:
            client, run = client_of(address, remote_command, token)
        except QatvizError as error:
            (self.windows[-1] if self.windows else self.open_window()).show_failure(str(error))
            return
        workplace = RemoteWorkplace(client)
        self._places.append(workplace)
        window = self.open_window(f"Connecting to {client.place}…", workplace)
        window.launcher.open_remote(workplace, run)

    def report(self, kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        """Show an uncaught error, for which PyQt5 would end the process."""
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(text)
        for window in self.windows:
            window.show_failure(f"Error in the window: {kind.__name__}: {error}", text)

    def run(self) -> int:
        """Run until the last window is closed; return the exit code."""
        sys.excepthook = self.report
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # Python runs signal handlers only between its own instructions, which the bridge's timer triggers.
        before = {number: signal.signal(number, self._on_signal) for number in stop_signals()}
        code: int = self.app.exec_()
        # A second one ends the wait for the runs, also where Ctrl-C was ignored at the start, as in a background job.
        for number, handler in {**before, signal.SIGINT: signal.default_int_handler}.items():
            signal.signal(number, handler)
        self.finish()
        return code

    def finish(self) -> None:
        """Wait for runs and background work, and delete the windows, as Qt requires before its own end."""
        for workplace in self._places:
            workplace.client.abort_connecting()  # otherwise a launcher waits for the network's time limit
        for launcher in self.launchers:
            launcher.wait()
        began = time.monotonic()
        if not self._end_runs(began + END_NOTICE_S):
            print_end_notice()
            self._end_runs(began + END_S)
        for workplace in self._places:
            workplace.close()
        for window in self._opened:
            window.deleteLater()
        self.app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        self.app.processEvents()

    def _end_runs(self, deadline: float) -> bool:
        """Wait until all runs have ended, or the monotonic time ``deadline``; return whether they have."""
        have_ended = [window.end_runs(max(0.0, deadline - time.monotonic())) for window in self._opened]
        return all(have_ended)

    def _on_signal(self, number: int, _frame: Any) -> None:
        """Close all windows from the event loop: a signal may interrupt a function of this thread that holds a lock."""
        QtCore.QTimer.singleShot(0, lambda: self._close_windows(number))

    def _close_windows(self, number: int) -> None:
        """Close all windows; only Ctrl-C leaves time to answer a question."""
        if number == signal.SIGINT:
            QtWidgets.QApplication.closeAllWindows()
            return
        for window in list(self.windows):
            window.close_without_asking()
        self.app.quit()  # a dialog may be open


def open_window(request: RunRequest) -> int:
    """Open a window with the requested run, and end the process when the last window is closed."""
    with garbage_collection_paused():
        application = Application()
        first = application.open_window(READING if isinstance(request, OpenRequest) else PREPARING)
        application.app.processEvents()  # paint the window first
    first.launcher.begin(request)
    return _run(application)


def open_remote_window(address: str, remote_command: str, token: str) -> int:
    """Open a window on another machine, and end the process when the last window is closed."""
    with garbage_collection_paused():
        application = Application()
        application.open_remote_window(address, remote_command, token)
    return _run(application)


def _run(application: Application) -> int:
    code = INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt):
        code = application.run()
    sys.stdout.flush()
    sys.stderr.flush()
    # A normal exit would wait for a run that has not ended in time: its training step takes longer.
    os._exit(code)


def show(prepared: Prepared) -> int:
    """Show and start a run in a new window, and return the exit code when all windows are closed."""
    before = sys.excepthook, sys.getswitchinterval()
    application = Application()
    first = application.open_window()
    QtCore.QTimer.singleShot(0, lambda: first.show_prepared(prepared))
    try:
        return application.run()
    finally:  # the user's script continues
        sys.excepthook = before[0]
        sys.setswitchinterval(before[1])
