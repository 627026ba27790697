"""Records to test with, and comparison of what was written with what was read."""

import numpy as np

from qatviz.telemetry.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord, TensorHistogram

NUM_TENSORS = 3


def step_record(step, seconds=None):
    """A record whose every value follows from its step."""
    values = np.random.RandomState(step).normal(size=(len(STEP_MEASURES), NUM_TENSORS)).astype(np.float32)
    return StepRecord(step, float(step) / 8 if seconds is None else seconds, 1.0 / (step + 1), 1e-3, values)


def snapshot(step, n_bins=8, seed=0):
    random = np.random.RandomState(step + seed)
    histograms = {
        f"layer{i}/weights": TensorHistogram(
            edges=np.linspace(-1, 1, n_bins + 1).astype(np.float32),
            float_counts=random.randint(0, 1000, n_bins),
            quantized_counts=random.randint(0, 1000, n_bins),
            code_min=-8,
            code_counts=None if i == 1 else random.randint(0, 1000, 16),
            channel_min=random.normal(size=4).astype(np.float32),
            channel_max=random.normal(size=4).astype(np.float32),
            scale=random.normal(size=1).astype(np.float32),
            zero_point=random.randint(-8, 8, 1).astype(np.int32),
        )
        for i in range(NUM_TENSORS)
    }
    values = random.normal(size=(len(SNAPSHOT_MEASURES), NUM_TENSORS)).astype(np.float32)
    return Snapshot(step, step / 8, values, histograms, (4, 8, 16), (True, False, True))


def assert_same_snapshot(actual, expected):
    assert (actual.step, actual.seconds, actual.num_bits, actual.enabled) == (
        expected.step,
        expected.seconds,
        expected.num_bits,
        expected.enabled,
    )
    assert_same_array(actual.values, expected.values)
    assert list(actual.histograms) == list(expected.histograms)
    for name, histogram in expected.histograms.items():
        for field, value in vars(histogram).items():
            found = getattr(actual.histograms[name], field)
            if isinstance(value, np.ndarray):
                assert_same_array(found, value)
            else:
                assert found == value


def assert_same_array(actual, expected):
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def assert_steps(series, expected_steps):
    """The series has just these steps, with the values that `step_record` gives them."""
    assert series.steps.tolist() == list(expected_steps)
    for i, step in enumerate(expected_steps):
        record = step_record(step)
        assert (series.seconds[i], series.loss[i], series.learning_rate[i]) == (
            record.seconds,
            record.loss,
            record.learning_rate,
        )
        assert_same_array(series.values[i], record.values)
