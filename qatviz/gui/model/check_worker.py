"""Run checks on a worker thread; only the answer to the newest question is delivered."""

from typing import Any, Callable, Optional

from PyQt5 import QtCore

from qatviz.errors import QatvizError, message_of


class CheckWorker(QtCore.QObject):
    """Runner of ``check(question)`` on a thread of the pool.

    Parameters
    ----------
    check : callable
        Called on another thread; raises :class:`QatvizError` with a sentence for the user.
    """

    #: Emitted with the question and its answer.
    answered = QtCore.pyqtSignal(object, object)
    #: Emitted with the question and the QatvizError that it led to.
    failed = QtCore.pyqtSignal(object, object)

    def __init__(self, check: Callable[[Any], Any], parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._check = check
        self._newest: Any = None

    @property
    def is_busy(self) -> bool:
        return self._newest is not None

    def ask(self, question: Any) -> None:
        """Check ``question``; earlier ones are dropped."""
        self.forget()
        task = _Task(self._check, question)
        task.reply.done.connect(self._on_done)
        self._newest = task.reply
        QtCore.QThreadPool.globalInstance().start(task)

    def forget(self) -> None:
        """Drop the present question; no answer is delivered."""
        if self._newest is not None:
            self._newest.is_wanted = False
            self._newest = None

    def _on_done(self, reply: Any, question: Any, answer: Any, problem: Optional[QatvizError]) -> None:
        if reply is not self._newest:
            return
        self._newest = None
        if problem is not None:
            self.failed.emit(question, problem)
        else:
            self.answered.emit(question, answer)


class _Reply(QtCore.QObject):
    done = QtCore.pyqtSignal(object, object, object, object)
    is_wanted = True


class _Task(QtCore.QRunnable):
    def __init__(self, check: Callable[[Any], Any], question: Any):
        super().__init__()
        self.reply = _Reply()
        self._check, self._question = check, question

    def run(self) -> None:
        if not self.reply.is_wanted:  # another question was asked before this one started
            return
        answer: Any = None
        problem: Optional[QatvizError] = None
        try:
            answer = self._check(self._question)
        except QatvizError as error:
            problem = error
        except Exception as error:  # a bug or an unexpected file: shown to the user
            problem = QatvizError(message_of(error))
        self.reply.done.emit(self.reply, self._question, answer, problem)
