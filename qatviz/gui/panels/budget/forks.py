"""When the evaluations of the shown run's forks are read: while the panel is in view, and again after a while."""
# A fork may train in another window or process, which tells this one nothing.

from PyQt5 import QtCore

from qatviz.gui.widgets.panel import Panel

#: Time between two readings, ms.
INTERVAL = 15_000


class ForkReading(QtCore.QObject):
    """Requests of a panel to read the forks of a recorded run."""

    #: Emitted when they are to be read.
    wanted = QtCore.pyqtSignal()

    def __init__(self, panel: Panel):
        super().__init__(panel)
        self._panel = panel
        self._timer = QtCore.QTimer(self, interval=INTERVAL)
        self._timer.timeout.connect(self._on_time)

    def begin(self) -> None:
        """Read them, and again after each interval, until the panel is hidden; called whenever the panel is drawn."""
        if not self._timer.isActive() and self._panel.model.is_recorded:
            self._timer.start()
            self.wanted.emit()

    def restart(self) -> None:
        """Forget when they were read: another run is shown."""
        self._timer.stop()

    def _on_time(self) -> None:
        if self._panel.isVisible() and self._panel.model.is_recorded:
            self.wanted.emit()
        else:
            self._timer.stop()
