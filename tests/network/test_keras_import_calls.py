"""Import of layers that a model calls more than once: each call is a layer, with the weights of the first."""

import json

import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, functional, imported_exactly

from qatviz.errors import NetworkError
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert

layers = tf.keras.layers


def conv(name, padding="valid"):
    return layers.Conv2D(4, 3, name=name, padding=padding)


WEIGHTLESS = {
    "ReLU": lambda: layers.ReLU(name="own"),
    "Activation": lambda: layers.Activation("relu", name="own"),
    "Dropout": lambda: layers.Dropout(0.3, name="own"),
    "MaxPooling2D": lambda: layers.MaxPooling2D(2, name="own"),
    "AveragePooling2D": lambda: layers.AveragePooling2D(2, strides=1, name="own"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(1, name="own"),
}


@pytest.mark.parametrize("kind", WEIGHTLESS)
def test_a_second_call_of_a_layer_without_weights_is_another_layer(kind):
    def body(x):
        own = WEIGHTLESS[kind]()
        return layers.Dense(5)(layers.Flatten()(own(conv("two", "same")(own(conv("one")(x))))))

    imported = imported_exactly(functional(body))
    assert [layer.name for layer in imported.network.layers if layer.name.startswith("own")] == ["own", "own_2"]
    assert any("called more than once" in note and "('own', 'own_2')" in note for note in imported.notes)
    assert imported.network.layer("own").inputs == ("one",)
    assert imported.network.layer("own_2").inputs == ("two",)


def test_calls_keep_apart_from_layers_of_the_same_name_and_from_each_other():
    """The second call feeds the first branch, the first call the second one; another layer is named like a call."""

    def body(x):
        own = layers.ReLU(name="own")
        first, second = own(conv("one")(x)), own(conv("two")(x))
        other = layers.ReLU(name="own_2")(conv("three")(second))
        return layers.Add()([other, conv("four")(first)])

    imported = imported_exactly(functional(body))
    assert imported.network.layer("three").inputs == ("own_2_",)
    assert imported.network.layer("four").inputs == ("own",)


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_layer_that_occurs_twice_in_a_sequential(is_nested):
    """Keras' description lists it once, and even Keras builds another model of it."""

    def build():
        own = layers.ReLU(name="own")
        inner = [layers.Dense(7, input_shape=(6,)), own, layers.Dense(5), own, layers.Dense(3)]
        model = tf.keras.Sequential(inner, name="inner")
        return tf.keras.Sequential([layers.InputLayer((6,)), model]) if is_nested else model

    imported = imported_exactly(build)
    with fresh_keras():
        assert len(tf.keras.models.model_from_json(imported.origin.config).weights) == 6
        assert imported.origin.config.count('"ReLU"') == 2
    assert [layer.kind for layer in imported.network.layers] == ["Dense", "ReLU", "Dense", "ReLU", "Dense"]


def test_a_nested_model_without_weights_may_be_called_again():
    def body(x):
        image = layers.Input((9, 10, 4))
        inner = tf.keras.Model(image, layers.Add(name="sum")([layers.ReLU(name="rect")(image), image]), name="inner")
        return inner(conv("two", "same")(inner(conv("one", "same")(x))))

    imported = imported_exactly(functional(body))
    assert [layer.kind for layer in imported.network.layers] == ["Conv2D", "ReLU", "Add", "Conv2D", "ReLU", "Add"]
    assert "inner_2/rect" in [layer.name for layer in imported.network.layers]


def owners(imported):
    """Return the layers that use the parameters of another one, with that one."""
    return {layer.name: layer.owner for layer in imported.network.layers if layer.owner != layer.name}


WEIGHTED = {
    "Conv2D": lambda: layers.Conv2D(4, 3, padding="same", activation="relu", name="own"),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, padding="same", name="own"),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(4, 3, padding="same", name="own"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(4, 3, padding="same", name="own"),
    "Dense": lambda: layers.Dense(4, name="own"),
    "BatchNormalization": lambda: layers.BatchNormalization(name="own"),
    "PReLU": lambda: layers.PReLU(shared_axes=(1, 2), name="own"),
}


@pytest.mark.parametrize("kind", WEIGHTED)
def test_a_second_call_of_a_layer_with_weights_uses_those_of_the_first(kind):
    def body(x):
        own = WEIGHTED[kind]()
        first = own(layers.Conv2D(4, 3, activation="relu", name="one")(x))
        return layers.Dense(5)(layers.Flatten()(layers.Add()([first, own(layers.Activation("tanh")(first))])))

    imported = imported_exactly(functional(body))
    found = owners(imported)
    assert found and all(name.startswith("own_2") and owner.startswith("own") for name, owner in found.items())
    assert any("with the weights of the first: ('own', 'own_2')" in note for note in imported.notes)
    assert not any(name.startswith("own_2") for name in imported.parameters)
    assert {path for path, _ in imported.origin.arrays.values()} >= {("own",)}


def test_a_batch_norm_that_is_shared_like_the_layer_before_it_is_folded():
    def body(x):
        own, norm = conv("own"), layers.BatchNormalization(name="norm")
        first = norm(own(layers.Conv2D(3, 1, name="one")(x)))
        second = norm(own(layers.Conv2D(3, 1, name="two")(x)))
        return layers.Dense(5)(layers.Flatten()(layers.Concatenate()([layers.ReLU()(first), second])))

    imported = imported_exactly(functional(body))
    assert owners(imported) == {"own_2": "own", "norm_2": "norm"}
    assert imported.network.layer("norm_2").inputs == ("own_2",)


@pytest.mark.parametrize("is_norm_shared", [False, True])
def test_a_batch_norm_that_is_not_shared_alike_is_not_folded(is_norm_shared):
    """Folded weights would differ between the calls: the batch norm becomes a layer of its own."""

    def body(x):
        norms = [layers.BatchNormalization(name=name) for name in ("norm", "norm_b")]
        convs = [conv("own"), conv("own_b")]
        if is_norm_shared:
            norms = [norms[0]] * 2
        else:
            convs = [convs[0]] * 2
        both = [norm(own(x)) for norm, own in zip(norms, convs)]
        return layers.Dense(5)(layers.Flatten()(layers.Concatenate()(both)))

    imported = imported_exactly(functional(body))
    expected = {"norm_2": "norm", "norm_2/scale": "norm/scale"} if is_norm_shared else {"own_2": "own"}
    assert owners(imported) == expected
    assert imported.network.layer("norm").inputs == ("norm/scale",)


def test_a_nested_model_with_weights_may_be_called_again():
    def body(x):
        image = layers.Input((9, 10, 3))
        inner = layers.BatchNormalization(name="norm")(conv("conv", "same")(image))
        inner = tf.keras.Model(image, layers.Conv2D(3, 1, name="last")(layers.ReLU()(inner)), name="inner")
        return layers.GlobalAveragePooling2D()(inner(inner(x)))

    imported = imported_exactly(functional(body))
    assert owners(imported) == {f"inner_2/{name}": name for name in ("conv", "norm", "last")}
    assert {path for path, _ in imported.origin.arrays.values()} == {
        ("inner", name) for name in ("conv", "norm", "last")
    }


def test_a_dense_may_be_called_on_inputs_of_different_ranks():
    def body(x):
        own = layers.Dense(3, name="own")
        return layers.Dense(4)(own(layers.GlobalAveragePooling2D()(own(x))))

    imported = imported_exactly(functional(body))
    assert owners(imported) == {"own_2": "own"} and imported.network.layer("own_2").kind == "Conv2D"


def test_a_dense_whose_first_input_is_a_vector_is_refused_on_an_image():
    def body(x):
        own = layers.Dense(3, name="own")
        first = own(layers.GlobalAveragePooling2D()(x))
        return layers.Add()([own(x), layers.Reshape((1, 1, 3))(first)])

    with pytest.raises(NetworkError, match=r"layer 'own_2' \(Dense\): it is called on inputs of different shapes"):
        imported_exactly(functional(body))


def test_a_layer_with_weights_that_occurs_twice_in_a_sequential():
    """Neither Keras' description nor its files contain the second call."""

    def build():
        own = layers.Dense(6, name="own")
        return tf.keras.Sequential([layers.InputLayer((6,)), own, layers.ReLU(), own])

    with pytest.raises(NetworkError, match="'own'.*calls it 2 times, but Keras describes and saves it once"):
        imported_exactly(build)


def test_a_rebuilt_model_calls_the_layer_again():
    def body(x):
        own, norm = conv("own", "same"), layers.BatchNormalization(name="norm")
        first = layers.ReLU()(norm(own(layers.Conv2D(3, 1, name="one")(x))))
        return layers.GlobalAveragePooling2D()(norm(own(layers.Conv2D(3, 1, name="two")(first))))

    network = imported_exactly(functional(body)).network
    rebuilt = keras_description(network)
    again = convert(parse_model(json.loads(rebuilt.config)), None)
    assert owners(again) == owners(imported_exactly(functional(body))) and again.network == network
    assert set(rebuilt.arrays) == set(network.all_parameter_shapes())
