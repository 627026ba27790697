"""Use of widgets in tests: waits of pytest-qt bounded by progress, and keys that arrive in inactive windows."""

from contextlib import contextmanager

from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from pytestqt.qtbot import QtBot
from pytestqt.wait_signal import MultiSignalBlocker, SignalBlocker
from waiting import Patience, Stalled, wait_until

#: Milliseconds for which events are processed between two looks; processes that are waited for need the machine.
PAUSE_MS = 5


def pause():
    """Process events for a moment."""
    QtTest.QTest.qWait(PAUSE_MS)


class _Patient:
    """A signal blocker of pytest-qt that waits for as long as there is progress."""

    def wait(self):
        patience = Patience(self._get_timeout_error_message)
        while not self.signal_triggered:
            patience.look()
            pause()


class PatientSignalBlocker(_Patient, SignalBlocker):
    """Waits for any of its signals."""


class PatientMultiSignalBlocker(_Patient, MultiSignalBlocker):
    """Waits for all of its signals."""


class PatientQtBot(QtBot):
    """pytest-qt's bot with waits that are bounded by progress instead of time; see tests/waiting.py."""

    def waitUntil(self, callback, *counters):
        """Wait until ``callback()`` is true, or is None and raises no AssertionError."""
        error = AssertionError("the condition is false")

        def holds():
            nonlocal error
            try:
                found = callback()
            except AssertionError as raised:
                error = raised
                return False
            if found not in (None, True, False):
                raise ValueError(f"expected None, True or False from the condition, found {found!r}")
            return found is None or found

        try:
            wait_until(holds, "", *counters, pause=pause)
        except Stalled as stalled:
            raise stalled from error

    def waitSignal(self, signal, *, check_params_cb=None):
        blocker = PatientSignalBlocker(timeout=None, check_params_cb=check_params_cb)
        blocker.connect(signal)
        return blocker

    def waitSignals(self, signals, *, check_params_cbs=None, order="none"):
        blocker = PatientMultiSignalBlocker(timeout=None, check_params_cbs=check_params_cbs, order=order)
        blocker.add_signals(signals)
        return blocker

    def emitted(self, signal):
        """Wait until ``signal`` is emitted from now on, and return its arguments."""
        blocker = self.waitSignal(signal)
        blocker.wait()
        return blocker.args

    @contextmanager
    def waitExposed(self, widget):
        yield self
        wait_until(lambda: widget.windowHandle() is not None and widget.windowHandle().isExposed(), pause=pause)

    wait_until, wait_signal, wait_signals, wait_exposed = waitUntil, waitSignal, waitSignals, waitExposed


def activate(widget):
    """Make the widget's window the active one, to which shortcuts and focus belong.

    It is done within Qt: without a window manager an X server activates no window, and with several programs on one
    display another may take the focus at any time. What follows should come before events are processed.
    """
    QtWidgets.QApplication.setActiveWindow(widget.window())


def press(widget, key, modifiers=QtCore.Qt.NoModifier):
    """Press a key in a widget whose window is active."""
    activate(widget)
    QtTest.QTest.keyClick(widget, key, modifiers)


def focus(widget):
    """Give a widget the focus of its window, which becomes active."""
    activate(widget)
    widget.setFocus()


def draw(panel):
    """Update a panel until nothing is due: what is new may take several frames."""
    panel.refresh()
    while panel.is_due():
        panel.refresh()


def listed_keys(dialog):
    """Return the rows that the list of keys shows on each group's page: what is done, and the keys."""
    found = {}
    for page in range(1, dialog.pages.count()):
        dialog.pages.setCurrentRow(page)
        (columns,) = dialog.browser.document().rootFrame().childFrames()
        (table,) = columns.childFrames()
        rows = [[_cell_text(table.cellAt(row, column)) for column in range(2)] for row in range(table.rows())]
        found[dialog.pages.currentItem().text()] = [tuple(row) for row in rows]
    return found


def _cell_text(cell):
    cursor = cell.firstCursorPosition()
    cursor.setPosition(cell.lastCursorPosition().position(), QtGui.QTextCursor.KeepAnchor)
    return cursor.selectedText()
