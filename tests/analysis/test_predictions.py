"""Comparison of predictions in float and quantized: flips, margins, confusion matrices, scores by class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_samples import TASKS, of_task

from qatviz.analysis.predictions import (
    LOST,
    WON,
    OutputPredictions,
    compare,
    confusion_of,
    group_scores,
    members_of,
    members_of_cell,
    most_changed,
    ordered,
    predicted_classes,
    scores,
)
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

SEEDS = st.integers(0, 2**31 - 1)


def swapped(found):
    return OutputPredictions(
        found.output, found.task, found.names, np.array(found.quantized), np.array(found.in_float), found.targets
    )


@given(SEEDS, st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_margin_is_positive_where_the_class_is_right(seed, single):
    found = of_task(CLASSIFICATION, seed=seed, single=single)
    comparison = compare(found)
    for outputs, margins in ((found.in_float, comparison.margin_float), (found.quantized, comparison.margin_quantized)):
        np.testing.assert_array_equal(margins > 0, predicted_classes(outputs) == found.targets)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_margin_of_labels_is_positive_where_all_are_right(seed):
    found = of_task(MULTILABEL, seed=seed)
    right = ((found.quantized > 0) == (found.targets > 0)).all(axis=1)
    np.testing.assert_array_equal(compare(found).margin_quantized > 0, right)


@given(SEEDS, st.sampled_from(TASKS))
@settings(max_examples=40, deadline=None)
def test_networks_that_change_places_win_what_the_other_lost(seed, task):
    found = of_task(task, seed=seed)
    one, two = compare(found), compare(swapped(found))
    np.testing.assert_allclose(one.lost_margin, -two.lost_margin)
    np.testing.assert_array_equal(one.effect, -two.effect)
    if task != REGRESSION:
        np.testing.assert_array_equal(one.flipped, two.flipped)
    assert scores(found) == scores(swapped(found))[::-1]


@given(SEEDS, st.sampled_from(TASKS))
@settings(max_examples=40, deadline=None)
def test_equal_outputs_flip_nothing(seed, task):
    found = of_task(task, seed=seed)
    same = OutputPredictions("", task, found.names, found.in_float, found.in_float, found.targets)
    comparison = compare(same)
    assert not comparison.flipped.any() and not comparison.effect.any() and not comparison.lost_margin.any()
    assert ordered(comparison, only_flipped=True).size == 0
    assert all(score.lost == 0 or np.isnan(score.lost) for score in group_scores(same))


@given(SEEDS, st.sampled_from([CLASSIFICATION, SEGMENTATION]))
@settings(max_examples=25, deadline=None)
def test_the_matrix_counts_every_example_or_pixel_once(seed, task):
    found = of_task(task, seed=seed)
    confusion = confusion_of(found)
    counted = found.targets[found.targets < len(found.names)]
    counts = np.bincount(counted, minlength=len(found.names))
    for matrix in confusion:
        np.testing.assert_array_equal(matrix.sum(axis=1), counts)
    np.testing.assert_array_equal(confusion.difference.sum(axis=1), 0)
    before, after = (np.trace(matrix) / counts.sum() for matrix in confusion)
    assert scores(found) == pytest.approx((before, after))


def test_a_matrix_against_loops():
    found = of_task(CLASSIFICATION, seed=5)
    expected = np.zeros((3, 3), int)
    for target, predicted in zip(found.targets, found.quantized.argmax(axis=1)):
        expected[target, predicted] += 1
    np.testing.assert_array_equal(confusion_of(found).quantized, expected)
    for row in range(3):
        for column in range(3):
            members = members_of_cell(found, row, column)
            quantized = (found.targets == row) & (found.quantized.argmax(axis=1) == column)
            assert quantized.sum() == expected[row, column] and members[quantized].all()
            assert (found.targets[members] == row).all()


@given(SEEDS, st.sampled_from(TASKS))
@settings(max_examples=25, deadline=None)
def test_examples_are_sorted_by_lost_margin(seed, task):
    found = of_task(task, seed=seed)
    comparison = compare(found)
    everything = ordered(comparison)
    assert sorted(everything) == list(range(len(found.targets)))
    assert np.all(np.diff(comparison.lost_margin[everything]) <= 0)
    flipped = ordered(comparison, only_flipped=True)
    assert set(flipped) == set(np.flatnonzero(comparison.flipped))
    if found.names:
        members = members_of(found, 1)
        assert set(ordered(comparison, members=members)) == set(np.flatnonzero(members))


def test_lost_and_won_are_told_from_other_flips():
    outputs = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]], np.eye(3, dtype=np.float32)[[1, 0, 1, 1]]
    found = OutputPredictions("", CLASSIFICATION, ("a", "b", "c"), *outputs, np.array([0, 0, 0, 1], np.int32))
    comparison = compare(found)
    assert comparison.flipped.tolist() == [True, True, True, False]
    assert comparison.effect.tolist() == [LOST, WON, 0, 0]
    assert comparison.lost_margin.tolist() == [2.0, -2.0, 0.0, 0.0]
    assert ordered(comparison, only_flipped=True).tolist() == [0, 2, 1]


def test_classes_that_lose_most_come_first_and_those_without_examples_last():
    before, after = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2]], np.eye(4, dtype=np.float32)[[1, 1, 1, 0, 2]]
    targets = np.array([0, 0, 1, 1, 2], np.int32)
    found = group_scores(OutputPredictions("", CLASSIFICATION, tuple("abcd"), before, after, targets))
    assert [score.group for score in found] == [0, 1, 2, 3]
    assert [score.lost for score in found[:3]] == [1.0, 0.5, 0.0] and np.isnan(found[3].lost)
    assert [score.number for score in found] == [2, 2, 1, 0]


def test_labels_have_the_accuracy_of_their_decisions():
    found = of_task(MULTILABEL, seed=3)
    for score in group_scores(found):
        right = (found.quantized[:, score.group] > 0) == (found.targets[:, score.group] > 0)
        assert score.quantized == pytest.approx(right.mean())
        assert score.number == found.targets[:, score.group].sum()
    assert confusion_of(found) is None


def test_numbers_have_root_mean_squared_errors():
    found = of_task(REGRESSION, seed=4)
    for score in group_scores(found):
        errors = found.quantized[:, score.group] - found.targets[:, score.group]
        assert score.quantized == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    errors = found.in_float - found.targets
    assert scores(found)[0] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    grown = np.abs(found.quantized - found.targets)[:, :1], np.abs(found.in_float - found.targets)[:, :1]
    single = OutputPredictions(
        "", REGRESSION, (), found.in_float[:, :1], found.quantized[:, :1], np.array(found.targets[:, :1])
    )
    np.testing.assert_array_equal(compare(single).flipped, (grown[0] > grown[1])[:, 0])


def test_ignored_pixels_do_not_count():
    targets = np.array([[[0, 1], [255, 255]]], np.uint8)
    before, after = np.array([[[0, 1], [0, 0]]], np.uint8), np.array([[[0, 0], [1, 1]]], np.uint8)
    found = OutputPredictions("", SEGMENTATION, ("a", "b"), before, after, targets)
    comparison = compare(found)
    assert comparison.margin_float.tolist() == [1.0] and comparison.margin_quantized.tolist() == [0.0]
    assert confusion_of(found).quantized.tolist() == [[1, 0], [1, 0]]
    same = OutputPredictions("", SEGMENTATION, ("a", "b"), before, np.array([[[0, 1], [1, 1]]], np.uint8), targets)
    assert not compare(same).flipped.any()


def test_classes_that_change_most_are_chosen():
    before = np.arange(36).reshape(6, 6)
    after = before.copy()
    after[4, 4] -= 3
    after[4, 1] += 3
    confusion = confusion_of(of_task(CLASSIFICATION))._replace(in_float=before, quantized=after)
    assert most_changed(confusion, 2).tolist() == [1, 4]


def test_outputs_of_other_shapes_are_refused():
    found = of_task(CLASSIFICATION)
    with pytest.raises(ValueError, match="as many of the same shape"):
        OutputPredictions("", CLASSIFICATION, found.names, found.in_float[1:], found.quantized, found.targets)
