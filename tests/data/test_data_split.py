"""The held-out part: disjoint, complete, stratified, and a pure function of its arguments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.data.split import seed_words, stratified_split
from qatviz.errors import DataError, SettingError

COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda counts: max(counts) >= 2)
FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**70)


def labels_of(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.RandomState(seed % 1000).permutation(labels)


@given(counts=COUNTS, fraction=FRACTIONS, seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_parts_are_disjoint_complete_and_stratified(counts, fraction, seed):
    labels = labels_of(counts, seed)
    train, test = stratified_split(labels, fraction, seed)
    assert sorted(np.concatenate([train, test])) == list(range(labels.size))
    assert train.size > 0 and test.size > 0
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    held_out = np.bincount(labels[test], minlength=len(counts))
    for count, n_test in zip(counts, held_out):
        if count >= 2:
            assert 1 <= n_test <= count - 1
            assert abs(n_test - fraction * count) <= 1
        else:
            assert n_test == 0


@given(n_classes=st.integers(1, 6), each=st.integers(2, 40), fraction=st.floats(0.1, 0.9), seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_the_held_out_part_has_the_requested_size(n_classes, each, fraction, seed):
    labels = labels_of([each] * n_classes, seed)
    expected = np.clip(np.floor(fraction * labels.size + 0.5), n_classes, labels.size - n_classes)
    assert stratified_split(labels, fraction, seed)[1].size == expected


def test_rounding_uses_the_largest_remainders():
    labels = labels_of([9, 10, 11], 0)
    # 2.7, 3.0 and 3.3 examples: nine in all, of which rounding down places eight.
    assert np.bincount(labels[stratified_split(labels, 0.3)[1]]).tolist() == [3, 3, 3]


def test_equal_seeds_agree_and_different_seeds_differ():
    labels = labels_of([50, 50], 0)
    first = [stratified_split(labels, 0.5, seed)[1].tolist() for seed in (0, 1, 2**32, 2**33)]
    again = [stratified_split(labels, 0.5, seed)[1].tolist() for seed in (0, 1, 2**32, 2**33)]
    assert first == again
    assert len({tuple(part) for part in first}) == 4


def test_the_split_is_the_same_on_every_platform_and_version():
    assert stratified_split(np.arange(30) % 3, 0.2, 5)[1].tolist() == [1, 5, 9, 10, 12, 17]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fractions_out_of_range_are_refused(fraction):
    with pytest.raises(SettingError, match="above 0 and below 1"):
        stratified_split([0, 0, 1, 1], fraction)


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2]])
def test_nothing_can_be_held_out_of_single_examples(labels):
    with pytest.raises(DataError, match="expected a class with two examples"):
        stratified_split(labels, 0.5)


@given(SEEDS)
def test_seed_words_represent_the_whole_seed(seed):
    words = seed_words(seed)
    assert sum(word << (32 * place) for place, word in enumerate(words)) == seed
    assert all(0 <= word < 2**32 for word in words)
    np.random.RandomState(words)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None, True])
def test_other_seeds_are_refused(seed):
    with pytest.raises(SettingError, match="seed is"):
        seed_words(seed)
