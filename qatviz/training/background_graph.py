"""Construction of graphs, and of parts of a graph, while a run trains."""

import threading
from concurrent.futures import Future
from typing import Callable, Generic, Optional, TypeVar

_Built = TypeVar("_Built")


class BackgroundBuild(Generic[_Built]):
    """Construction of one object on a thread of its own, because it takes as long as many training steps.

    Parameters
    ----------
    build : callable
        Returns the object; called once, on that thread.
    name : str
        Name of the thread.
    """

    def __init__(self, build: Callable[[], _Built], name: str):
        self._build, self._name = build, name
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()  # two threads may ask for the object at the same time
        self._future: Future[_Built] = Future()

    def begin(self) -> None:
        """Begin the construction, unless it has begun; RuntimeError if there is no memory for a thread."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name)
                thread.start()
                self._thread = thread

    @property
    def has_begun(self) -> bool:
        """True once the construction has begun."""
        return self._thread is not None

    @property
    def is_ready(self) -> bool:
        """True once the construction has ended, even if it has failed."""
        return self._future.done()

    def get(self) -> _Built:
        """Wait for the object and return it; raise the error with which the construction has failed."""
        assert self.has_begun
        return self._future.result()

    def wait(self) -> bool:
        """Wait for the end of the construction, if it has begun; return whether the object was built."""
        if self._thread is None:
            return False
        self._thread.join()
        return self._future.exception() is None

    def _run(self) -> None:
        try:
            built = self._build()
        except BaseException as error:  # raised again by get
            self._future.set_exception(error)
        else:
            self._future.set_result(built)


class BackgroundGraph(BackgroundBuild[_Built]):
    """Construction of a graph beside that of a run: an object whose ``close`` is called by :meth:`close`."""

    def close(self) -> None:
        """Wait for the end of the construction, if it has begun, and close the graph."""
        if self.wait():
            self.get().close()  # type: ignore[attr-defined]
