"""Import of layers that a model calls more than once: without weights, each call is a layer of its own."""

import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, functional, imported_exactly

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
