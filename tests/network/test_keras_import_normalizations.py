"""Import of means along axes, of layers that normalize, and of constants for each element."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, functional, imported_exactly, lowered_output
from test_keras_import_operations import description, layer, loaded, operation

from qatviz.errors import NetworkError
from qatviz.network.keras_import import import_model

layers = tf.keras.layers


def kinds(imported):
    return [layer.kind for layer in imported.network.layers]


@pytest.mark.parametrize(
    "shape, axis, keepdims",
    [
        ((4, 5, 3), -1, True),
        ((4, 5, 3), 3, False),
        ((4, 5, 3), 1, False),
        ((4, 5, 3), [1, 3], True),
        ((4, 5, 3), [2, 3], False),
        ((4, 5, 3), [1, 2, 3], True),
        ((6, 5), -1, True),
        ((6, 5), 1, True),
        ((2, 3, 4, 5), [2, 4], False),
    ],
)
def test_means_and_sums_along_any_axes(shape, axis, keepdims):
    def body(x):
        both = [
            layers.Flatten()(reduced) if len(reduced.shape) > 1 else reduced
            for reduced in (tf.reduce_mean(x, axis, keepdims), tf.reduce_sum(tf.square(x), axis, keepdims))
        ]
        return layers.Dense(3)(tf.concat(both, -1))

    assert "Conv2D" in kinds(imported_exactly(functional(body, shape)))


@pytest.mark.parametrize("axis", [0, [0, 1], 4, [1, 1], None, [1.0]], ids=str)
def test_means_of_the_batch_are_refused(tmp_path, axis):
    own = operation("bad", "math.reduce_mean", ["x", 0, 0, {"axis": axis}])
    with pytest.raises(NetworkError, match="'bad'.*axes|'bad'.*axis"):
        loaded(tmp_path, description(own, output="bad"))


@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 5, 3), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(
    "settings", [{}, {"center": False, "epsilon": 1e-6}, {"scale": False}, {"axis": "all"}], ids=str
)
def test_layer_normalization(shape, settings):
    settings = dict(settings)
    if settings.get("axis") == "all":
        settings["axis"] = list(range(1, len(shape) + 1))

    def body(x):
        return layers.Dense(3)(layers.Flatten()(layers.LayerNormalization(name="norm", **settings)(x)))

    imported = imported_exactly(functional(body, shape))
    assert kinds(imported).count("Activation") == 2 and kinds(imported).count("Multiply") == 1
    assert {name for name in imported.origin.frozen if "mean" in name or "variance" in name} == {
        "norm/mean.weights",
        "norm/variance.weights",
    }
    trained = {"norm.weights": "gamma", "norm.bias": "beta"}
    found = {name: array for name, (path, array) in imported.origin.arrays.items() if path == ("norm",)}
    assert found == {
        name: array
        for name, array in trained.items()
        if settings.get({"gamma": "scale", "beta": "center"}[array], True)
    }


def test_layer_normalization_without_parameters_in_the_evaluation_graph():
    def body(x):
        norm = layers.LayerNormalization(center=False, scale=False)(x)
        return layers.Dense(3)(layers.Flatten()(layers.Conv1D(4, 3)(norm)))

    imported = imported_exactly(functional(body, (6, 5)), evaluate=lowered_output)
    assert "DepthwiseConv2D" not in kinds(imported)


def test_a_layer_normalization_along_other_axes_is_refused():
    model = functional(lambda x: layers.LayerNormalization(axis=[1, 3])(x), (4, 5, 3))
    with fresh_keras(), pytest.raises(NetworkError, match="setting axis.*one gamma and beta for each channel"):
        import_model(model())


@pytest.mark.parametrize("shape, axis", [((7,), -1), ((6, 5), -1), ((6, 5), 1), ((4, 5, 3), [1, 2]), ((4, 5, 3), 3)])
def test_l2_normalize(shape, axis):
    def body(x):
        unit = tf.nn.l2_normalize(layers.Dense(4)(x), axis)
        return layers.Dense(3)(layers.Flatten()(unit))

    imported = imported_exactly(functional(body, shape))
    found = [(layer.function, layer.threshold) for layer in imported.network.layers if layer.kind == "Activation"]
    assert found == [("square", None), ("rsqrt", pytest.approx(1e-12))]


@pytest.mark.parametrize(
    "record, threshold",
    [
        (layer("UnitNormalization", "unit", "x", axis=-1), 1e-12),
        (layer("UnitNormalization", "unit", "x", axis=[2, 3]), 1e-12),
        (operation("unit", "math.l2_normalize", ["x", 0, 0, {"axis": 3, "epsilon": 1e-6}]), 1e-6),
    ],
)
def test_unit_normalization(tmp_path, record, threshold):
    network = loaded(tmp_path, description(record, output="unit")).network
    roots = [layer for layer in network.layers if layer.kind == "Activation" and layer.function == "rsqrt"]
    assert [layer.threshold for layer in roots] == [threshold] and network.shapes["unit"] == (6, 5, 4)


@pytest.mark.parametrize(
    "shape, constant", [((6, 5), (6, 5)), ((6, 5), (1, 6, 1)), ((4, 5, 3), (4, 1, 3)), ((7,), (7,))]
)
@pytest.mark.parametrize("combine", [lambda x, c: x + c, lambda x, c: x * c, lambda x, c: c - x, lambda x, c: x / c])
def test_constants_for_each_element(shape, constant, combine):
    values = np.random.RandomState(5).uniform(0.5, 2, constant).astype(np.float32)

    def body(x):
        return layers.Dense(3)(layers.Flatten()(combine(layers.Dense(shape[-1])(x), values)))

    imported = imported_exactly(functional(body, shape))
    convolution = next(layer for layer in imported.network.layers if layer.kind == "DepthwiseConv2D")
    assert {convolution.name + ".weights", convolution.name + ".bias"} <= imported.origin.frozen


def test_constants_that_enlarge_a_tensor_are_refused(tmp_path):
    own = operation("bad", "math.add", ["x", 0, 0, {"y": np.ones((2, 6, 5, 4)).tolist()}])
    with pytest.raises(NetworkError, match=r"'bad'.*constants of shape \(2, 6, 5, 4\); supported: shapes that are"):
        loaded(tmp_path, description(own, output="bad"))
