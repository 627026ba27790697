"""Malicious Keras files: no code is run, no other file is read, neither memory nor time is exhausted."""

import json
import os
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras

from qatviz.errors import CodeRefused, NetworkError
from qatviz.network.keras_import import KerasOrigin, load_model_file
from qatviz.network.keras_import.code import contains_code, describes_code

layers = tf.keras.layers
KERNEL = "model_weights/dense/dense/kernel:0"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder with a small model as a whole, its architecture and its weights."""
    folder = tmp_path_factory.mktemp("hostile")
    with fresh_keras():
        model = tf.keras.Sequential(
            [
                layers.Conv2D(3, 3, input_shape=(5, 6, 2), name="conv"),
                layers.ReLU(name="relu"),
                layers.Flatten(name="flatten"),
                layers.Dense(2, name="dense"),
            ],
            name="small",
        )
        model.save(str(folder / "model.h5"), include_optimizer=False)
        (folder / "model.json").write_text(model.to_json())
        model.save_weights(str(folder / "weights.h5"))
    return folder


@pytest.fixture
def whole(saved, tmp_path):
    """Return the path of a copy of the whole model."""
    path = tmp_path / "model.h5"
    path.write_bytes((saved / "model.h5").read_bytes())
    return path


def refused(said, *paths):
    with pytest.raises(NetworkError, match=said) as caught:
        load_model_file(*paths)
    assert repr(str(paths[0])) in str(caught.value)


# Code

LAMBDA = {"class_name": "Lambda", "name": "dead", "config": {"name": "dead", "function": ["4wEAAAA=", None, None]}}


def model_record(saved):
    return json.loads((saved / "model.json").read_text())


def with_dead(record, layer, **more):
    """Return a functional model with a layer that the output does not depend on, but that Keras would build."""
    layer = dict(layer, inbound_nodes=[[["in", 0, 0, {}]]], **more)
    return {
        "class_name": "Model",
        "config": {
            "name": "two",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "name": "in",
                    "inbound_nodes": [],
                    "config": {"name": "in", "batch_input_shape": [None, 4], "dtype": "float32"},
                },
                layer,
                {
                    "class_name": "Dense",
                    "name": "out",
                    "inbound_nodes": [[["in", 0, 0, {}]]],
                    "config": {"name": "out", "units": 2, "activation": "linear", "use_bias": True},
                },
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["out", 0, 0]],
        },
    }


HOSTILE = [
    LAMBDA,
    {"class_name": "TensorFlowOpLayer", "name": "op", "config": {"name": "op", "node_def": {"op": "WriteFile"}}},
    {"class_name": "TensorFlowOpLayer", "name": "op", "config": {"name": "op", "node_def": '{"op": "PyFunc"}'}},
    {"class_name": "TimeDistributed", "name": "wrapped", "config": {"name": "wrapped", "layer": LAMBDA}},
    {
        "class_name": "Dense",
        "name": "d",
        "config": {
            "name": "d",
            "units": 1,
            "kernel_initializer": {"class_name": "deserialize_keras_object", "config": {}},
        },
    },
    {"class_name": ["Lambda"], "name": "odd", "config": {}},
    {"class_name": "eval", "name": "odd", "config": {}},
]


@pytest.mark.parametrize("layer", HOSTILE, ids=lambda layer: str(layer["class_name"]))
def test_code_is_detected_in_all_parts_of_a_description(saved, tmp_path, layer):
    record = with_dead(model_record(saved), layer)
    assert describes_code(record) and contains_code(json.dumps(record))
    nested = with_dead(record, dict(record, name="inner", config=dict(record["config"], name="inner")))
    assert contains_code(json.dumps(nested))
    # The claim of a run's record is not trusted.
    origin = KerasOrigin.from_dict({"config": json.dumps(record), "arrays": {}, "has_code": False})
    assert origin.has_code


def test_code_in_an_omitted_part_is_detected(saved, tmp_path):
    """The import omits the layer without running it, but building the model in Keras requires permission."""
    path = tmp_path / "model.json"
    path.write_text(json.dumps(with_dead(model_record(saved), LAMBDA)))
    imported = load_model_file(path)
    assert [layer.name for layer in imported.network.layers] == ["out"] and imported.origin.has_code


def test_code_is_refused_before_tensorflow_could_see_it(saved, tmp_path):
    record = model_record(saved)
    record["config"]["layers"][1].update(class_name="Lambda", config={"name": "relu", "function": ["x", None, None]})
    path = tmp_path / "model.json"
    path.write_text(json.dumps(record))
    with pytest.raises(CodeRefused, match="'relu'"):
        load_model_file(path)


@pytest.mark.parametrize("text", ["", "[", "[" * 100000, '{"class_name": 3}'])
def test_an_invalid_description_may_contain_code(text):
    assert contains_code(text)


def test_no_code_is_detected_in_models_without_code(saved):
    assert not contains_code((saved / "model.json").read_text())
    assert not load_model_file(saved / "model.h5").origin.has_code
    with fresh_keras():
        image = layers.Input((32, 32, 3))
        y = layers.Conv2D(
            4,
            3,
            kernel_initializer="he_normal",
            kernel_regularizer=tf.keras.regularizers.l2(0.1),
            bias_constraint=tf.keras.constraints.NonNeg(),
            activation="relu",
        )(image)
        y = layers.BatchNormalization(beta_initializer=tf.keras.initializers.Constant(0.5))(y)
        model = tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(tf.nn.relu6(y))))
        assert not contains_code(model.to_json())


# Disguised weights


def replaced(path, make):
    with h5py.File(str(path), "r+") as file:
        del file[KERNEL]
        make(file)


def test_weights_are_not_read_from_other_files(whole, saved, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 4)
    other = tmp_path / "other.h5"
    with h5py.File(str(other), "w") as file:
        file["kernel"] = np.ones((36, 2), np.float32)
    shape = (36, 2)

    def external_raw(file):
        file.create_dataset(KERNEL, shape, np.float32, external=[(str(secret), 0, 288)])

    def external_link(file):
        file[KERNEL] = h5py.ExternalLink(str(other), "kernel")

    def virtual(file):
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[:] = h5py.VirtualSource(str(other), "kernel", shape)
        file.create_virtual_dataset(KERNEL, layout)

    for make in (external_raw, external_link, virtual):
        whole.write_bytes((saved / "model.h5").read_bytes())
        replaced(whole, make)
        refused("'dense'.*is stored in another file|'dense'.*the file has only 0 bytes", whole)


def test_a_bomb_is_refused_before_it_is_unpacked(whole, monkeypatch):
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 10 * 2**20)
    replaced(
        whole,
        lambda file: file.create_dataset(
            KERNEL, data=np.zeros((2**20, 2), np.float32), chunks=(2**18, 2), compression="gzip"
        ),
    )
    assert os.path.getsize(str(whole)) < 100000
    refused("exceed the 5242880 bytes", whole)


def test_many_names_for_the_same_bytes_count_each(whole, monkeypatch):
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 2**20)
    with h5py.File(str(whole), "r+") as file:
        group = file["model_weights/dense"]
        assert "kernel:0" in group["dense"]
        group.attrs["weight_names"] = [b"dense/kernel:0"] * 2000
    refused("exceed the 524288 bytes", whole)


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.create_dataset(KERNEL, (36, 2), h5py.special_dtype(vlen=str)),
        lambda file: file.create_dataset(KERNEL, (36, 2), h5py.special_dtype(ref=h5py.Reference)),
        lambda file: file.create_dataset(KERNEL, (36, 2), np.dtype([("x", "f4")])),
        lambda file: file.create_dataset(KERNEL, (36, 2), np.complex64),
        lambda file: file.create_group(KERNEL),
        lambda file: file.__setitem__(KERNEL, h5py.SoftLink("/nowhere")),
        lambda file: file.__setitem__(KERNEL, h5py.SoftLink("/" + KERNEL)),
        lambda file: file.create_dataset(KERNEL, data=np.zeros((2, 36), np.float32)),
        lambda file: file.create_dataset(KERNEL, data=np.zeros(0, np.float32)),
        lambda file: file.create_dataset(KERNEL, data=np.float32(3)),
    ],
    ids=["text", "reference", "record", "complex", "group", "nowhere", "itself", "turned", "empty", "scalar"],
)
def test_weights_of_another_kind_are_refused(whole, make):
    replaced(whole, make)
    refused("dense", whole)


@pytest.mark.parametrize("value", [7, b"", b"{", b"\xff\xfe", np.arange(5), "[" * 30000, b'"text"', b"null"])
def test_descriptions_of_another_kind_are_refused(whole, value):
    with h5py.File(str(whole), "r+") as file:
        file.attrs["model_config"] = value
    refused("", whole)


# Pipes and devices


def test_pipes_and_devices_are_refused_unread(saved, tmp_path):
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(str(pipe))  # reading it would wait for ever
    refused("not a regular file", pipe)
    refused("not a regular file", saved / "model.json", pipe)
    refused("not a regular file", "/dev/zero")
    link = tmp_path / "link.h5"
    link.symlink_to(link)
    refused("", link)
    fine = tmp_path / "fine.h5"
    fine.symlink_to(saved / "model.h5")
    assert load_model_file(fine).network.name == "small"


def test_an_archive_instead_of_a_model_is_not_unpacked(tmp_path):
    path = tmp_path / "model.h5"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../escaped", bytes(10**7))
    refused("zip archive", path)
    assert not (tmp_path.parent / "escaped").exists()


def test_no_memory_is_allocated_for_an_architecture(tmp_path, saved):
    """An architecture of 7 GB is only described."""
    record = model_record(saved)
    record["config"]["layers"][-1]["config"]["units"] = 5 * 10**7
    path = tmp_path / "model.json"
    path.write_text(json.dumps(record))
    assert load_model_file(path).network.parameter_count > 10**9
