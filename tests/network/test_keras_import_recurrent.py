"""Import of recurrent layers: the same outputs as Keras', and weights that go back into the Keras model."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, functional, images_for, predicted, randomize
from keras_import_cases import imported_exactly as _imported_exactly

from qatviz.errors import NetworkError
from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.network.keras_import import import_model
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.keras_import.recurrent import MAX_LENGTH

layers = tf.keras.layers
SHAPE = (5, 3)

LAYERS = {
    "SimpleRNN": lambda **settings: layers.SimpleRNN(4, name="own", **settings),
    "LSTM": lambda **settings: layers.LSTM(4, name="own", **settings),
    "GRU": lambda **settings: layers.GRU(4, name="own", reset_after=False, **settings),
    "GRU that resets after": lambda **settings: layers.GRU(4, name="own", reset_after=True, **settings),
}
SETTINGS = {
    "the last element": {},
    "a sequence": {"return_sequences": True},
    "backwards": {"go_backwards": True, "return_sequences": True},
    "without bias": {"use_bias": False},
    "other functions": {"activation": "relu", "return_sequences": True, "unroll": True},
}


def imported_exactly(build):
    """Return an imported model whose outputs differ from Keras' by a hundred-thousandth of the largest at most."""
    return _imported_exactly(build, tolerance=1e-5)


def head(x):
    """Return logits of a sequence or a vector."""
    return layers.Dense(3, name="logits")(layers.Flatten()(x))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_equal_those_of_keras(kind, setting):
    imported = imported_exactly(functional(lambda x: head(LAYERS[kind](**SETTINGS[setting])(x)), SHAPE))
    shapes = imported.network.shapes
    last = imported.network.layer("own")
    if SETTINGS[setting].get("return_sequences"):
        assert last.kind == "Concat" and len(last.inputs) == 5 and shapes["own"] == (1, 5, 4)
    else:
        assert last.kind == "Reshape" and shapes["own"] == (4,)
    owners = [layer for layer in imported.network.layers if layer.owner != layer.name]
    assert owners and all(layer.kind == "Conv2D" and layer.owner.startswith("own/") for layer in owners)
    assert any("imported as layers for each element" in note for note in imported.notes)


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "GRU that resets after"])
def test_both_functions_of_gates(kind, gate):
    imported = imported_exactly(functional(lambda x: head(LAYERS[kind](recurrent_activation=gate)(x)), SHAPE))
    assert {layer.function for layer in imported.network.layers if layer.kind == "Activation"} == {gate, "tanh"}


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional(merge, sequences):
    def body(x):
        own = layers.GRU(4, return_sequences=sequences, name="inner")
        return head(layers.Bidirectional(own, merge_mode=merge, name="own")(x))

    imported = imported_exactly(functional(body, SHAPE))
    names = {name.split(".")[0] for name in imported.parameters}
    assert {"own/forward/input", "own/backward/input"} < names
    assert ("own", "backward_layer") in {path for path, _ in imported.origin.arrays.values()}


def test_a_recurrent_layer_may_be_called_twice_and_stacked():
    def body(x):
        own = layers.LSTM(3, return_sequences=True, name="own")
        return head(layers.SimpleRNN(2, name="last")(own(own(x))))

    imported = imported_exactly(functional(body, SHAPE))
    assert imported.network.layer("own_2/input").owner == "own/input"
    states = [layer for layer in imported.network.layers if layer.name.startswith("own") and "/state" in layer.name]
    assert len(states) == 2 * 4 and {layer.owner for layer in states} == {"own/1/state"}


@pytest.mark.parametrize(
    "inner",
    [
        lambda: layers.Dense(4, activation="relu"),
        lambda: layers.BatchNormalization(),
        lambda: layers.Activation("tanh"),
    ],
    ids=["Dense", "BatchNormalization", "Activation"],
)
def test_time_distributed_layers_that_may_be_applied_to_the_sequence(inner):
    imported = imported_exactly(functional(lambda x: head(layers.TimeDistributed(inner(), name="own")(x)), SHAPE))
    assert "own" in [layer.name for layer in imported.network.layers]


