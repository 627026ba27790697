"""Predicted measures of pending settings, compared with a slow reference."""

import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from processor_time import least_s
from waiting import run_process

from qatviz.analysis import pending
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.snapshots import TensorHistogram
from qatviz.quant.affine import AffineGrid, choose_grid
from qatviz.quant.measures import measure
from qatviz.quant.ranges import find_range, min_max_range
from qatviz.settings import FROZEN, HISTOGRAM_METHODS, MIN_MAX, MSE, PERCENTILE, quantizer_settings

PLAN = quantization_plan(zoo.build("lenet", (28, 28, 1), 10))
WEIGHTS, ACTIVATIONS = PLAN.tensor("conv1.weights"), PLAN.tensor("input.activations")
PRESENT = (np.float32(-0.5), np.float32(0.75))


def random_values(seed, rows, channels, spread=1.0):
    random = np.random.RandomState(seed)
    return (spread * random.randn(rows, channels) * random.uniform(0.1, 3.0, channels)).astype(np.float32)


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 300),
    channels=st.integers(1, 9),
    bits=st.integers(2, 16),
    symmetric=st.booleans(),
    narrow=st.booleans(),
    power=st.booleans(),
    by_channel=st.booleans(),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    exponent=st.integers(-20, 20),
    block=st.integers(1, 400),
)
def test_measures_equal_the_references(
    seed, rows, channels, bits, symmetric, narrow, power, by_channel, share, exponent, block
):
    values = random_values(seed, rows, channels, 10.0**exponent)
    values[::7] = 0
    low, high = min_max_range(values if by_channel else values.reshape(-1, 1))
    grid = choose_grid(low * share, high * share, bits, symmetric, narrow, power)
    whole_block, pending.BLOCK_VALUES = pending.BLOCK_VALUES, block
    try:
        found = pending.pending_measures(values, grid)
    finally:
        pending.BLOCK_VALUES = whole_block
    expected = measure(values, grid)
    for exact in ("clipped", "flushed", "used_codes", "effective_bits"):
        assert getattr(found, exact) == pytest.approx(getattr(expected, exact), abs=1e-12), exact
    for near in ("mse", "mse_clipping", "mse_rounding", "rmse_over_scale", "sqnr_db"):
        np.testing.assert_allclose(getattr(found, near), getattr(expected, near), rtol=1e-5, atol=1e-12, err_msg=near)


def test_a_channel_of_zeros_has_one_code_as_in_the_reference():
    values = random_values(1, 50, 3)
    values[:, 1] = 0
    grid = choose_grid(*min_max_range(values), num_bits=4)
    assert pending.pending_measures(values, grid).used_codes == measure(values, grid).used_codes
    shifted = AffineGrid(grid.scale, np.int32([0, 5, 0]), 4, False)
    assert pending.pending_measures(values, shifted)[5:] == pytest.approx(measure(values, shifted)[5:])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_measures(bad):
    values = random_values(0, 10, 2)
    values[3, 1] = bad
    assert np.isnan(pending.pending_measures(values, choose_grid(-1.0, 1.0))).all()


def test_no_values_have_no_error():
    found = pending.pending_measures(np.zeros((0, 3), np.float32), choose_grid(0.0, 0.0))
    assert found.mse == 0 and found.used_codes == 0 and np.isnan(found.sqnr_db)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method", [MIN_MAX, PERCENTILE, MSE])
def test_weights_get_the_range_of_the_method(method, per_channel):
    values = random_values(3, 150, WEIGHTS.num_channels)
    settings = quantizer_settings("weights", num_bits=4, range_method=method, per_channel=per_channel, percentile=95.0)
    grid = pending.pending_grid(WEIGHTS, settings, PRESENT, values)
    low, high = find_range(values if per_channel else values.reshape(-1, 1), settings)
    np.testing.assert_array_equal(grid.scale, choose_grid(low, high, 4).scale)
    assert grid.scale.shape == (WEIGHTS.num_channels if per_channel else 1,)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_frozen_range_is_kept(per_channel):
    values = random_values(3, 150, WEIGHTS.num_channels)
    expected = choose_grid(*PRESENT, num_bits=3).scale
    for method, held in ((FROZEN, False), (PERCENTILE, True), (MIN_MAX, True)):
        settings = quantizer_settings("weights", num_bits=3, range_method=method, per_channel=per_channel)
        np.testing.assert_array_equal(
            pending.pending_grid(WEIGHTS, settings, PRESENT, values, held).scale,
            np.full(WEIGHTS.num_channels if per_channel else 1, expected),
        )


