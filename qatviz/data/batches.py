"""Minibatches that are a pure function of (seed, step), so that resume, undo and forks see the same ones."""

import operator

import numpy as np

from qatviz.data.split import seed_words
from qatviz.errors import SettingError

# Keeps this random stream apart from others under the same seed ("batc" in ASCII).
_STREAM = 0x62617463


class BatchSchedule:
    """Which examples every step trains on.

    The steps walk through one endless sequence: epoch 0's permutation of all examples, epoch 1's, and so on. Step `s`
    takes the places ``s * batch_size`` to ``(s + 1) * batch_size - 1`` of it, so that a batch may cross the border of
    two epochs and no example is dropped or repeated within an epoch. The permutation of epoch `e` is drawn from
    ``np.random.RandomState`` keyed with (seed, e): the stream is frozen by NumPy and equal on every platform.

    Calls from several threads are allowed: there is no state but a cache that is replaced as a whole.

    Parameters
    ----------
    num_examples : int
        Size of the training part, at least 1.
    batch_size : int
        Examples a step, at least 1. It may exceed `num_examples`: a batch then spans several epochs.
    seed : int
        At least 0.

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

    def __init__(self, num_examples, batch_size, seed=0):
        self.num_examples = _positive("number of examples", num_examples)
        self.batch_size = _positive("batch size", batch_size)
        self.seed = seed
        self._key = [_STREAM, *seed_words(seed)]
        self._permutations = {}

    def indices(self, step):
        """Return the examples of a step.

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

    def _start(self, step):
        step = operator.index(step)
        if step < 0:
            raise ValueError(f"step is {step}: steps are counted from 0")
        return step * self.batch_size

    def _permutation(self, epoch):
        cached = self._permutations.get(epoch)
        if cached is None:
            words = seed_words(epoch)
            cached = np.random.RandomState(self._key + words).permutation(self.num_examples).astype(np.int32)
            cached.setflags(write=False)
            # The neighbour stays: a batch that crosses the border needs both. Replaced as a whole for other threads.
            kept = {other: order for other, order in self._permutations.items() if abs(other - epoch) <= 1}
            kept[epoch] = cached
            self._permutations = kept
        return cached


def _positive(what, value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value < 2**31:
        raise SettingError(f"{what} is {value!r}: expected an integer from 1 to {2**31 - 1}")
    return int(value)
