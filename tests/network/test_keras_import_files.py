"""Import of Keras models from files, whose code is run only if allowed."""

import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import assert_same, fresh_keras, images_for, plain_output, predicted, randomize

from qatviz.errors import NetworkError
from qatviz.network.keras_import import import_model, load_model_file

layers = tf.keras.layers


def small_model():
    image = layers.Input((9, 10, 3))
    y = layers.SeparableConv2D(4, 3, activation="relu", name="sep")(image)
    y = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv", use_bias=False)(y))
    y = layers.ReLU(6.0)(layers.Add()([y, layers.BatchNormalization(scale=False)(y)]))
    return tf.keras.Model(image, layers.Dense(3, name="logits")(layers.Flatten()(y)), name="small")


def nested_model():
    """Build nested models with frozen layers: Keras saves the trained arrays first."""
    inner = small_model()
    for layer in inner.layers[2:5]:
        layer.trainable = False
    image = layers.Input((9, 10, 3))
    normal = tf.keras.Sequential(
        [
            layers.InputLayer((9, 10, 3)),
            layers.BatchNormalization(name="n1"),
            layers.Conv2D(3, 3, padding="same"),
            layers.BatchNormalization(name="n2"),
        ],
        name="pre",
    )
    frozen = tf.keras.Sequential(
        [layers.InputLayer((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)], name="post"
    )
    frozen.trainable = False
    return tf.keras.Model(image, layers.Dense(2, name="last")(frozen(inner(normal(image)))), name="nest")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return, for each model, the folder of its files, the imported object, images and predictions."""
    folders = {}
    for build in (small_model, nested_model):
        folder = tmp_path_factory.mktemp(build.__name__)
        with fresh_keras():
            model = build()
            randomize(model)
            model.save(str(folder / "model.h5"), include_optimizer=False)
            (folder / "model.json").write_text(model.to_json())
            model.save_weights(str(folder / "weights.h5"))
            imported = import_model(model)
            images = images_for(imported.network)
            folders[build.__name__] = folder, imported, images, predicted(model, images)
    return folders


def assert_equal(found, expected):
    assert found.network == expected.network
    assert found.notes == expected.notes
    assert found.parameters.keys() == expected.parameters.keys()
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value, name)


@pytest.mark.parametrize("name", ["small_model", "nested_model"])
@pytest.mark.parametrize(
    "files", [("model.h5", None), ("model.json", "weights.h5"), ("model.json", "model.h5")], ids=str
)
def test_a_file_is_imported_as_its_model_is(saved, name, files):
    folder, expected, images, predictions = saved[name]
    paths = [file and folder / file for file in files]
    found = load_model_file(*paths)
    assert_equal(found, expected)
    assert_same(plain_output(found, images), predictions)


def test_an_architecture_alone_has_no_parameters(saved):
    folder, expected, _, _ = saved["small_model"]
    found = load_model_file(str(folder / "model.json"))
    assert found.network == expected.network and found.parameters == {}


def test_weights_of_automatically_named_layers_are_assigned_by_order(saved, tmp_path):
    with fresh_keras():
        models = [
            tf.keras.Sequential([layers.Conv2D(3, 3, input_shape=(5, 6, 2)), layers.Flatten(), layers.Dense(2)])
            for _ in range(2)
        ]
        models[1].save_weights(str(tmp_path / "weights.h5"))
        (tmp_path / "model.json").write_text(models[0].to_json())
        expected = models[1].get_weights()
    found = load_model_file(tmp_path / "model.json", tmp_path / "weights.h5").parameters
    np.testing.assert_array_equal(found["conv2d.weights"], expected[0])
    np.testing.assert_array_equal(found["dense.weights"], expected[2])


def test_a_sequential_in_the_oldest_form(saved, tmp_path):
    with fresh_keras():
        model = tf.keras.Sequential([layers.Flatten(input_shape=(2, 3)), layers.Dense(2, name="d")])
        record = json.loads(model.to_json())
    record["config"] = record["config"]["layers"]
    (tmp_path / "model.json").write_text(json.dumps(record))
    assert load_model_file(tmp_path / "model.json").network.shapes["d"] == (2,)


def newer(record):
    """Convert a description to the form of TensorFlow 2.4 and later."""
    for layer in record["config"]["layers"]:
        config = layer["config"]
        if layer["class_name"] in ("Model", "Sequential"):
            newer(layer)
        if layer["class_name"] == "Conv2D":
            config["groups"] = 1
        if layer["class_name"] == "InputLayer":
            config["ragged"] = config["sparse"] = False
        layer.setdefault("name", config["name"])
    record["class_name"] = record["class_name"].replace("Model", "Functional")
    return record


def newest(record):
    """Convert a description to the form of Keras 3."""
    for layer in record["config"]["layers"]:
        layer["module"] = "keras.layers"
        layer["config"]["dtype"] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"] = layer["config"].pop("batch_input_shape")
        layer["inbound_nodes"] = [{"args": _tensors(node), "kwargs": {"mask": None}} for node in layer["inbound_nodes"]]
    (record["config"]["input_layers"],) = record["config"]["input_layers"]
    (record["config"]["output_layers"],) = record["config"]["output_layers"]
    return newer(record)


def _tensors(node):
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 3], "dtype": "float32", "keras_history": item[:3]},
        }
        for item in node
    ]
    return [tensors] if len(tensors) > 1 else tensors


@pytest.mark.parametrize("name, change", [("small_model", newer), ("nested_model", newer), ("small_model", newest)])
def test_records_of_later_keras(saved, tmp_path, name, change):
    folder, expected, _, _ = saved[name]
    record = change(json.loads((folder / "model.json").read_text()))
    (tmp_path / "model.json").write_text(json.dumps(record))
    assert_equal(load_model_file(tmp_path / "model.json", folder / "weights.h5"), expected)


class Marked(Exception):
    """Raised by the code in a file if it is run."""


def test_code_in_a_file_is_run_only_when_allowed(tmp_path):
    marker = str(tmp_path / "was run")

    def code(x):
        open(marker, "w").close()
        return tf.nn.relu6(x)

    def build():
        return tf.keras.Sequential(
            [
                layers.Conv2D(3, 3, input_shape=(5, 6, 2), name="conv"),
                layers.Lambda(code, name="risky"),
                layers.Flatten(),
            ]
        )

    with fresh_keras():
        model = build()
        model.save(str(tmp_path / "model.h5"), include_optimizer=False)
        (tmp_path / "model.json").write_text(model.to_json())
        model.save_weights(str(tmp_path / "weights.h5"))
        expected = import_model(model)
    os.remove(marker)
    for files in (["model.h5"], ["model.json"], ["model.json", "weights.h5"]):
        paths = [tmp_path / file for file in files]
        with pytest.raises(NetworkError, match="'risky'.*Lambda.*Python code.*allow_code"):
            load_model_file(*paths)
        assert not os.path.exists(marker)
    for files in (["model.h5"], ["model.json", "weights.h5"]):
        paths = [tmp_path / file for file in files]
        found = load_model_file(*paths, allow_code=True)
        assert os.path.exists(marker)
        os.remove(marker)
        assert found.network.layer("risky").kind == "ReLU6"
        for name, value in expected.parameters.items():
            np.testing.assert_array_equal(found.parameters[name], value)


def refused(said, *paths):
    with pytest.raises(NetworkError) as caught:
        load_model_file(*paths)
    assert re.search(said, str(caught.value)), str(caught.value)
    assert repr(str(paths[0])) in str(caught.value)


def test_other_files_are_refused(saved, tmp_path):
    folder = saved["small_model"][0]
    refused("FileNotFoundError", tmp_path / "none.h5")
    refused("folder.*SavedModel.*model.save", tmp_path)
    refused("only weights found.*JSON file.*weights_path", folder / "weights.h5")
    refused("whole model", folder / "model.h5", folder / "weights.h5")
    refused(
        "weights file.*it has no weights; supported: .weights.h5, .h5 or a TensorFlow checkpoint",
        folder / "model.json",
        folder / "model.json",
    )
    for name, content in (
        ("empty", b""),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("text", b"a text"),
        ("number", b"3"),
        ("list", b"[1, 2]"),
        ("deep", b"[" * 100000),
    ):
        (tmp_path / name).write_bytes(content)
        refused("cannot be read|expected: an object", tmp_path / name)
    (tmp_path / "new.keras").write_bytes(b"PK\x03\x04" + bytes(50))
    refused("damaged zip archive.*model.save", tmp_path / "new.keras")
    with h5py.File(str(tmp_path / "other.h5"), "w") as file:
        file["data"] = np.arange(3)
    refused("no architecture found.*model.save", tmp_path / "other.h5")


def test_weights_of_another_model(saved):
    refused(
        "weights of 4 layers are stored; expected: 5",
        saved["small_model"][0] / "model.json",
        saved["nested_model"][0] / "weights.h5",
    )


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda weights: weights["conv/conv"].__delitem__("kernel:0"), "cannot be read.*KeyError.*kernel"),
        (lambda weights: weights["conv"].attrs.__setitem__("weight_names", [b"conv/bias:0"]), "cannot be read.*bias"),
        (
            lambda weights: weights["logits/logits/kernel:0"].__setitem__(0, np.nan),
            "'logits'.*3 values of .*not finite",
        ),
        (
            lambda weights: weights["bn/bn/moving_variance:0"].__setitem__(1, -1),
            "'bn'.*variance has the minimum -1",
        ),
        (lambda weights: weights.attrs.__delitem__("layer_names"), "no weights found"),
    ],
    ids=["dataset", "names", "nan", "variance", "attribute"],
)
def test_weights_that_do_not_fit(saved, tmp_path, change, said):
    path = tmp_path / "model.h5"
    path.write_bytes((saved["small_model"][0] / "model.h5").read_bytes())
    with h5py.File(str(path), "r+") as file:
        change(file["model_weights"])
    refused(said, path)


@pytest.mark.parametrize("settings", [{}, {"chunks": (10, 10), "compression": "gzip"}], ids=["plain", "compressed"])
def test_no_memory_is_allocated_for_declared_but_missing_weights(saved, tmp_path, settings):
    path = tmp_path / "weights.h5"
    path.write_bytes((saved["small_model"][0] / "weights.h5").read_bytes())
    with h5py.File(str(path), "r+") as file:
        del file["logits/logits/kernel:0"]
        file["logits/logits"].create_dataset("kernel:0", (10**7, 10**7), np.float32, **settings)
    refused("'logits'.*declared .*, but the file has only 0 bytes", saved["small_model"][0] / "model.json", path)


def test_invalid_graphs_and_settings_are_refused(saved, tmp_path):
    text = (saved["small_model"][0] / "model.json").read_text()
    for name, change, said in (
        (
            "cycle",
            lambda graph: graph[2]["inbound_nodes"][0][0].__setitem__(0, "logits"),
            "'conv'.*do not depend on this",
        ),
        ("lost", lambda graph: graph[2]["inbound_nodes"][0][0].__setitem__(0, "nobody"), "'nobody'"),
        ("twice", lambda graph: graph.append(graph[2]), "'conv'.*two layers"),
        ("unread", lambda graph: graph[2]["inbound_nodes"][0][0].__setitem__(2, 7), "output 7"),
        ("loose", lambda graph: graph[2].__setitem__("inbound_nodes", []), "'conv'.*connected to"),
        ("foreign", lambda graph: graph[2]["config"].__setitem__("unheard", 3), "'conv'.*unheard"),
        ("missing", lambda graph: graph[2]["config"].pop("filters"), "'conv'.*filters is missing"),
        ("code", lambda graph: graph[2]["config"].__setitem__("activation", "eval"), "'conv'.*'eval'"),
        (
            "own",
            lambda graph: graph[2].update(module="my.layers"),
            r"'conv' \(my.layers.Conv2D\): this type .* not supported",
        ),
        (
            "registered",
            lambda graph: graph[2].update(registered_name="Mine>Conv2D"),
            r"'conv' \(Mine>Conv2D\): this type .* not supported",
        ),
        ("called", lambda graph: graph[2]["inbound_nodes"][0][0][3].__setitem__("training", True), "training=True"),
        ("grouped", lambda graph: graph[2]["config"].__setitem__("groups", 999), "'conv'.*groups is 999"),
    ):
        record = json.loads(text)
        change(record["config"]["layers"])
        (tmp_path / name).write_text(json.dumps(record))
        refused(said, tmp_path / name)


def test_a_file_is_read_without_tensorflow(saved):
    program = (
        "import sys; from qatviz.network.keras_import import load_model_file; "
        "model = load_model_file(sys.argv[1]); "
        "print(len(model.network.layers), *sorted({'tensorflow', 'h5py'} & set(sys.modules)))"
    )
    folder, expected, _, _ = saved["small_model"]
    done = subprocess.run([sys.executable, "-c", program, str(folder / "model.h5")], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().split() == [str(len(expected.network.layers))]


@pytest.mark.parametrize(
    "version, is_refused",
    [(b"2.3.1", True), (b"2.2.4", True), (b"2.2.4-tf", False), (b"2.4.3", False), (None, False)],
)
def test_interpolation_of_the_old_package_is_refused(tmp_path, version, is_refused):
    path = str(tmp_path / "model.h5")
    with fresh_keras():
        layers = tf.keras.layers
        image = tf.keras.Input((4, 5, 2))
        up = layers.UpSampling2D(2, interpolation="bilinear", name="up")(layers.Conv2D(2, 1)(image))
        model = tf.keras.Model(image, layers.Flatten()(up))
        model.save(path, include_optimizer=False)
        text = json.loads(model.to_json())
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
        if version is not None:
            file.attrs["keras_version"] = version
    text["keras_version"] = None if version is None else version.decode()
    (tmp_path / "model.json").write_text(json.dumps(text))
    for name in ("model.h5", "model.json"):
        if not is_refused:
            assert load_model_file(tmp_path / name).network.layer("up").kind == "UpsampleBilinear"
            continue
        with pytest.raises(NetworkError, match="'up'.*up to 2.3.1 interpolates between the corners of pixels"):
            load_model_file(tmp_path / name)
