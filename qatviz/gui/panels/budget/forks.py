"""Timer that requests the evaluations of the shown run's forks while the panel is in view."""
# A fork may train in another window or process, which does not notify this one.

from PyQt5 import QtCore

from qatviz.gui.widgets.panel import Panel

#: Interval of the requests, ms.
INTERVAL = 15_000


class ForkReading(QtCore.QObject):
    """Requests of a panel to read the forks of a recorded run."""

    #: Emitted to request the evaluations.
    wanted = QtCore.pyqtSignal()

    def __init__(self, panel: Panel):
        super().__init__(panel)
        self._panel = panel
        self._timer = QtCore.QTimer(self, interval=INTERVAL)
        self._timer.timeout.connect(self._on_time)

    def begin(self) -> None:
        """Request them now and after each interval until the panel is hidden; no effect while that is in progress.

        Called whenever the panel is drawn.
        """
        if not self._timer.isActive() and self._panel.model.is_recorded:
            self._timer.start()
            self.wanted.emit()

    def restart(self) -> None:
        """End the interval: the next :meth:`begin`, for another run, requests at once."""
        self._timer.stop()

    def _on_time(self) -> None:
        if self._panel.isVisible() and self._panel.model.is_recorded:
            self.wanted.emit()
        else:
            self._timer.stop()
