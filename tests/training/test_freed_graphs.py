"""Graphs of runs are freed when they are closed."""

import gc

from small_runs import mlp, spec
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph

from qatviz.training.building import graph_arguments
from qatviz.training.graph import TrainingGraph


def test_tensorflow_keeps_no_function_of_a_closed_graph():
    def counts():
        gc.collect()
        return len(ops._gradient_registry._registry), sum(isinstance(each, FuncGraph) for each in gc.get_objects())

    def build_and_close():
        graph = TrainingGraph(*graph_arguments(spec(mlp())))
        graph.complete()
        graph.close()

    build_and_close()
    before = counts()
    build_and_close()
    assert counts() == before
