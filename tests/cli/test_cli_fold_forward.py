"""`qatviz train --fold-forward`: batch norms folded into the layers behind them, from the start to exports."""

import numpy as np
import pytest
import tensorflow  # loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, write_data

from qatviz import api
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.network import Network
from qatviz.network.keras_import import KerasOrigin
from qatviz.protocol.run_spec import described_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.request import NewRunRequest
from qatviz.telemetry.record.run_record import RunRecord

tf = tensorflow.compat.v1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a directory with data, and a model whose batch norm is before a frozen convolution."""
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder / "small.npz")
    layers = tf.keras.layers
    with tf.Graph().as_default(), tf.Session():
        model = tf.keras.Sequential(
            [
                layers.BatchNormalization(input_shape=(6, 6, 1), name="norm"),
                layers.Conv2D(3, 3, activation="relu", name="conv", trainable=False),
                layers.Flatten(name="flatten"),
                layers.Dense(4, name="logits"),
            ],
            name="normed",
        )
        random = np.random.RandomState(0)
        model.set_weights([np.abs(random.standard_normal(value.shape)) + 0.2 for value in model.get_weights()])
        model.save(str(folder / "normed.h5"), include_optimizer=False)
    return folder


def train(folder, name, *arguments):
    common = ["--data", folder / "small.npz", "--model", folder / "normed.h5", "--batch-size", 4]
    found = call("train", *common, "--evaluation-interval", 0, "--out", folder / name, *arguments)
    assert found.code == 0, found.err
    return found


def network_of(directory):
    return Network.from_dict(RunRecord.read(directory).description["network"])


def book_of(description):
    return SettingsBook.from_dict(described_plan(description), description["settings"])


@pytest.fixture(scope="module")
def folded(folder):
    return train(folder, "folded", "--fold-forward", "--steps", 3)


def test_the_run_has_no_batch_norm(folder, folded):
    assert "batch norms are folded into layers behind them, and are not trained: 'norm' into 'conv'" in folded.err
    assert "/scale" not in folded.err, "what is folded has no convolution of its own"
    assert [layer.kind for layer in network_of(folder / "folded").layers] == ["Conv2D", "ReLU", "Flatten", "Dense"]
    description = RunRecord.read(folder / "folded").description
    assert KerasOrigin.from_dict(description["keras"]).config is None
    book = book_of(description)
    assert not book.of("conv.weights").trainable and book.of("logits.weights").trainable, "frozen layers stay frozen"


def test_both_networks_begin_with_the_same_outputs(folder):
    found = []
    for name, options in (("whole", ()), ("again", ("--fold-forward",))):
        train(folder, name, *options, "--quant-delay", 10, "--steps", 0)
        record, network = RunRecord.read(folder / name), network_of(folder / name)
        arrays, _ = record.load_checkpoint(record.list_checkpoints()[-1].name)
        with EvaluationGraph(network, book_of(record.description), arrays) as graph:
            images = np.random.RandomState(1).rand(20, 6, 6, 1).astype(np.float32)
            found.append(graph.logits(images, quantized=False))
    assert np.ptp(found[0]) > 0.1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_it_is_offered_where_it_is_possible(folder):
    found = train(folder, "offered", "--steps", 1)
    assert "--fold-forward would fold batch norms into layers behind them: 'norm'" in found.out + found.err
    assert "have a depthwise 1×1 convolution, named <name>/scale: 'norm'" in found.out + found.err
    assert "norm/scale" in [layer.name for layer in network_of(folder / "offered").layers]


def test_a_network_without_such_batch_norms_is_left_alone(folder):
    common = ["--data", folder / "small.npz", "--network", "mlp", "--steps", 1, "--fold-forward"]
    found = call("train", *common, "--out", folder / "mlp")
    assert found.code == 0 and "--fold-forward has no effect" in found.err


@pytest.mark.parametrize("option", ["--resume", "--fork"])
@pytest.mark.parametrize("refused", ["--fold-forward", "--from-scratch"])
def test_it_is_refused_for_a_run_that_has_begun(folder, folded, option, refused):
    found = call("train", option, folder / "folded", refused, "--steps", 5)
    assert found.code == 2 and f"{refused}: can't change in a continued run" in found.err


def test_the_run_is_resumed_and_exported_to_keras(folder, folded):
    assert call("train", "--resume", folder / "folded", "--steps", 5, "--quiet").code == 0
    found = call("export", folder / "folded", "--format", "keras", "--out", folder / "folded.h5")
    assert found.code == 0, found.err
    assert "no description of a Keras model with these layers is known, so a new one is built" in found.out + found.err
    with tf.Graph().as_default(), tf.Session():
        model = tf.keras.models.load_model(str(folder / "folded.h5"), compile=False)
    assert not [layer for layer in model.layers if "batch_norm" in type(layer).__name__.lower()]


def test_scripts_have_it():
    request = api.request_of("mlp", "mnist-5k", None, {"fold_forward": True})
    assert request.fold_forward and NewRunRequest.from_dict(request.to_dict()) == request
