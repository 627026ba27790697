"""Work that a panel requests from the launcher for the shown run, and its progress."""

from typing import Any, Optional

from PyQt5 import QtCore

from qatviz.gui.model.run_model import RUN, RunModel


class BackgroundWork(QtCore.QObject):
    """Work on the shown run, one request at a time; the window connects it with the launcher.

    When another run is shown, the work is cancelled, and all attributes are reset.

    Attributes
    ----------
    is_busy : bool
        True from :meth:`begin` until :meth:`finish`, :meth:`fail` or :meth:`cancel`.
    activity : str
        Present activity of the request in progress.
    fraction : float
        Its fraction done, 0 to 1.
    message : str
        Reason why the newest request failed; empty if it did not.
    question : object or None
        The newest request; its type depends on the panel.
    answered : object or None
        The request that has the newest result.
    """

    #: Emitted when an attribute has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with a request.
    wanted = QtCore.pyqtSignal(object)
    #: Emitted when the request in progress is cancelled.
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
        """Send a request, which replaces one in progress."""
        self.question = question
        self.is_busy, self.activity, self.fraction, self.message = True, "starting", 0.0, ""
        self.wanted.emit(question)
        self.changed.emit()

    def cancel(self, message: str = "") -> None:
        """Cancel the request in progress; ``message`` is the reason why it has no result, if that is shown."""
        if self.is_busy:
            self.is_busy, self.message = False, message
            self.cancelled.emit()
            self.changed.emit()

    def show_progress(self, activity: str, fraction: float) -> None:
        """Show the present activity, and the fraction done, 0 to 1."""
        if self.is_busy:
            self.activity, self.fraction = activity, fraction
            self.changed.emit()

    def finish(self) -> None:
        """Mark the request in progress as answered: the model has its result."""
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
