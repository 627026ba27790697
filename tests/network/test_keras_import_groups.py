"""Import of layers that normalize groups of channels, and of those that divide by the root mean square."""

import numpy as np
import pytest
from keras_import_cases import plain_output
from test_keras_import_operations import description, layer

from qatviz.errors import NetworkError
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert


def described(own, shape):
    record = description(own, output=own["name"])
    record["config"]["layers"][0]["config"]["batch_input_shape"] = [None, *shape]
    return record


def imported_with(own, shape, **weights):
    return convert(parse_model(described(own, shape)), {(own["name"],): weights})


def examples(shape):
    return np.random.RandomState(3).standard_normal((4, *shape)).astype(np.float32) * 2 + 1


def normalized_groups(x, groups, epsilon):
    """Return the values of each group of neighbouring channels, normalized over all positions."""
    parts = x.astype(np.float64).reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean, variance = parts.mean((1, 3), keepdims=True), parts.var((1, 3), keepdims=True)
    return ((parts - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)


@pytest.mark.parametrize("shape", [(6,), (7, 6), (4, 5, 6), (2, 3, 4, 6)], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 6, -1])
@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False, "epsilon": 1e-5}])
def test_group_normalization(shape, groups, settings):
    random = np.random.RandomState(4)
    gamma, beta = (random.uniform(0.5, 2, 6).astype(np.float32) for _ in range(2))
    own = layer("GroupNormalization", "norm", "x", axis=-1, groups=groups, **settings)
    weights = {"gamma": gamma} if settings.get("scale", True) else {}
    weights.update({"beta": beta} if settings.get("center", True) else {})
    imported = imported_with(own, shape, **weights)
    x = examples(shape)
    expected = normalized_groups(x, 6 if groups == -1 else groups, settings.get("epsilon", 1e-3))
    expected = expected * weights.get("gamma", 1) + weights.get("beta", 0)
    np.testing.assert_allclose(plain_output(imported, x), expected, atol=2e-5)
    assert {"norm.weights", "norm.bias"} & set(imported.origin.arrays) == {
        {"gamma": "norm.weights", "beta": "norm.bias"}[name] for name in weights
    }


def test_a_group_normalization_without_parameters():
    own = layer("GroupNormalization", "norm", "x", groups=3, scale=False, center=False)
    imported = imported_with(own, (4, 5, 6))
    x = examples((4, 5, 6))
    np.testing.assert_allclose(plain_output(imported, x), normalized_groups(x, 3, 1e-3), atol=2e-5)


@pytest.mark.parametrize("shape", [(6,), (7, 6), (4, 5, 6), (2, 3, 4, 6)], ids=str)
def test_rms_normalization(shape):
    scale = np.random.RandomState(4).uniform(0.5, 2, 6).astype(np.float32)
    imported = imported_with(layer("RMSNormalization", "norm", "x", axis=-1, epsilon=1e-4), shape, scale=scale)
    x = examples(shape)
    expected = x / np.sqrt(np.square(x.astype(np.float64)).mean(-1, keepdims=True) + 1e-4) * scale
    np.testing.assert_allclose(plain_output(imported, x), expected, atol=2e-5)
    assert imported.origin.arrays["norm.weights"] == (("norm",), "scale")


@pytest.mark.parametrize(
    "own, said",
    [
        (layer("GroupNormalization", "norm", "x", groups=4), "setting groups.*a divisor of 6, the number of channels"),
        (layer("GroupNormalization", "norm", "x", groups=2, axis=1), "setting axis.*the last axis"),
        (layer("RMSNormalization", "norm", "x", axis=[1, 2]), "setting axis.*the last axis"),
    ],
)
def test_refusals(own, said):
    with pytest.raises(NetworkError, match="'norm'.*" + said):
        convert(parse_model(described(own, (4, 5, 6))), None)
