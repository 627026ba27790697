"""The running histogram in the graph: bounds double, no count is lost, and the counts are NumPy's."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qatviz.quant.histogram_ranges import LARGEST_BOUND, NUM_BINS, SMALLEST_BOUND
from qatviz.quant.running_histogram import STEP_VALUES, extended, value_stride

EMPTY = (np.zeros(NUM_BINS, np.float32), np.float32(0), np.float32(0))


@pytest.fixture(scope="module")
def extend():
    """Return a function that adds values to a histogram (counts, zeros, bound) in the graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        feeds = [tf.placeholder(tf.float32, shape) for shape in ([NUM_BINS], [], [], [None])]
        feeds += [tf.placeholder(tf.int32, []) for _ in range(2)]
        run = session.make_callable(list(extended(*feeds)), feeds)
        yield lambda histogram, x, zero_bin, step=0: run(*histogram, np.float32(x), np.int32(zero_bin), np.int32(step))


def counted(x, bound, zero_bin):
    """Return the counts of values between -bound (or 0) and bound by NumPy."""
    bottom = -bound if zero_bin else 0.0
    return np.histogram(np.float64(x[x != 0]), NUM_BINS, (bottom, bound))[0]


BATCHES = st.lists(
    arrays_of.arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**20), 2.0**20, width=32)),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(BATCHES, st.booleans())
def test_rebinning_keeps_every_count(extend, batches, signed):
    """After each batch, the histogram is that of all values so far on the bins of the present bound."""
    histogram, zero_bin, seen = EMPTY, NUM_BINS // 2 if signed else 0, np.zeros(0, np.float32)
    for batch in batches:
        batch = batch if signed else np.abs(batch)
        batch = np.where(np.abs(batch) < SMALLEST_BOUND, np.float32(0), batch)
        before, seen = histogram[2], np.concatenate([seen, batch])
        histogram = extend(histogram, batch, zero_bin)
        counts, zeros, bound = histogram
        assert counts.sum() + zeros == len(seen) and zeros == np.count_nonzero(seen == 0)
        reach = np.abs(seen).max()
        assert bound >= before and bound >= reach
        if reach > 0:
            assert float(np.log2(bound)).is_integer() and (bound == before or bound < 2 * max(reach, SMALLEST_BOUND))
            np.testing.assert_array_equal(counts, counted(seen, bound, zero_bin))


def test_values_without_a_bin_are_counted_in_the_outermost_or_as_zero(extend):
    counts, zeros, bound = extend(EMPTY, [np.nan, np.inf, 0.0, -0.0, 3e38, -3e38], NUM_BINS // 2)
    assert (zeros, bound, counts[0], counts[-1], counts.sum()) == (4, LARGEST_BOUND, 1, 1, 2)
    counts, zeros, bound = extend(EMPTY, [1e-30], 0)
    assert bound == SMALLEST_BOUND and counts.sum() == 1 and counts[0] == 1


@pytest.mark.parametrize("channels", [16, 64])
@pytest.mark.parametrize("count", [2**16, 2**20])
def test_the_values_counted_of_a_large_tensor_are_of_all_channels(extend, channels, count):
    x = np.tile(np.arange(1, channels + 1), count // channels)
    counts, _, _ = extend(EMPTY, x, 0)
    assert np.count_nonzero(counts) == channels
    assert counts.max() <= counts[counts > 0].min() + 1 and counts.sum() > STEP_VALUES / 2


def test_the_stride_of_a_size_in_the_graph_is_that_of_a_known_size():
    """Towers, whose sizes are known, must count the values that the histogram counts of the whole batch."""
    sizes = [0, 1, *(STEP_VALUES * steps + more for steps in (1, 2, 3, 4, 50) for more in (-1, 0, 1)), 2**31 - 2**15]
    with tf.Graph().as_default(), tf.Session() as session:
        size = tf.placeholder(tf.int32, [])
        in_graph = session.make_callable(value_stride(size), [size])
        for number in sizes:
            assert in_graph(number) == value_stride(number) == -(-number // STEP_VALUES) | 1


def test_all_values_of_a_large_tensor_are_counted_in_turn(extend):
    x = np.arange(1, 3 * STEP_VALUES + 1)
    histogram, steps = EMPTY, 3
    for step in range(steps):
        histogram = extend(histogram, x, 0, step)
        assert histogram[0].sum() == pytest.approx((step + 1) * STEP_VALUES, abs=2)
    np.testing.assert_array_equal(histogram[0], counted(np.float32(x), histogram[2], 0))
