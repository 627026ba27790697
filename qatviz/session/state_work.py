"""Computations on one state of a run that is not training, in a graph that is built when it is first needed."""

import contextlib
import threading
from typing import Generic, Iterator, Optional, TypeVar

from qatviz.export.progress import Progress
from qatviz.protocol.run_spec import RunSpec
from qatviz.training.pieces import PiecewiseJob

_Graph = TypeVar("_Graph")
_Result = TypeVar("_Result")


class StateWork(Generic[_Graph]):
    """Base class of computations on one state of a run, which share one graph.

    Thread-safe. TensorFlow is imported, and the graph built, by the first computation. A subclass implements
    :meth:`_build`.

    Parameters
    ----------
    spec : RunSpec
        Its ``start`` is the state.
    """

    def __init__(self, spec: RunSpec):
        assert spec.start is not None, "the work is on a state"
        self.spec, self.state = spec, spec.start
        self._graph: Optional[_Graph] = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Release the graph, after the computation in progress."""
        with self._lock:
            if self._graph is not None:
                self._graph.close()  # type: ignore[attr-defined]
                self._graph = None

    @contextlib.contextmanager
    def _in_use(self, progress: Progress) -> Iterator[_Graph]:
        """Yield the graph to one thread at a time; build it before the first."""
        with self._lock:
            if self._graph is None:
                progress.at("building the graph", 0.0)
                self._graph = self._build()
            yield self._graph

    def _build(self) -> _Graph:
        """Return the graph, which has a method ``close``."""
        raise NotImplementedError


def completed(job: PiecewiseJob[_Result], what: str, progress: Progress) -> _Result:
    """Return the result of a job; ``what`` names the work in the progress.

    Raises
    ------
    Cancelled
    """
    result = None
    while result is None:
        progress.at(what, job.pieces_done / job.num_pieces)
        result = job.advance()
    return result
