"""Graphs, and parts of one, that are built while a run trains."""

from concurrent.futures import Future, ThreadPoolExecutor
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
        self._threads: Optional[ThreadPoolExecutor] = None
        self._future: Optional[Future[_Built]] = None

    def begin(self) -> None:
        """Begin to build, unless that has begun."""
        if self._future is None:
            self._threads = ThreadPoolExecutor(1, self._name)
            self._future = self._threads.submit(self._build)

    @property
    def has_begun(self) -> bool:
        """True once it is being built."""
        return self._future is not None

    @property
    def is_ready(self) -> bool:
        """True once it is built, or that has failed."""
        return self._future is not None and self._future.done()

    def get(self) -> _Built:
        """Return what is built; wait for it; raise what building it has raised."""
        assert self._future is not None, "it has not begun"
        return self._future.result()

    def wait(self) -> bool:
        """Wait for the end of the thread; return True if there is something built."""
        if self._threads is None or self._future is None:
            return False
        self._threads.shutdown()
        return self._future.exception() is None


class BackgroundGraph(BackgroundBuild[_Built]):
    """Graph of its own, beside that of a run, which nothing else uses; it has a method ``close``."""

    def close(self) -> None:
        """Wait until the graph is built, and release it."""
        if self.wait():
            self.get().close()  # type: ignore[attr-defined]
