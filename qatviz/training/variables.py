"""State variables of the graph: resource variables of four operations each, initialized by feeding.

``tf.Variable`` takes three times as many operations (initializers, checks, caches), which would add seconds to the
construction of a graph with fifty layers and their optimizer slots.
"""

from typing import Any, Dict, Iterable, Mapping, Tuple

import numpy as np
import tensorflow.compat.v1 as tf


class StateVariable:
    """Variable of a fixed shape, with a placeholder and an operation to load it.

    Parameters
    ----------
    is_fed : bool
        If False, the variable has no placeholder, and only operations of the graph assign it.

    Attributes
    ----------
    handle : tf.Tensor
        Resource, for TensorFlow's fused update kernels.
    feed : tf.Tensor
        Placeholder of the value that ``load`` assigns.
    load : tf.Operation
    """

    def __init__(self, name: str, dtype: Any, shape: Tuple[int, ...], is_fed: bool = True):
        self.dtype, self.shape = tf.as_dtype(dtype), tuple(shape)
        with tf.name_scope(scope_name(name)) as scope:
            # The scope is unique in the graph, and so is the shared name in the session's resources.
            self.handle = tf.raw_ops.VarHandleOp(dtype=self.dtype, shape=self.shape, shared_name=scope)
            if is_fed:
                self.feed = tf.placeholder(self.dtype, self.shape, "feed")
                self.load = self.assign(self.feed)

    def read(self) -> tf.Tensor:
        """Return the current value, which later assignments do not change."""
        value = tf.raw_ops.ReadVariableOp(resource=self.handle, dtype=self.dtype)
        value.set_shape(self.shape)
        return value

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """Return rows of the value, without reading all of it."""
        rows = tf.raw_ops.ResourceGather(resource=self.handle, indices=indices, dtype=self.dtype)
        rows.set_shape(indices.shape.concatenate(self.shape[1:]))
        return rows

    def assign(self, value: Any) -> tf.Operation:
        """Return an operation that assigns ``value``."""
        return tf.raw_ops.AssignVariableOp(resource=self.handle, value=tf.convert_to_tensor(value, self.dtype))


class Loader:
    """Callable that sets several variables in one session call."""

    def __init__(self, variables: Dict[str, StateVariable], names: Iterable[str]):
        self.names = tuple(names)
        self._variables = variables
        self._load = tf.group(*[variables[name].load for name in self.names])

    def __call__(self, session: tf.Session, arrays: Mapping[str, np.ndarray]) -> None:
        session.run(self._load, {self._variables[name].feed: arrays[name] for name in self.names})


def first_mismatch(wanted: Mapping[str, StateVariable], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the first difference of ``arrays`` from the variables in name, type or shape; empty if there is none."""
    for key in sorted({*wanted, *arrays}):
        expected = f"{wanted[key].dtype.name} {wanted[key].shape}" if key in wanted else "nothing"
        found = f"{arrays[key].dtype} {arrays[key].shape}" if key in arrays else "nothing"
        if found != expected:
            return f"{key} is {found}, expected {expected}"
    return ""


def scope_name(name: str) -> str:
    """Return ``name`` as a valid scope name of TensorFlow, which must not start with ``_``, ``-`` or ``/``."""
    return "".join(c if c.isalnum() or c in "._-/" else "_" for c in name).lstrip("_-/") or "variable"