def rows(x):
    """Return the layers of a CNN-LSTM on a sequence of sequences."""
    x = layers.TimeDistributed(layers.Conv1D(4, 3, padding="same", dilation_rate=2, activation="relu"))(x)
    x = layers.TimeDistributed(layers.Conv1D(3, 2, strides=2, use_bias=False), name="own")(x)
    x = layers.TimeDistributed(layers.MaxPooling1D(2))(x)
    x = layers.TimeDistributed(layers.AveragePooling1D(2, strides=1))(x)
    return layers.LSTM(4)(layers.TimeDistributed(layers.Flatten())(x))


def test_time_distributed_layers_on_sequences_of_sequences():
    imported = imported_exactly(functional(lambda x: head(rows(x)), (3, 16, 2)))
    assert imported.network.shapes["own"] == (3, 8, 3)
    assert imported.network.layer("own").kernel_size == (1, 2)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: layers.LSTM(4, name="own")(x),
        lambda x: layers.GRU(4, name="own", reset_after=True)(x),
        lambda x: layers.GRU(4, name="own", reset_after=False)(x),
        lambda x: layers.Bidirectional(layers.LSTM(2, name="inner"), name="own")(x),
        lambda x: layers.SimpleRNN(4, name="own")(layers.TimeDistributed(layers.Dense(2), name="inner")(x)),
    ],
    ids=["LSTM", "GRU after", "GRU before", "Bidirectional", "TimeDistributed"],
)
def test_weights_go_back_into_the_keras_model(body):
    with fresh_keras():
        model = functional(lambda x: head(body(x)), SHAPE)()
        randomize(model)
        imported = import_model(model)
        images = images_for(imported.network)
        before, values = predicted(model, images), model.get_weights()
    content, initialized = keras_file(
        imported.origin, arrays_for_keras(imported.network, imported.origin, imported.parameters)
    )
    assert initialized == 0
    with loaded(content) as again:
        np.testing.assert_allclose(predicted(again, images), before, rtol=1e-6, atol=1e-7)
        for one, other in zip(again.get_weights(), values):
            np.testing.assert_array_equal(one, other)


def refused(build, message):
    with fresh_keras(), pytest.raises(NetworkError, match=message):
        import_model(build())


def test_long_sequences_are_refused():
    assert imported_exactly(functional(lambda x: head(layers.SimpleRNN(2)(x)), (MAX_LENGTH, 1)))
    reason = f"length of the sequence is {MAX_LENGTH + 1}; allowed: at most {MAX_LENGTH}, because .*quantizers"
    refused(functional(lambda x: layers.LSTM(2, name="own")(x), (MAX_LENGTH + 1, 1)), rf"'own' \(LSTM\): {reason}")


def test_settings_that_a_network_cannot_have_are_refused():
    def stateful():
        image = layers.Input(batch_shape=(2, *SHAPE))
        return tf.keras.Model(image, head(layers.LSTM(3, stateful=True, name="own")(image)))

    refused(stateful, r"'own' \(LSTM\): setting stateful is True; allowed: False: its state would be kept")
    own = functional(lambda x: head(layers.GRU(3, activation="softmax", name="own")(x)), SHAPE)
    refused(own, r"'own' \(GRU\): setting activation is 'softmax'; allowed: a function of each value")


def test_an_initial_state_is_refused():
    def body(x):
        state = layers.Dense(4, name="state")(layers.Flatten()(x))
        return head(layers.SimpleRNN(4, name="own")(x, initial_state=state))

    refused(functional(body, SHAPE), "'own'.*(number of inputs is 2; allowed: 1|called with)")


def test_a_bidirectional_with_two_outputs_is_refused():
    def body(x):
        both = layers.Bidirectional(layers.SimpleRNN(2), merge_mode=None, name="own")(x)
        return head(layers.Add()(both))

    refused(functional(body, SHAPE), "'own'")


def test_descriptions_of_wrappers_are_checked():
    with fresh_keras():
        model = functional(lambda x: head(layers.Bidirectional(layers.LSTM(2), name="own")(x)), SHAPE)()
        record = json.loads(model.to_json())
    for layer in record["config"]["layers"]:
        if layer["class_name"] == "Bidirectional":
            layer["config"]["layer"] = {"class_name": "LSTM", "config": 3}
    with pytest.raises(NetworkError, match="Bidirectional layer: config of its layer is 3; expected: an object"):
        convert(parse_model(record), None)
