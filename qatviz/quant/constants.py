"""Constants that are created once per graph and shared: otherwise, they are a third of a large network's operations."""

from typing import Any, Callable, Dict, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

#: Type, shape and content of a constant.
_Key = Tuple[str, Tuple[int, ...], bytes]
#: Name of the graph's attribute that is True if devices don't share constants.
_BY_DEVICE = "_qatviz_constants_by_device"


def shared_constant(value: Any, dtype: Any = np.float32) -> tf.Tensor:
    """Return ``tf.constant(value, dtype)`` in the default graph; always the same tensor for equal values."""
    array = np.asarray(value, dtype)
    return _shared((array.dtype.str, array.shape, array.tobytes()), lambda: tf.constant(array))


def shared_zeros(shape: Sequence[int]) -> tf.Tensor:
    """Return float32 zeros, computed when the default graph runs; always the same tensor for equal shapes."""
    shape = tuple(shape)
    return _shared(
        ("zeros", shape, b""), lambda: tf.raw_ops.Fill(dims=tf.constant(shape, tf.int32), value=shared_constant(0.0))
    )


def half_up(x: tf.Tensor) -> tf.Tensor:
    """Return ``floor(x + 0.5)``, float32 or float64 as ``x``."""
    return tf.floor(x + shared_constant(0.5, x.dtype.as_numpy_dtype))


def is_positive(x: tf.Tensor) -> tf.Tensor:
    """Return ``x > 0``, bool in the shape of ``x``."""
    return tf.greater(x, shared_constant(0, x.dtype.as_numpy_dtype))


def all_axes(x: tf.Tensor) -> tf.Tensor:
    """Return all axes of ``x``, whose rank is known, for a reduction to a scalar."""
    return shared_constant(np.arange(x.shape.ndims), np.int32)


def _shared(key: _Key, make: Callable[[], tf.Tensor]) -> tf.Tensor:
    # Stored in the graph, so that they are freed with it.
    graph = tf.get_default_graph()
    known: Dict[Any, tf.Tensor] = vars(graph).setdefault("_qatviz_constants", {})
    place = (*key, _current_device(graph)) if vars(graph).get(_BY_DEVICE) else key
    if place not in known:
        # Without the control dependencies in effect: other operations use the constant, too.
        with tf.control_dependencies(None):
            known[place] = make()
    return known[place]


def share_by_device() -> None:
    """Make each device of the default graph have constants of its own from now on.

    A constant of another device would be sent at each step.
    """
    vars(tf.get_default_graph())[_BY_DEVICE] = True


def _current_device(graph: tf.Graph) -> str:
    """Return the device of operations that are created now."""
    colocated = list(graph._colocation_stack.peek_objs())
    if colocated:
        return str(colocated[0].device)  # the innermost
    return " ".join(str(device.display_name) for device in graph._device_function_stack.peek_objs())
