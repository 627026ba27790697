"""Training graphs that the runs of a process use one after the other: building one takes as long as 1,000 steps."""

import collections
import inspect
import threading

import pytest

from qatviz.tensorflow_presence import has_tensorflow

#: Operations of the graphs to keep while no run uses them, those of some 12 small runs; the one unused for the longest
#: time is closed first. An operation needs about 18 kB, and two pools may be full in one process, see
#: ``TEST_PROCESS_BYTES`` of bootstrap.py.
MOST_OPERATIONS = 50000


def operations(graphs):
    """Return the number of operations of several `TrainingGraph`."""
    return sum(len(graph._graph.get_operations()) for graph in graphs)


class GraphPool:
    """Pool of the graphs that no run uses at present, by the arguments that they were built from.

    A graph that is taken gets its data again, and a run that begins sets all other state: it cannot tell a used graph
    from a new one.
    """

    def __init__(self):
        self._free, self._lock = collections.OrderedDict(), threading.Lock()

    def take(self, network, plan, dataset, batch_size, optimizer, *others, **named):
        """Return a free graph for these arguments of `TrainingGraph`, or a new one; closing it frees it."""
        data = [getattr(dataset, name) for name in ("x_train", "y_train", "x_test", "y_test")]
        form = dataset.task, dataset.pixel_scale, dataset.streamed, [(array.dtype, array.shape) for array in data]
        key = repr((network.to_dict(), plan, form, batch_size, optimizer, others, sorted(named.items())))
        with self._lock:
            graphs = self._free.get(key)
            graph = graphs.pop() if graphs else None
            if not graphs:
                self._free.pop(key, None)
        if graph is None:
            from qatviz.training.graph import TrainingGraph

            graph = TrainingGraph(network, plan, dataset, batch_size, optimizer, *others, **named)
        else:
            graph.load_data(dataset)
        graph.close = lambda: self._put_back(key, graph)
        return graph

    def _put_back(self, key, graph):
        # What a test has replaced would, as an attribute of the graph, hide the class's.
        for name in [name for name in vars(graph) if inspect.isfunction(getattr(type(graph), name, None))]:
            delattr(graph, name)
        graph.close = lambda: None  # a second call changes nothing
        graph._copies.wait()
        graph._data.close()
        closed = []
        with self._lock:
            self._free.setdefault(key, []).append(graph)
            self._free.move_to_end(key)
            while len(self._free) > 1 and self._operations() > MOST_OPERATIONS:
                closed += self._free.popitem(last=False)[1]
        for each in closed:
            type(each).close(each)

    def _operations(self):
        return operations(graph for graphs in self._free.values() for graph in graphs)

    def close(self):
        while self._free:
            for graph in self._free.popitem()[1]:
                type(graph).close(graph)


_POOL = GraphPool()


@pytest.fixture(autouse=True)
def shared_graphs(monkeypatch):
    """Let runs and evaluations in this process take their graphs from a pool."""
    if not has_tensorflow():
        return
    from qatviz.training import state_evaluator, trainer

    monkeypatch.setattr(trainer, "TrainingGraph", _POOL.take)
    monkeypatch.setattr(state_evaluator, "TrainingGraph", _POOL.take)


@pytest.fixture(autouse=True, scope="session")
def closed_pool():
    yield
    _POOL.close()
