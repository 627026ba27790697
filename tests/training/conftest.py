"""Shared training graphs: building one takes a thousand times as long as a step, so equal ones are built once."""

import collections
import inspect
import threading

import pytest
from shared_graphs import MOST_OPERATIONS, operations

from qatviz.training import trainer
from qatviz.training.graph import TrainingGraph

_GRAPHS = collections.OrderedDict()
_BUILDING = threading.Lock()


class SharedGraph(TrainingGraph):
    """A graph that outlives its run; the next run with it starts by setting all of its state."""

    def close(self):
        """Stay open, but without threads that read data ahead or complete the graph."""
        self._copies.wait()
        self._data.close()


def shared_graph(network, plan, dataset, *others, **named):
    """Return the graph for these arguments of :class:`TrainingGraph`, built at the first call."""
    bound = inspect.signature(TrainingGraph).bind(network, plan, dataset, *others, **named)
    bound.apply_defaults()
    key = (repr(network.to_dict()), dataset.fingerprint, dataset.streamed, *bound.args[3:])
    with _BUILDING:  # a run and its test may call concurrently
        if key not in _GRAPHS:
            _GRAPHS[key] = SharedGraph(*bound.args)
        _GRAPHS.move_to_end(key)
        return _GRAPHS[key]


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """Make runs use the shared graphs; return the function that returns them.

    A method that a test replaced in a graph is there again, but as an attribute of the graph, which would hide what
    another test replaces in the class.
    """
    for graph in _GRAPHS.values():
        for name in [name for name in vars(graph) if inspect.isfunction(getattr(SharedGraph, name, None))]:
            delattr(graph, name)
    monkeypatch.setattr(trainer, "TrainingGraph", shared_graph)
    return shared_graph


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Close the graphs unused for the longest time after each module: all of them would need gigabytes."""
    yield
    while len(_GRAPHS) > 1 and operations(_GRAPHS.values()) > MOST_OPERATIONS:
        TrainingGraph.close(_GRAPHS.popitem(last=False)[1])


@pytest.fixture(autouse=True, scope="session")
def closed_in_the_end():
    """Release the sessions."""
    yield
    for graph in _GRAPHS.values():
        TrainingGraph.close(graph)
    _GRAPHS.clear()
