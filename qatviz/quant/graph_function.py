"""Functions in the graph that are traced once for each graph, and freed with it."""

import functools
from typing import Any, Callable, Dict, Sequence

import tensorflow.compat.v1 as tf


def graph_function(input_signature: Sequence[tf.TensorSpec]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a function one of the default graph, as ``tf.function`` without AutoGraph does.

    A ``tf.function`` of a module keeps, by the keys of its cache, every graph in which it was ever called.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            known: Dict[Any, Any] = vars(tf.get_default_graph()).setdefault("_qatviz_functions", {})
            if function not in known:
                known[function] = tf.function(function, autograph=False, input_signature=input_signature)
            return known[function](*arguments)

        return call

    return decorate
