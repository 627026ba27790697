"""Graphs, and parts of one, that are built while a run trains."""

import threading
from concurrent.futures import Future
from typing import Callable, Generic, Optional, TypeVar

_Built = TypeVar("_Built")


class BackgroundBuild(Generic[_Built]):
    """Something of TensorFlow's that is built on a thread of its own, because that takes as long as many steps.

    Parameters
    ----------
    build : callable
        Returns it.
    name : str
        Name of the thread.
    """

    def __init__(self, build: Callable[[], _Built], name: str):
        self._build, self._name = build, name
        self._thread: Optional[threading.Thread] = None
        self._future: Future[_Built] = Future()

    def begin(self) -> None:
        """Begin to build, unless that has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name)
            self._thread.start()

    @property
    def has_begun(self) -> bool:
        """True once it is being built."""
        return self._thread is not None

    @property
    def is_ready(self) -> bool:
        """True once it is built, or that has failed."""
        return self._future.done()

    def get(self) -> _Built:
        """Return what is built; wait for it; raise what building it has raised."""
        assert self.has_begun
        return self._future.result()

    def wait(self) -> bool:
        """Wait for the end of the thread, if it has begun; return True if there is something built."""
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
    """Graph of its own, beside that of a run, which nothing else uses; it has a method ``close``."""

    def close(self) -> None:
        """Wait until the graph is built, and release it."""
        if self.wait():
            self.get().close()  # type: ignore[attr-defined]
