"""Graph of its own beside that of a run, built while the run trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Generic, Optional, TypeVar

_Graph = TypeVar("_Graph")


class BackgroundGraph(Generic[_Graph]):
    """Graph that is built on a thread of its own, because that takes as long as many training steps.

    Nothing else uses the graph.

    Parameters
    ----------
    build : callable
        Returns the graph, which has a method ``close``.
    name : str
        Name of the thread.
    """

    def __init__(self, build: Callable[[], _Graph], name: str):
        self._build, self._name = build, name
        self._threads: Optional[ThreadPoolExecutor] = None
        self._graph: Optional[Future[_Graph]] = None

    def begin(self) -> None:
        """Begin to build, unless that has begun."""
        if self._graph is None:
            self._threads = ThreadPoolExecutor(1, self._name)
            self._graph = self._threads.submit(self._build)

    @property
    def is_ready(self) -> bool:
        """True once the graph is built, or that has failed."""
        return self._graph is not None and self._graph.done()

    def get(self) -> _Graph:
        """Return the graph; raise what building it has raised."""
        assert self._graph is not None, "it is built when somebody watches"
        return self._graph.result()

    def close(self) -> None:
        """Wait until the graph is built, and release it."""
        if self._threads is not None and self._graph is not None:
            self._threads.shutdown()
            if self._graph.exception() is None:
                self._graph.result().close()  # type: ignore[attr-defined]