def test_one_grid_for_all_channels_spans_the_widest():
    present = (np.float32([-1, -3]), np.float32([2, 1]))
    settings = quantizer_settings("weights", range_method=FROZEN)
    grid = pending.pending_grid(WEIGHTS, settings, present)
    assert grid.scale == choose_grid(-3.0, 2.0).scale


def test_activations_keep_their_average():
    settings = quantizer_settings("activations", num_bits=5, symmetric=True)
    grid = pending.pending_grid(ACTIVATIONS, settings, PRESENT, random_values(0, 100, 1))
    assert grid.scale == choose_grid(*PRESENT, num_bits=5, symmetric=True).scale and grid.zero_point == 0


def histogram_of(values, bins=128):
    counts, edges = np.histogram(values, bins)
    return TensorHistogram(
        edges.astype(np.float32),
        counts,
        counts,
        -128,
        None,
        values.min(axis=0),
        values.max(axis=0),
        np.float32([1]),
        np.int32([0]),
    )


@given(seed=st.integers(0, 10**6), channels=st.integers(1, 6), by_channel=st.booleans())
@hypothesis_settings(deadline=None, max_examples=40)
def test_sampled_values_follow_the_histogram(seed, channels, by_channel):
    values = random_values(seed, 2000, channels)
    likely = pending.likely_values(histogram_of(values), by_channel)
    assert likely.shape[1] == (channels if by_channel else 1) and likely.dtype == np.float32
    if by_channel:
        np.testing.assert_allclose(likely.min(axis=0), values.min(axis=0), rtol=1e-5)
        np.testing.assert_allclose(likely.max(axis=0), values.max(axis=0), rtol=1e-5)
    else:
        bin_width = (values.max() - values.min()) / 128
        shares = np.linspace(0, 100, 21)
        assert np.abs(np.percentile(likely, shares) - np.percentile(values, shares)).max() < 2 * bin_width


CHANNELS = {
    "equal": lambda r: r.standard_normal((288, 512)),
    "of different width": lambda r: r.standard_normal((288, 512)) * np.exp(0.5 * r.standard_normal(512)),
    "uniform": lambda r: r.uniform(-1, 1, (288, 512)),
    "shifted": lambda r: r.standard_normal((64, 256)) * 0.02 + 0.05 * r.standard_normal(256),
    "of nine values": lambda r: r.standard_normal((9, 512)) * np.exp(0.5 * r.standard_normal(512)),
}


@pytest.mark.parametrize("num_bits, error_db", [(2, 2.2), (4, 0.6), (8, 1.2)])
@pytest.mark.parametrize("shape", sorted(CHANNELS))
def test_sampled_values_of_many_channels_have_the_error_of_all(shape, num_bits, error_db):
    """Eight values in each of 512 channels, as of any other tensor of which only the histogram is known, say 22 dB."""
    values = np.float32(CHANNELS[shape](np.random.RandomState(0)))
    likely = pending.likely_values(histogram_of(values), True)
    settings = quantizer_settings("weights", num_bits=num_bits, symmetric=True, per_channel=True)
    expected, found = [
        pending.pending_measures(x, choose_grid(*find_range(x, settings), num_bits, True)) for x in (values, likely)
    ]
    assert found.sqnr_db == pytest.approx(expected.sqnr_db, abs=error_db)
    assert np.mean(likely**2) == pytest.approx(np.mean(values**2), rel=0.02)


