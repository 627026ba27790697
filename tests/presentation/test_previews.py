"""The preview of a data set: examples of every class in turn, as pictures of the right values, and true counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.data import Dataset, describe, from_arrays
from qatviz.presentation.previews import GREY, LARGEST_SIDE, N_SAMPLES, RGB, ROWS, data_info, of_every_class


def dataset(x, y, **more):
    return from_arrays("some", "a test", (x, y), **more)


def classes_of(n, classes=4, seed=0):
    return np.random.RandomState(seed).permutation(np.arange(n) % classes)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(1, 40))
def test_examples_alternate_between_the_classes(labels, n):
    labels = np.array(labels)
    chosen = of_every_class(labels, n)
    expected, waiting = [], {label: list(np.flatnonzero(labels == label)) for label in sorted(set(labels))}
    while any(waiting.values()):
        expected += [indices.pop(0) for indices in waiting.values() if indices]
    assert chosen.tolist() == expected[:n]


def test_counts_and_captions_match_the_data():
    data = dataset(
        np.zeros((90, 3, 4, 1), np.uint8) + np.arange(90, dtype=np.uint8)[:, None, None, None],
        classes_of(90, 3),
        class_names=["a", "b", "c"],
    )
    info = data_info(data)
    for counts, labels in ((info.train_counts, data.y_train), (info.test_counts, data.y_test)):
        assert counts.tolist() == [int((labels == index).sum()) for index in range(3)]
    assert info.groups == ("a", "b", "c") and len(info.captions) == N_SAMPLES
    assert info.captions[:4] == ("a", "b", "c", "a")
    shown = info.samples[:, 0, 0]
    for value, caption in zip(shown, info.captions):
        row = int(np.flatnonzero(data.x_train[:, 0, 0, 0] == value)[0])
        assert data.class_names[data.y_train[row]] == caption
    assert info.describe() == "3×4×1, 3 classes, 72 training + 18 test examples"


def test_pixels_are_shown_unchanged():
    x = np.random.RandomState(0).randint(0, 256, (40, 5, 7, 3)).astype(np.uint8)
    data = dataset(x, classes_of(40))
    info = data_info(data)
    assert (
        info.kind == RGB and info.values == f"uint8 from {data.x_train.min()} to {data.x_train.max()}, fed as x / 255"
    )
    for sample in info.samples:
        assert (data.x_train == sample).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), (-3.5, 1e6)])
def test_float_values_are_scaled_from_minimum_to_maximum(low, high):
    x = np.random.RandomState(0).uniform(low, high, (40, 6, 6)).astype(np.float32)
    data = dataset(x, classes_of(40))
    info = data_info(data)
    chosen = of_every_class(data.y_train, N_SAMPLES)
    pixels = data.x_train[chosen][..., 0].astype(np.float64)
    expected = (pixels - data.x_train.min()) / (float(data.x_train.max()) - data.x_train.min()) * 255
    assert info.kind == GREY and np.abs(info.samples - expected).max() <= 0.5 + 1e-3
    assert info.values.startswith("float32 from ") and info.values.endswith("fed as they are")


@pytest.mark.parametrize("shape", [(200, 100), (1, 300), (65, 64)])
def test_large_pictures_are_reduced_to_means(shape):
    x = np.random.RandomState(0).randint(0, 256, (8, *shape, 1)).astype(np.uint8)
    data = dataset(x, classes_of(8, 2))
    samples = data_info(data).samples
    assert max(samples.shape[1:]) <= LARGEST_SIDE
    full = data.x_train[of_every_class(data.y_train, N_SAMPLES)].astype(np.float64)
    np.testing.assert_allclose(samples.mean(axis=(1, 2)), full.mean(axis=(1, 2, 3)), atol=8)


@pytest.mark.parametrize("channels, kind", [(2, GREY), (4, RGB), (5, RGB)])
def test_omitted_channels_are_noted(channels, kind):
    data = dataset(np.random.RandomState(0).randint(0, 256, (20, 4, 4, channels)).astype(np.uint8), classes_of(20))
    info = data_info(data)
    assert info.kind == kind and f"of {channels} channels" in info.notes[-1]


def test_feature_rows_are_strips_with_a_scale_for_each_feature():
    random = np.random.RandomState(0)
    x = (random.normal(size=(60, 5)) * [1, 10, 1000, 0, 1e-3]).astype(np.float32)
    info = data_info(dataset(x, classes_of(60)))
    assert info.kind == ROWS and info.samples.shape == (N_SAMPLES, 5)
    spread = info.samples.max(axis=0).astype(int) - info.samples.min(axis=0)
    assert (spread[[0, 1, 2, 4]] > 150).all() and spread[3] == 0
    assert info.describe().startswith("5 features, 4 classes")


def test_many_features_are_averaged_with_a_note():
    x = np.random.RandomState(0).normal(size=(30, 1000)).astype(np.float32)
    info = data_info(dataset(x, classes_of(30)))
    assert info.samples.shape[1] <= 2 * LARGEST_SIDE and "mean of 8 features" in info.notes[-1]


def test_targets_are_counted_in_intervals():
    random = np.random.RandomState(0)
    x, y = random.normal(size=(200, 3)).astype(np.float32), random.normal(size=(200, 2)).astype(np.float32)
    data = dataset(x, y, task="regression")
    info = data_info(data)
    assert info.is_regression and info.outputs == 2 and "2 targets" in info.describe()
    assert info.train_counts.sum() == len(data.x_train) and info.test_counts.sum() == len(data.x_test)
    assert len(info.groups) == len(info.train_counts) and info.captions[0] == "{:.4g}, {:.4g}".format(*data.y_train[0])


def test_constant_data_has_a_preview():
    for x in (np.full((10, 4, 4), 7.0, np.float32), np.zeros((10, 3), np.float32)):
        info = data_info(dataset(x, classes_of(10, 2)))
        assert len(set(info.samples.ravel().tolist())) == 1
    same = Dataset(
        "same",
        np.zeros((4, 2), np.float32),
        np.ones((4, 1), np.float32),
        np.zeros((2, 2), np.float32),
        np.ones((2, 1), np.float32),
        (),
        "a test",
        "regression",
    )
    assert data_info(same).train_counts.sum() == 4


def test_known_ranges_are_used():
    data = dataset(np.full((10, 4, 4), 7, np.uint8), classes_of(10, 2))
    summary = describe(data)
    info = data_info(data, (summary["train"]["min"], summary["train"]["max"]), summary["notes"])
    assert info.values.startswith("uint8 from 7 to 7") and "all training examples are identical" in info.notes
