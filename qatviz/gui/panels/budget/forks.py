"""Timer that requests the evaluations of the shown run's forks while the panel is in view."""
# A fork may train in another window or process, which does not notify this one.

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel

#: Interval of the requests, ms.
INTERVAL = 15_000


class ForkReading(QtWidgets.QWidget):
    """Requests of a panel to read the forks of a recorded run; visible after a failure, with the reason.

    After a failure, there are no requests until the user asks for one, or another run is shown.
    """

    #: Emitted to request the evaluations.
    wanted = QtCore.pyqtSignal()

    def __init__(self, panel: Panel):
        super().__init__(panel)
        self._panel = panel
        self._is_waiting = self._has_failed = False
        self._timer = QtCore.QTimer(self, interval=INTERVAL)
        self._timer.timeout.connect(self._on_time)
        self.text = Label(wordWrap=True)
        self.button = QtWidgets.QPushButton("Read again", toolTip="Read the forks of the run again")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        self.button.clicked.connect(self._on_again)
        self.hide()

    def begin(self) -> None:
        """Request them now and after each interval until the panel is hidden; no effect while that is in progress.

        Called whenever the panel is drawn.
        """
        if not self._timer.isActive() and not self._has_failed and self._panel.model.is_recorded:
            self._timer.start()
            self._request()

    def restart(self) -> None:
        """End the interval: the next :meth:`begin`, for another run, requests at once."""
        self._timer.stop()
        self._is_waiting = self._has_failed = False
        self.hide()

    def fail(self, message: str) -> None:
        """End the requests with the reason why the forks can't be read."""
        if not self._is_waiting:  # the failure of another run's request
            return
        self._timer.stop()
        self._is_waiting, self._has_failed = False, True
        self.text.setText(f"Forks not read: {message}")
        self.show()

    def _request(self) -> None:
        self._is_waiting = True
        self.wanted.emit()

    def _on_again(self) -> None:
        self.restart()
        self.begin()

    def _on_time(self) -> None:
        if self._panel.isVisible() and self._panel.model.is_recorded:
            self._request()
        else:
            self._timer.stop()
