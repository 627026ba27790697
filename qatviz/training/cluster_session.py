"""Session on workers that notices when one of them dies or hangs.

Every call runs on a thread of the session, because a call to a process that hangs returns only after TensorFlow's own
time limit. If a call takes long, each worker is asked to run a constant: workers that answer are only slow.
"""

import contextlib
import queue
import threading
from concurrent.futures import Future, TimeoutError, wait
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from qatviz.protocol.run_spec import Placement
from qatviz.training.session import answers, open_session

#: Seconds of a call after which workers are asked, and seconds for their answer: together less than the 15 s within
#: which a user must learn of a loss.
PATIENCE_S, ANSWER_S = 4.0, 5.0
#: Errors of TensorFlow that the loss of a process causes.
_OF_LOSS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
)
#: Those among them that errors of the program cause, too.
_OF_PROGRAM = (tf.errors.NotFoundError, tf.errors.InternalError, tf.errors.UnknownError)
#: Sessions whose processes are lost, never deleted: a deletion can block as a call can.
_ABANDONED: List[tf.Session] = []


class WorkersLost(Exception):
    """Workers died or hang; the state of the run that was on them is lost.

    Attributes
    ----------
    workers : tuple of str
        Addresses of those that don't answer; empty if they answer again, but were restarted.
    """

    def __init__(self, workers: Sequence[str], reason: str):
        self.workers = tuple(workers)
        super().__init__(f"{', '.join(workers) or 'a worker'}: {reason}")


class ClusterSession:
    """Session on the workers of a placement, with the methods of ``tf.Session`` that a run uses.

    Raises
    ------
    WorkersLost
        From all methods.
    """

    def __init__(self, graph: tf.Graph, placement: Placement):
        self._workers = placement.workers
        self._calls: queue.SimpleQueue[Optional[Tuple[Future[Any], Callable[[], Any]]]] = queue.SimpleQueue()
        self._lost: Optional[WorkersLost] = None
        self._session = open_session(graph, placement)
        threading.Thread(target=self._serve, name="qatviz-session", daemon=True).start()

    def run(self, fetches: Any, feeds: Optional[Mapping[tf.Tensor, Any]] = None) -> Any:
        return self._guarded(lambda: self._session.run(fetches, feeds))

    def make_callable(self, fetches: Any, feed_list: Sequence[tf.Tensor] = ()) -> Callable[..., Any]:
        made: List[Callable[..., Any]] = []

        def call(*values: Any) -> Any:
            def run() -> Any:
                if not made:
                    made.append(self._session.make_callable(fetches, list(feed_list)))
                return made[0](*values)

            return self._guarded(run)

        return call

    def list_devices(self) -> List[Any]:
        return list(self._guarded(self._session.list_devices))

    def close(self) -> None:
        """Close the session and end its thread; nothing is left to do if its processes are lost."""
        if self._lost is None:
            with contextlib.suppress(WorkersLost):
                self._guarded(self._session.close)
                self._calls.put(None)

    def _guarded(self, function: Callable[[], Any]) -> Any:
        """Return the result of ``function``, called on the session's thread; WorkersLost if workers are lost."""
        if self._lost is not None:
            raise self._lost
        future: Future[Any] = Future()
        self._calls.put((future, function))
        while True:
            try:
                return future.result(PATIENCE_S)
            except TimeoutError:
                silent = silent_workers(self._workers)
                if silent and not future.done():
                    self._abandon(silent)
                    self._lost = WorkersLost(silent, "no answer")
                    raise self._lost from None
            except _OF_LOSS as error:
                silent = silent_workers(self._workers)
                if isinstance(error, _OF_PROGRAM) and not silent:
                    raise
                self._abandon(silent)
                self._lost = WorkersLost(silent, "the connection ended" if silent else "it was restarted")
                raise self._lost from error

    def _serve(self) -> None:
        """Run the calls in order; the loop of the session's thread."""
        while True:
            item = self._calls.get()
            if item is None:
                return
            future, function = item
            try:
                result = function()
            except BaseException as error:  # raised again by the caller
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, future, function

    def _abandon(self, silent: Sequence[str] = ()) -> None:
        """End the thread after the call in progress, and keep the session undeleted; ``silent`` workers are lost."""
        self._calls.put(None)
        session = self._session
        _ABANDONED.append(session)
        if self._workers[0] in silent:
            session._closed = True  # otherwise, deleted callables would wait for the worker
        else:
            threading.Thread(target=_close, args=(session,), name="qatviz-close", daemon=True).start()


def silent_workers(workers: Sequence[str]) -> Tuple[str, ...]:
    """Return the workers that do not answer within `ANSWER_S`; all are asked at the same time."""
    asked = []
    for address in workers:
        future: Future[bool] = Future()
        asked.append(future)
        threading.Thread(target=_ask, args=(address, future), name="qatviz-ask", daemon=True).start()
    wait(asked, ANSWER_S + 1.0)
    return tuple(address for address, own in zip(workers, asked) if not (own.done() and own.result()))


def _ask(address: str, future: "Future[bool]") -> None:
    future.set_result(answers(address, ANSWER_S))


def _close(session: tf.Session) -> None:
    with contextlib.suppress(tf.errors.OpError, RuntimeError):  # its processes may be gone
        session.close()
