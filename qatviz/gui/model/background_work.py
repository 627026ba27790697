"""Work of the launcher that a panel requests for the shown run, and its progress."""

from typing import Any, Optional

from PyQt5 import QtCore

from qatviz.gui.model.run_model import RUN, RunModel


class BackgroundWork(QtCore.QObject):
    """Work on the shown run, one request at a time; the window passes requests to the launcher, and back what follows.

    Another run ends the work and forgets its questions and failure.

    Attributes
    ----------
    is_busy : bool
        True from :meth:`begin` until :meth:`finish`, :meth:`fail` or :meth:`cancel`.
    activity : str
        Present activity.
    fraction : float
        Fraction done, 0 to 1.
    message : str
        Reason why the last request failed; empty if it did not.
    question : object or None
        The newest request.
    answered : object or None
        The request that the newest result answers.
    """

    #: Emitted when an attribute has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with a request, and when the one in progress is no longer wanted.
    wanted = QtCore.pyqtSignal(object)
    cancelled = QtCore.pyqtSignal()

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._reset()
        model.changed.connect(self._on_topic)

    def _reset(self) -> None:
        self.is_busy, self.activity, self.fraction, self.message = False, "", 0.0, ""
        self.question: Any = None
        self.answered: Any = None

    @property
    def fraction_if_busy(self) -> Optional[float]:
        """Fraction done, 0 to 1; None if nothing is in progress."""
        return self.fraction if self.is_busy else None

    def begin(self, question: Any) -> None:
        """Send a request, in place of one in progress."""
        self.question = question
        self.is_busy, self.activity, self.fraction, self.message = True, "starting", 0.0, ""
        self.wanted.emit(question)
        self.changed.emit()

    def cancel(self) -> None:
        """Cancel the request in progress."""
        if self.is_busy:
            self.is_busy = False
            self.cancelled.emit()
            self.changed.emit()

    def show_progress(self, activity: str, fraction: float) -> None:
        """Show the present activity, and the fraction done, 0 to 1."""
        if self.is_busy:
            self.activity, self.fraction = activity, fraction
            self.changed.emit()

    def finish(self) -> None:
        """End the request in progress, whose result is known."""
        if self.is_busy:
            self.is_busy, self.answered = False, self.question
            self.changed.emit()

    def fail(self, message: str) -> None:
        """End the request in progress with the reason why it failed."""
        if self.is_busy:
            self.is_busy, self.message = False, message
            self.changed.emit()

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self.cancel()
            self._reset()
            self.changed.emit()
