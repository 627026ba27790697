"""Minibatches as a pure function of (seed, step), so that resumed, rewound and forked runs see the same ones."""

import operator
from typing import Any, Dict

import numpy as np

from qatviz.data.split import seed_words
from qatviz.errors import SettingError

# Separates this random stream from others with the same seed ("batc" in ASCII).
_STREAM = 0x62617463


class BatchSchedule:
    """Indices of the training examples of each training step.

    All steps together traverse one infinite sequence of examples: a permutation of all examples for epoch 0, another
    one for epoch 1, and so on. Step `s` uses the elements ``s * batch_size`` to ``(s + 1) * batch_size - 1`` of it. A
    batch may therefore span two epochs, and no example is omitted or repeated within an epoch. The permutation of epoch
    `e` is drawn from ``np.random.RandomState`` with the key (seed, e), a stream that is the same in all versions of
    NumPy and on all platforms.

    Thread-safe: the only state is a cache that is replaced as a whole.

    Parameters
    ----------
    num_examples : int
        Size of the training part, at least 1.
    batch_size : int
        Examples per step, at least 1. May exceed `num_examples`: a batch then spans several epochs.
    seed : int
        Seed of the permutations, at least 0.

    Raises
    ------
    SettingError
        If an argument is out of range.

    Examples
    --------
    >>> schedule = BatchSchedule(num_examples=4, batch_size=2, seed=0)
    >>> sorted(schedule.indices(0).tolist() + schedule.indices(1).tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int = 0):
        self.num_examples = _positive("number of examples", num_examples)
        self.batch_size = _positive("batch size", batch_size)
        self.seed = seed
        self._key = [_STREAM, *seed_words(seed)]
        self._permutations: Dict[int, np.ndarray] = {}

    def indices(self, step: int) -> np.ndarray:
        """Return the indices of the examples of a training step.

        Parameters
        ----------
        step : int
            Counted from 0.

        Returns
        -------
        ndarray of int32, shape [batch_size]
            Read-only indices into the training part, in the order in which they are fed.

        Raises
        ------
        ValueError
            If `step` is negative.
        """
        epoch, offset = divmod(self._start(step), self.num_examples)
        first = self._permutation(epoch)[offset : offset + self.batch_size]
        if first.size == self.batch_size:
            return first
        parts = [first]
        missing = self.batch_size - first.size
        while missing > 0:
            epoch += 1
            parts.append(self._permutation(epoch)[:missing])
            missing -= parts[-1].size
        batch = np.concatenate(parts)
        batch.setflags(write=False)
        return batch

    def _start(self, step: int) -> int:
        """Return the position of the first example of a step in the infinite sequence."""
        step = operator.index(step)
        if step < 0:
            raise ValueError(f"step is {step}; expected an integer of at least 0")
        return step * self.batch_size

    def _permutation(self, epoch: int) -> np.ndarray:
        """Return the permutation of an epoch, int32 ``[num_examples]``, read-only."""
        cached = self._permutations.get(epoch)
        if cached is None:
            words = seed_words(epoch)
            cached = np.random.RandomState(self._key + words).permutation(self.num_examples).astype(np.int32)
            cached.setflags(write=False)
            # A batch may span two epochs: keep the neighbours. Other threads may be reading the previous dict.
            permutations = {other: order for other, order in self._permutations.items() if abs(other - epoch) <= 1}
            permutations[epoch] = cached
            self._permutations = permutations
        return cached


def _positive(name: str, value: Any) -> int:
    """Return an argument as an int; raise a `SettingError` unless it is an integer from 1 to 2**31 - 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value < 2**31:
        raise SettingError(f"{name} is {value!r}; expected an integer from 1 to {2**31 - 1}")
    return int(value)
