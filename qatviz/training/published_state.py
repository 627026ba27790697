"""State of the evaluation copy in a session, which can be published before the copy is built."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.training.evaluation_copy import EvaluationCopy, published_names
from qatviz.training.graph_copies import GraphCopies


class PublishedState:
    """State that the evaluation copy of a run has in a session.

    The evaluation copy takes longer to build than a training step. A state that is published before it exists is kept
    in arrays, so that the first step, before which the window requests an evaluation, does not wait for it.

    Parameters
    ----------
    copies : GraphCopies
    session : tf.Session
    values : dict of str to tf.Tensor
        Values of the live variables by name.
    """

    def __init__(self, copies: GraphCopies, session: tf.Session, values: Dict[str, tf.Tensor]):
        self._copies, self._session = copies, session
        self._live = [values[name] for name in published_names(values)]
        self._opened: Optional[_OpenedCopy] = None
        self._waiting: Optional[List[np.ndarray]] = None  # published before there is a copy

    @property
    def copy(self) -> EvaluationCopy:
        """The evaluation copy with the published state; the first request builds it."""
        return self._open().copy

    def publish(self) -> None:
        """Publish the live state."""
        if self._copies.has_evaluation:
            self._open().publish()
        else:
            # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
            self._waiting = [np.array(value) for value in self._session.run(self._live)]

    def read(self) -> List[np.ndarray]:
        """Return the published state, whose arrays can share their memory with variables."""
        return list(self._open().read())

    def republish(self, *state: np.ndarray) -> None:
        """Publish a state that :meth:`read` has returned."""
        self._open().republish(*state)

    def forget_codes(self) -> None:
        """Make the next snapshot compare its codes with no earlier ones."""
        if self._opened is not None:
            self._opened.forget()

    def _open(self) -> "_OpenedCopy":
        if self._opened is None:
            copy, prepared = self._copies.evaluation, self._session.make_callable
            copy.clear_codes(self._session)
            self._opened = _OpenedCopy(
                copy,
                prepared(copy.publish),
                prepared(copy.published),
                prepared(copy.republish, copy.republish_feeds),
                prepared(copy.forget),
            )
            if self._waiting is not None:
                self._opened.republish(*self._waiting)
                self._waiting = None
        return self._opened


class _OpenedCopy(NamedTuple):
    """The evaluation copy, and the session's callables for its operations of these names."""

    copy: EvaluationCopy
    publish: Callable[..., Any]
    read: Callable[..., Any]
    republish: Callable[..., Any]
    forget: Callable[..., Any]
