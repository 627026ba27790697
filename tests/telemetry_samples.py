"""Records for tests, and comparison of written and read items."""

import numpy as np

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord, TensorHistogram

NUM_TENSORS = 3


def step_values(steps):
    """Return the values of these steps, float32 ``[n, measures, tensors]``, which depend on the step."""
    pattern = np.arange(len(STEP_MEASURES) * NUM_TENSORS).reshape(len(STEP_MEASURES), NUM_TENSORS) / 7
    return ((np.asarray(steps)[:, np.newaxis, np.newaxis] * 0.37 + pattern) % 1).astype(np.float32)


def step_record(step):
    return StepRecord(step, step / 8, 1 / (step + 1), 1e-3, step_values([step])[0])


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
    """Check that the series has exactly these steps, with the values of `step_record`."""
    steps = np.array(expected_steps, np.int64)
    assert_same_array(series.steps, steps)
    assert_same_array(series.seconds, steps / 8)
    assert_same_array(series.loss, 1 / (steps + 1))
    assert_same_array(series.learning_rate, np.full(len(steps), 1e-3))
    assert_same_array(series.values, step_values(steps))
