"""Embedding: its shapes, inputs and quantizer, and its import from Keras."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, lowered_output, predicted, randomize

from qatviz.errors import NetworkError
from qatviz.network.embedding import Embedding
from qatviz.network.graph import Network, NetworkBuilder
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import import import_model
from qatviz.network.layers import Concat, Dense, Flatten, GlobalAveragePool, Reshape
from qatviz.network.plan import quantization_plan

layers = tf.keras.layers
LENGTH, IDS = 6, 11


def text(**outputs):
    net = NetworkBuilder("text", (LENGTH,))
    net.add(Embedding, "words", input_dim=IDS, output_dim=4)
    net.add(Reshape, "image", target_shape=(1, LENGTH, 4))
    net.add(GlobalAveragePool, "means")
    net.add(Dense, "logits", units=2)
    return net.network(**outputs)


def test_ids_have_no_quantizer_and_rows_have_that_of_the_table():
    network = text()
    assert network.shapes["words"] == (LENGTH, 4) and network.id_counts == {"input": IDS}
    assert network.input_type("input") == "int32"
    plan = quantization_plan(network)
    names = [tensor.name for tensor in plan.tensors]
    assert names == ["words.weights", "means.activations", "logits.weights", "logits.activations"]
    table = plan.tensor("words.weights")
    assert (table.num_channels, table.shape, table.parameters) == (1, (IDS, 4), 4 * IDS)
    assert plan.grid_of("words") == plan.grid_of("image") == "words.weights" and plan.has_outputs("words.weights")
    assert not plan.has_outputs("logits.weights")
    with pytest.raises(NetworkError, match="layer with a quantized output is 'input'"):
        plan.grid_of("input")
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network


def test_ids_are_an_input_of_the_network_and_of_embeddings_only():
    net = NetworkBuilder("net", (LENGTH,))
    net.add(Dense, "dense", units=3)
    net.add(Embedding, "words", input_dim=IDS, output_dim=4)
    with pytest.raises(NetworkError, match="'words': the input of this Embedding is 'dense'; allowed: an input of the"):
        net.network()
    net = NetworkBuilder("net", (LENGTH,))
    net.add(Embedding, "words", input_dim=IDS, output_dim=4)
    net.add(Flatten, "flat")
    net.add(Concat, "both", ("flat", "input"))
    with pytest.raises(NetworkError, match="'both': its input 'input' has the ids of an Embedding"):
        net.network()
    with pytest.raises(NetworkError, match="'words': input_dim is 16777217"):
        Embedding("words", "input", input_dim=2**24 + 1, output_dim=1)


def test_two_tables_have_the_smaller_number_of_ids():
    net = NetworkBuilder("net", (LENGTH,))
    net.add(Embedding, "large", input_dim=IDS, output_dim=4)
    net.add(Embedding, "small", "input", input_dim=IDS - 2, output_dim=4)
    assert net.network(["large", "small"]).id_counts == {"input": IDS - 2}


def test_the_grid_of_a_table_is_not_shared():
    net = NetworkBuilder("net", (LENGTH,))
    net.add(Embedding, "one", input_dim=IDS, output_dim=4)
    net.add(Embedding, "two", "input", input_dim=IDS, output_dim=4)
    net.add(Concat, "both", ("one", "two"))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=2)
    with pytest.raises(NetworkError, match="'both': its input 'one' has the grid of an Embedding's weights"):
        quantization_plan(net.network())
    with pytest.raises(NetworkError, match="'image': this output of the network has the grid of an Embedding's"):
        quantization_plan(text(outputs=["image", "logits"]))


# Keras


def head(x):
    return layers.Dense(3, name="logits")(x)


def two_tables(x):
    rows = [layers.Embedding(IDS, size)(x) for size in (2, 3)]
    return head(layers.GlobalMaxPooling1D()(layers.Concatenate()(rows)))


MODELS = {
    "mean": lambda x: head(layers.GlobalAveragePooling1D()(layers.Embedding(IDS, 4, name="words")(x))),
    "conv": lambda x: head(
        layers.GlobalMaxPooling1D()(
            layers.Conv1D(5, 3, activation="relu")(layers.SpatialDropout1D(0.2)(layers.Embedding(IDS, 4)(x)))
        )
    ),
    "average pools": lambda x: head(layers.Flatten()(layers.AveragePooling1D(2)(layers.Embedding(IDS, 4)(x)))),
    "lstm": lambda x: head(layers.LSTM(4)(layers.Embedding(IDS, 4, input_length=LENGTH)(x))),
    "two tables": two_tables,
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_keras(name):
    ids = np.random.RandomState(1).randint(0, IDS, (5, LENGTH))
    with fresh_keras():
        given = tf.keras.Input((LENGTH,), dtype="int32")
        model = tf.keras.Model(given, MODELS[name](given))
        randomize(model)
        imported, expected = import_model(model), predicted(model, ids)
    assert imported.network.id_counts == {"input": IDS}
    quantization_plan(imported.network)
    found = lowered_output(imported, ids.astype(np.float32))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_grid_that_would_be_shared_gets_a_convolution_that_is_not_trained():
    with fresh_keras():
        given = tf.keras.Input((LENGTH,))
        imported = import_model(tf.keras.Model(given, two_tables(given)))
    assert sum(layer.kind == "DepthwiseConv2D" for layer in imported.network.layers) == 2
    constants = [name for name in imported.parameters if name.endswith("/scale.weights")]
    assert len(constants) == 2 and set(constants) <= imported.origin.frozen
    assert any("for a grid of its own" in note for note in imported.notes)


@pytest.mark.parametrize(
    "build, reason",
    [
        (lambda x: layers.Embedding(IDS, 4, mask_zero=True)(x), "mask_zero is True: the layers after it skip"),
        (lambda x: layers.Embedding(IDS, 4)(layers.ReLU()(x)), "its ids are the output of another layer"),
    ],
)
def test_what_is_not_exact_is_refused(build, reason):
    with fresh_keras():
        given = tf.keras.Input((LENGTH,))
        model = tf.keras.Model(given, head(layers.Flatten()(build(given))))
        with pytest.raises(NetworkError, match=reason):
            import_model(model)


def test_the_description_for_keras_computes_the_same():
    origin = keras_description(text())
    ids = np.random.RandomState(1).randint(0, IDS, (5, LENGTH))
    with fresh_keras():
        model = tf.keras.models.model_from_json(origin.config)
        randomize(model)
        assert model.inputs[0].dtype == tf.int32 and origin.arrays["words.weights"] == (("words",), "embeddings")
        imported, expected = import_model(model), predicted(model, ids)
    assert np.abs(lowered_output(imported, ids.astype(np.float32)) - expected).max() <= 1e-5 * np.abs(expected).max()
