"""TensorFlow functions that are traced once for each graph, and freed with it."""

import functools
from typing import Any, Callable, Dict, Sequence

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops


def graph_function(input_signature: Sequence[tf.TensorSpec]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator like ``tf.function`` without AutoGraph, for functions of a module.

    Each call adds an operation to the default graph; all calls in a graph share the traced function. A ``tf.function``
    of a module would keep, by the keys of its cache, every graph in which it was ever called: here, the graph keeps the
    ``tf.function``. The decorated function must return at least one tensor, and its calls have no gradient.

    Parameters
    ----------
    input_signature : sequence of tf.TensorSpec
        Shapes and dtypes of all arguments.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            of_graph: Dict[Any, Any] = vars(tf.get_default_graph()).setdefault("_qatviz_functions", {})
            if function not in of_graph:
                of_graph[function] = tf.function(function, autograph=False, input_signature=input_signature)
            result = of_graph[function](*arguments)
            _forget_gradient(tf.nest.flatten(result)[0])
            return result

        return call

    return decorate


def _forget_gradient(output: tf.Tensor) -> None:
    """Delete the gradient that TensorFlow has registered for the call with this output: it would keep the graph."""
    # The output of the call, or an identity of it.
    op = output.op if "Call" in output.op.type else output.op.inputs[0].op
    ops._gradient_registry._registry.pop(op.get_attr("_gradient_op_type").decode(), None)
