"""Reproducible split of examples into a training part and a test part: stratified by class, or at random."""

from typing import Any, List, Tuple

import numpy as np

from qatviz.errors import DataError, SettingError

# Separates the random stream of the split from that of the minibatches with the same seed ("spli" in ASCII).
_STREAM = 0x73706C69


def seed_words(seed: Any) -> List[int]:
    """Return a non-negative seed as a list of 32-bit words, least significant first.

    ``np.random.RandomState`` accepts this form for seeds of any size. NumPy guarantees that its streams do not depend
    on the version or the platform.

    Raises
    ------
    SettingError
        If the seed is not an integer of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SettingError(f"seed is {seed!r}; expected an integer of at least 0")
    rest = int(seed)
    words = [rest & 0xFFFFFFFF]
    while rest >> 32:
        rest >>= 32
        words.append(rest & 0xFFFFFFFF)
    return words


def stratified_split(labels: Any, test_fraction: float, seed: int = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Split examples so that each class has about the same fraction in both parts.

    The test part has ``round(test_fraction * N)`` examples if the classes allow it. Its number of examples per class is
    ``test_fraction * n_class``, rounded by the method of largest remainders and limited to 1 to ``n_class - 1`` for
    classes of two or more examples. A class of one example stays in the training part.

    Parameters
    ----------
    labels : ndarray of int, shape [N]
        Class indices.
    test_fraction : float
        Fraction of the test part, above 0 and below 1.
    seed : int
        The split is a pure function of (labels, test_fraction, seed) on all platforms.

    Returns
    -------
    train, test : ndarray of int64
        Ascending indices into `labels`: two disjoint, non-empty sets that together have all of them.

    Raises
    ------
    SettingError
        If `test_fraction` or `seed` is out of range.
    DataError
        If no class has two examples.
    """
    _check_fraction(test_fraction)
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.size == 0 or counts.max() < 2:
        raise DataError(
            f"found {labels.size} examples in {classes.size} classes; expected a class with two examples, one of which "
            "can be held out"
        )
    held_out = _held_out_counts(counts, float(test_fraction))
    random = np.random.RandomState([_STREAM, *seed_words(seed)])
    is_test = np.zeros(labels.size, dtype=bool)
    for label, n_test in zip(classes, held_out):
        members = np.flatnonzero(labels == label)
        is_test[members[random.permutation(members.size)[:n_test]]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def random_split(n_examples: int, test_fraction: float, seed: int = 0) -> Tuple[np.ndarray, np.ndarray]:
    """Split examples at random.

    The test part has ``round(test_fraction * N)`` examples, limited to 1 to ``N - 1``.

    Parameters
    ----------
    n_examples : int
    test_fraction, seed
        See :func:`stratified_split`.

    Returns
    -------
    train, test : ndarray of int64
        Ascending indices: two disjoint, non-empty sets that together have all of them.

    Raises
    ------
    SettingError
        If `test_fraction` or `seed` is out of range.
    DataError
        If there are fewer than two examples.
    """
    _check_fraction(test_fraction)
    if n_examples < 2:
        raise DataError(f"found {n_examples} examples; expected at least two, one of which can be held out")
    n_test = int(min(max(np.floor(float(test_fraction) * n_examples + 0.5), 1), n_examples - 1))
    order = np.random.RandomState([_STREAM, *seed_words(seed)]).permutation(n_examples)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def _check_fraction(test_fraction: float) -> None:
    """Raise a `SettingError` unless the fraction is above 0 and below 1."""
    if not 0.0 < float(test_fraction) < 1.0:
        raise SettingError(f"held-out fraction is {test_fraction!r}; expected a number above 0 and below 1")


def _held_out_counts(counts: np.ndarray, fraction: float) -> np.ndarray:
    """Return the number of held-out examples of each class, see :func:`stratified_split`; ``counts`` are of all."""
    exact = counts * fraction
    lowest = np.minimum(counts - 1, 1)
    highest = counts - 1
    result = np.clip(np.floor(exact).astype(np.int64), lowest, highest)
    missing = int(np.floor(fraction * counts.sum() + 0.5)) - int(result.sum())
    # The sort is stable so that of equal remainders, the lower class comes first on all platforms.
    for index in np.argsort(result - exact, kind="stable")[: max(missing, 0)]:
        result[index] = min(result[index] + 1, highest[index])
    return result
