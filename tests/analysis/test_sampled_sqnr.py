"""The SQNR that is estimated from few values is, within its standard errors, that of the run."""

import itertools

import numpy as np
import pytest
from value_facts import grid_of, tensor_of

from qatviz.analysis.pending import pending_grid
from qatviz.analysis.sampled_sqnr import Estimate, are_few, finds_range, held_out, result_of, sampled
from qatviz.quant.measures import measure
from qatviz.settings import quantizer_settings

DISTRIBUTIONS = {
    "normal": lambda random, count: random.standard_normal(count),
    "uniform": lambda random, count: random.uniform(0.0, 3.0, count),
    "long tails": lambda random, count: random.standard_t(4, count),
    "relu": lambda random, count: np.maximum(random.standard_normal(count), 0.0),
}
NONE = np.zeros(1, np.float32), np.zeros(1, np.float32)


def values_of_run(distribution, seed):
    return np.float32(DISTRIBUTIONS[distribution](np.random.RandomState(seed), 20000)).reshape(-1, 1)


def errors(num_bits, count, method, estimate, distributions=DISTRIBUTIONS):
    """Return, for each distribution and seed, how far an estimate is above the run's SQNR, and its standard error."""
    found = []
    for distribution, seed in itertools.product(distributions, range(8)):
        everything = values_of_run(distribution, seed)
        tensor = tensor_of(everything, "activations")
        settings = quantizer_settings("activations", num_bits=num_bits, range_method=method)

        def grid_in(values, tensor=tensor, settings=settings):
            return pending_grid(tensor, settings, NONE, values)

        truth = measure(everything, grid_in(everything)).sqnr_db
        found_db, error = estimate(everything[:count], grid_in, method)
        found.append((found_db - truth, error))
    return np.array(found).T


def from_held_out(values, grid_in, method):
    return result_of(held_out([values], grid_in, method))[0]


def from_same_values(values, grid_in, method):
    return Estimate(measure(values, grid_in(values)).sqnr_db, 0.0)


@pytest.mark.parametrize("method", ["extremes", "percentile", "mse", "kl"])
@pytest.mark.parametrize("count", [32, 320])
@pytest.mark.parametrize("num_bits", [3, 8])
def test_the_range_that_a_run_finds_gives_the_estimated_sqnr(num_bits, count, method):
    """But for long tails, whose rare values, which few values lack, determine the SQNR."""
    excess, error = errors(num_bits, count, method, from_held_out, ("normal", "uniform", "relu"))
    assert (error > 0).all() and np.mean(np.abs(excess) < 3 * error) > 0.8 and np.mean(excess > 2 * error) < 0.1


def test_a_range_measured_on_the_values_in_which_it_was_found_promises_too_much():
    """A bit or more, on average; of that, less than half is left."""
    for method in ("percentile", "mse", "kl"):
        naive, _ = errors(8, 32, method, from_same_values)
        found, _ = errors(8, 32, method, from_held_out)
        assert np.mean(naive) > 6 and np.mean(found) < np.mean(naive) / 2


@pytest.mark.parametrize("count", [32, 320])
def test_the_sqnr_of_a_sample_on_a_given_grid_has_its_standard_error(count):
    excess = []
    for distribution, seed in itertools.product(DISTRIBUTIONS, range(20)):
        everything = values_of_run(distribution, seed)
        settings = quantizer_settings("activations", num_bits=4)
        grid = grid_of(everything, settings)
        found = sampled(everything[:count], grid)
        excess.append((found.sqnr_db - measure(everything, grid).sqnr_db) / found.error)
    assert np.mean(np.abs(excess) < 2) > 0.85 and np.std(excess) < 2


@pytest.mark.parametrize("values, expected", [([], np.nan), ([np.nan, 1.0], np.nan), ([0.0, 1.0], np.inf)])
def test_unknown_and_exact_values_have_no_error(values, expected):
    grid = grid_of(np.float32([[0.0], [1.0]]), quantizer_settings("activations", num_bits=8))
    found = sampled(np.float32(values), grid)
    assert found.error == 0 and (found.sqnr_db == expected or np.isnan([found.sqnr_db, expected]).all())


@pytest.mark.parametrize(
    "kind, now, wanted, expected",
    [
        ("activations", "moving_average", "extremes", True),
        ("activations", "extremes", "extremes", False),
        ("activations", "mse", "mse", True),
        ("activations", "mse", "moving_average", False),
        ("weights", "min_max", "mse", False),
    ],
)
def test_ranges_that_are_found_in_other_values(kind, now, wanted, expected):
    tensor = tensor_of(np.zeros([8, 1], np.float32), kind)
    settings = [quantizer_settings(kind, range_method=method) for method in (wanted, now)]
    assert finds_range(tensor, *settings) is expected
    assert are_few(tensor, np.zeros([32, 1])) is (kind == "activations")
