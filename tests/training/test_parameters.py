"""Initial parameters have the right variance and depend on the seed only."""

import numpy as np
import pytest
from small_runs import convnet, mlp
from training_cases import assert_same_arrays

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten
from qatviz.training.parameters import initial_parameters, is_trainable


def wide():
    """Return layers that are large enough to estimate the variance."""
    net = NetworkBuilder("wide", (8, 8, 32))
    net.add(Conv2D, "conv", filters=64, kernel_size=5, use_bias=False)
    net.add(BatchNorm, "bn")
    net.add(DepthwiseConv2D, "depthwise", kernel_size=7, depth_multiplier=2)
    net.add(Flatten, "flatten")
    net.add(Dense, "hidden", units=50)
    net.add(Dense, "logits", units=400)
    return net.network()


@pytest.mark.parametrize(
    "name, variance",
    [
        ("conv.weights", 2 / (5 * 5 * 32)),
        ("depthwise.weights", 2 / (7 * 7)),
        ("hidden.weights", 2 / (8 * 8 * 128)),
        ("logits.weights", 1 / 50),
    ],
)
def test_weights_have_the_variance_of_he_initialization(name, variance):
    values = initial_parameters(wide(), 0)[name]
    assert abs(values.mean()) < 5 * np.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / values.size))
    limit = 2 / 0.8796256610342398 * np.sqrt(variance)
    assert 0.95 * limit < np.abs(values).max() <= 1.0001 * limit


def test_weights_of_every_output_have_the_variance_without_a_relu():
    net = NetworkBuilder("two", (100,))
    stem = net.add(Dense, "stem", units=200)
    outputs = [net.add(Dense, name, stem, units=300) for name in ("first", "second")]
    parameters = initial_parameters(net.network(outputs), 0)
    for name, variance in (("stem", 2 / 100), ("first", 1 / 200), ("second", 1 / 200)):
        values = parameters[name + ".weights"]
        assert values.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / values.size))


def test_all_other_parameters_start_at_0_or_1():
    parameters = initial_parameters(wide(), 0)
    for name, value in parameters.items():
        if not name.endswith(".weights"):
            assert (value == (1.0 if name.endswith(("gamma", "moving_variance")) else 0.0)).all(), name
    assert all(value.dtype == np.float32 for value in parameters.values())


def test_parameters_depend_on_the_seed_and_differ_between_seeds_and_layers():
    assert_same_arrays(initial_parameters(convnet(), 5), initial_parameters(convnet(), 5))
    for seed in (0, 6, 2**32 - 1):
        assert not np.array_equal(
            initial_parameters(mlp(), 5)["dense1.weights"], initial_parameters(mlp(), seed)["dense1.weights"]
        )
    net = NetworkBuilder("twins", (5,))
    net.add(Dense, "one", units=5)
    net.add(Dense, "two", units=5)
    net.add(Dense, "logits", units=2)
    parameters = initial_parameters(net.network(), 0)
    assert not np.array_equal(parameters["one.weights"], parameters["two.weights"])


def test_statistics_are_not_trained():
    names = {name for name in initial_parameters(convnet(), 0) if not is_trainable(name)}
    assert names == {
        f"{layer}_bn.{name}" for layer in ("conv", "depthwise") for name in ("moving_mean", "moving_variance")
    }
