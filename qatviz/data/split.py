"""A fixed split of examples into a training and a test part: stratified by class, or at random where there are none."""

import numpy as np

from qatviz.errors import DataError, SettingError

# Keeps the random stream of the split apart from that of the minibatches under the same seed ("spli" in ASCII).
_STREAM = 0x73706C69


def seed_words(seed):
    """Return a non-negative seed as a list of 32-bit words, least significant first.

    This is the form that ``np.random.RandomState`` takes for seeds of any size. Its streams are frozen by NumPy's
    compatibility policy and do not depend on the platform.

    Raises
    ------
    SettingError
        If the seed is no integer or is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SettingError(f"seed is {seed!r}: expected an integer of at least 0")
    seed = int(seed)
    words = [seed & 0xFFFFFFFF]
    while seed >> 32:
        seed >>= 32
        words.append(seed & 0xFFFFFFFF)
    return words


def stratified_split(labels, test_fraction, seed=0):
    """Split examples so that every class has about the same share in both parts.

    The test part has ``round(test_fraction * N)`` examples where the classes allow it. Its size in each class is
    ``test_fraction * n_class`` rounded by the method of largest remainders, held within 1 and ``n_class - 1`` for every
    class of two or more examples; a class of one example stays in the training part.

    Parameters
    ----------
    labels : ndarray of int, shape [N]
        Class indices.
    test_fraction : float
        Share of the test part, above 0 and below 1.
    seed : int
        The split is a pure function of (labels, test_fraction, seed), on every platform.

    Returns
    -------
    train, test : ndarray of int64
        Indices into `labels`, ascending, disjoint, together all of them; neither is empty.

    Raises
    ------
    SettingError
        If `test_fraction` or `seed` is out of range.
    DataError
        If no class has two examples, so that nothing can be held out.
    """
    _check_fraction(test_fraction)
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.size == 0 or counts.max() < 2:
        raise DataError(
            f"nothing can be held out of {labels.size} examples in {classes.size} classes: at least one class "
            "needs two examples"
        )
    held_out = _held_out_counts(counts, float(test_fraction))
    random = np.random.RandomState([_STREAM, *seed_words(seed)])
    is_test = np.zeros(labels.size, dtype=bool)
    for label, n_test in zip(classes, held_out):
        members = np.flatnonzero(labels == label)
        is_test[members[random.permutation(members.size)[:n_test]]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def random_split(n_examples, test_fraction, seed=0):
    """Split examples at random, whatever they are.

    The test part has ``round(test_fraction * N)`` examples, held within 1 and ``N - 1``.

    Parameters
    ----------
    n_examples : int
    test_fraction, seed
        See :func:`stratified_split`.

    Returns
    -------
    train, test : ndarray of int64
        Indices, ascending, disjoint, together all of them; neither is empty.

    Raises
    ------
    SettingError
        If `test_fraction` or `seed` is out of range.
    DataError
        If there are fewer than two examples.
    """
    _check_fraction(test_fraction)
    if n_examples < 2:
        raise DataError(f"nothing can be held out of {n_examples} examples: at least two are needed")
    n_test = int(min(max(np.floor(float(test_fraction) * n_examples + 0.5), 1), n_examples - 1))
    order = np.random.RandomState([_STREAM, *seed_words(seed)]).permutation(n_examples)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def _check_fraction(test_fraction):
    if not 0.0 < float(test_fraction) < 1.0:
        raise SettingError(f"the held-out fraction is {test_fraction!r}: expected a number above 0 and below 1")


def _held_out_counts(counts, fraction):
    """Return how many examples of each class are held out, by largest remainders within the bounds."""
    exact = counts * fraction
    lowest = np.minimum(counts - 1, 1)
    highest = counts - 1
    result = np.clip(np.floor(exact).astype(np.int64), lowest, highest)
    missing = int(np.floor(fraction * counts.sum() + 0.5)) - int(result.sum())
    # A stable sort, so that equal remainders go to the lower class on every platform.
    for index in np.argsort(result - exact, kind="stable")[: max(missing, 0)]:
        result[index] = min(result[index] + 1, highest[index])
    return result