def test_sampled_values_of_many_channels_are_measured_within_a_frame():
    values = np.float32(CHANNELS["equal"](np.random.RandomState(0)))
    histogram, settings = histogram_of(values), quantizer_settings("weights", num_bits=4, per_channel=True)

    def preview():
        likely = pending.likely_values(histogram, True)
        pending.pending_measures(likely, choose_grid(*find_range(likely, settings), 4, True))

    assert least_s(preview) < 0.05


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: Prints the processor time (s) of other threads and that of the own one, which measures values again and again.
_THREADS = """
import time
import numpy as np
from qatviz.analysis.pending import pending_measures
from qatviz.quant.affine import choose_grid

values = np.random.RandomState(0).randn(10**4, 100).astype(np.float32)
grid = choose_grid(values.min(0), values.max(0), 4, True, True)
whole, own = time.process_time(), time.thread_time()
for _ in range(40):
    pending_measures(values, grid)
whole, own = time.process_time() - whole, time.thread_time() - own
print(whole - own, own)
"""


def test_values_are_measured_without_threads_of_the_algebra_library():
    """Waiting for such threads took a hundred times as long as the sums while training occupied the cores."""
    environ = dict(os.environ, PYTHONPATH=ROOT)
    done = run_process([sys.executable, "-c", _THREADS], check=True, env=environ, text=True)
    others, own = map(float, done.stdout.split())
    assert others < 0.01 * own


def test_sampled_values_of_empty_and_infinite_histograms():
    empty = histogram_of(np.float32([[0.0, 1.0]]))
    nothing = TensorHistogram(
        empty.edges, empty.float_counts * 0, empty.quantized_counts * 0, *list(vars(empty).values())[3:]
    )
    assert pending.likely_values(nothing, True).shape == (0, 2)
    broken = TensorHistogram(
        *list(vars(empty).values())[:5], np.float32([np.nan, 0]), np.float32([1, np.inf]), empty.scale, empty.zero_point
    )
    assert np.isnan(pending.likely_values(broken, True)).all()
    constant = histogram_of(np.full((9, 2), 0.25, np.float32))
    np.testing.assert_array_equal(pending.likely_values(constant, True), np.float32(0.25))


@pytest.mark.parametrize("method", HISTOGRAM_METHODS)
def test_activations_get_the_range_that_the_method_finds(method):
    values = np.abs(random_values(1, 3000, 1))
    settings = quantizer_settings("activations", num_bits=4, range_method=method, percentile=90.0)
    grid = pending.pending_grid(ACTIVATIONS, settings, PRESENT, values)
    low, high = find_range(values, settings)
    assert grid.scale == choose_grid(low, high, 4).scale
    held = pending.pending_grid(ACTIVATIONS, settings, PRESENT, values, held=True)
    assert held.scale == choose_grid(*PRESENT, num_bits=4).scale


def test_extremes_contain_the_present_range_and_the_values():
    values = np.float32([[-7.0], [0.5]])
    settings = quantizer_settings("activations", range_method="extremes")
    assert pending.pending_grid(ACTIVATIONS, settings, PRESENT, values).scale == choose_grid(-7.0, PRESENT[1]).scale


@pytest.mark.parametrize("method, is_exact", [("learned", True), ("mse", True), ("min_max", False), ("frozen", False)])
def test_the_range_of_a_symmetric_grid_in_effect_is_that_of_its_scale_where_that_is_what_is_chosen(method, is_exact):
    settings = quantizer_settings("weights", symmetric=True, range_method=method)
    scale, zero, none = np.array([0.01], np.float32), np.zeros(1, np.int32), np.zeros(0, np.int64)
    low, high = np.array([-0.4], np.float32), np.array([0.3], np.float32)
    histogram = TensorHistogram(np.array([-1.0, 1.0], np.float32), none, none, 0, None, low, high, scale, zero)
    (least, most), is_estimate = pending.present_range(WEIGHTS, histogram, 8, settings)
    assert is_estimate == (not is_exact)
    assert [least[0], most[0]] == pytest.approx([-1.28, 1.27] if is_exact else [-0.4, 0.3])
