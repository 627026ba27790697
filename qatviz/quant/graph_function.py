"""Functions in the graph that are traced once for each graph, and freed with it."""

import functools
from typing import Any, Callable, Dict, Sequence

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops


def graph_function(input_signature: Sequence[tf.TensorSpec]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a function one of the default graph, as ``tf.function`` without AutoGraph does.

    The function has no gradient, and returns at least one tensor. A ``tf.function`` of a module would keep, by the keys
    of its cache, every graph in which it was ever called.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            known: Dict[Any, Any] = vars(tf.get_default_graph()).setdefault("_qatviz_functions", {})
            if function not in known:
                known[function] = tf.function(function, autograph=False, input_signature=input_signature)
            result = known[function](*arguments)
            _forget_gradient(tf.nest.flatten(result)[0])
            return result

        return call

    return decorate


def _forget_gradient(output: tf.Tensor) -> None:
    """Delete the gradient that TensorFlow registers for each call of a function; it keeps the graph of the call."""
    op = output.op if "Call" in output.op.type else output.op.inputs[0].op
    ops._gradient_registry._registry.pop(op.get_attr("_gradient_op_type").decode(), None)
