"""Import of SavedModels and TensorFlow checkpoints: paths, refusals and damaged files."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from file_damage import FOREIGN, damaged_copies

from qatviz.errors import NetworkError, QatvizError
from qatviz.network.keras_import import load_model_file
from qatviz.network.keras_import.saved_model import read_checkpoint
from qatviz.network.keras_import.tensor_bundle import TensorBundle, fields
from qatviz.network.model_formats import is_model_folder, located
from qatviz.session.inspection import ModelInspector, kind_of
from qatviz.session.model_info import ModelQuestion


@pytest.fixture(scope="module")
def folder(unpacked):
    return unpacked("tensorflow-1.15-v2")


def assert_same_parameters(found, expected):
    assert found.network == expected.network and found.parameters.keys() == expected.parameters.keys()
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)


def refused(said, *paths):
    with pytest.raises(NetworkError, match=said) as caught:
        load_model_file(*paths)
    assert repr(str(paths[0])) in str(caught.value)


def test_paths_of_a_saved_model_and_a_checkpoint(folder, tmp_path):
    whole = str(folder / "graph-saved")
    prefix = str(folder / "graph-weights.ckpt")
    assert is_model_folder(whole) and kind_of(whole) == "model"
    assert not is_model_folder(str(folder)) and not is_model_folder(prefix)
    assert located(os.path.join(whole, "saved_model.pb")) == located(whole) == whole
    for path in (prefix, prefix + ".index", prefix + ".data-00000-of-00001"):
        assert located(path) == prefix
    for name in (".index", ".data-00000-of-00001"):
        shutil.copy(prefix + name, str(tmp_path / ("w" + name)))
    assert located(str(tmp_path)) == str(tmp_path / "w")


def test_the_window_inspects_a_saved_model_and_a_checkpoint(folder):
    inspector = ModelInspector()
    info = inspector.inspect(ModelQuestion(str(folder / "graph-saved")))
    assert info.has_weights and info.network.layer(info.network.output).kind == "Dense"
    info = inspector.inspect(ModelQuestion(str(folder / "graph.json"), str(folder / "graph-weights.ckpt")))
    assert info.has_weights
    with pytest.raises(QatvizError, match="no such file"):
        inspector.inspect(ModelQuestion(str(folder / "graph.json"), str(folder / "other.ckpt")))


def test_a_checkpoint_of_the_model_as_a_part(folder, tmp_path):
    """``tf.train.Checkpoint(model=model)`` has the model below its root."""
    program = tmp_path / "save.py"
    program.write_text(
        "import sys, tensorflow as tf\n"
        "tf.compat.v1.enable_v2_behavior()\n"
        "model = tf.keras.models.load_model(sys.argv[1])\n"
        "tf.train.Checkpoint(model=model, step=tf.Variable(3)).write(sys.argv[2])\n"
    )
    paths = [str(folder / "graph.h5"), str(tmp_path / "part")]
    subprocess.run([sys.executable, str(program), *paths], check=True, stderr=subprocess.DEVNULL)
    found = load_model_file(folder / "graph.json", tmp_path / "part.index")
    assert_same_parameters(found, load_model_file(folder / "graph.h5"))


def test_saved_models_and_checkpoints_that_are_refused(folder, tmp_path):
    refused("only weights found.*JSON", folder / "graph-weights.ckpt.index")
    refused("whole model", folder / "graph-saved", folder / "graph-weights.ckpt")
    refused(
        "weights file.*weights of 6 layers are stored; expected: 7",
        folder / "graph.json",
        folder / "sequence-weights.ckpt",
    )
    refused("weights file.*weights of 7 layers", folder / "sequence.json", folder / "graph-weights.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.float32, (None, 3))
        weights = tf.Variable(np.ones((3, 2), np.float32), name="free")
        session.run(tf.global_variables_initializer())
        tf.saved_model.simple_save(session, str(tmp_path / "plain"), {"x": image}, {"y": image @ weights})
    refused("SavedModel without Keras' description.*saved by model.save", tmp_path / "plain")
    refused(
        "0 variables named '.*' are stored; expected: 1; nearest: .*save_weights",
        folder / "sequence.json",
        tmp_path / "plain" / "variables" / "variables.index",
    )


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("variables/variables.index", lambda content: content[: len(content) // 2], "cannot be read"),
        ("variables/variables.index", lambda content: b"\0" * 100, "cannot be read"),
        ("variables/variables.data-00000-of-00001", lambda content: content[:2000], "cannot be read|exceed the 2000"),
        ("variables/variables.data-00000-of-00001", lambda content: b"", "cannot be read|exceed the 0"),
        ("saved_model.pb", lambda content: content[: len(content) // 2], "cannot be read"),
        ("saved_model.pb", lambda content: b"", "without Keras' description"),
        ("saved_model.pb", lambda content: content.replace(b'"Conv2D"', b'"Conv9D"'), "Conv9D.*not supported"),
        ("saved_model.pb", lambda content: content.replace(b'"filters": 4', b'"filters": 6'), "has shape"),
    ],
    ids=["cut index", "no index", "cut data", "no data", "cut graph", "no graph", "layer", "shape"],
)
def test_damaged_saved_models_are_refused(folder, tmp_path, name, change, said):
    path = tmp_path / "model"
    shutil.copytree(str(folder / "sequence-saved"), str(path))
    content = (path / name).read_bytes()
    (path / name).write_bytes(change(content))
    refused(said, path)


def test_fields_of_messages():
    from google.protobuf import descriptor_pb2

    message = descriptor_pb2.FileDescriptorProto(name="é" * 200, dependency=["a", ""], public_dependency=[0, 2**31 - 1])
    found = list(fields(message.SerializeToString()))
    assert found[0] == (1, ("é" * 200).encode("utf-8")) and found[1:3] == [(3, b"a"), (3, b"")]
    assert [value for number, value in found if number == 10] == [0, 2**31 - 1]
    for content in (b"\x0a", b"\x0a\x05ab", b"\x0b", b"\xff\xff", b"\xff" * 50):
        with pytest.raises((ValueError, IndexError)):
            list(fields(content))


def save_tensors(path, values):
    """Write a checkpoint with the operation that tf.train.Saver and tf.train.Checkpoint use."""
    with tf.Graph().as_default(), tf.Session() as session:
        settings = {"tensor_names": list(values), "shape_and_slices": [""] * len(values)}
        session.run(tf.raw_ops.SaveV2(prefix=str(path), tensors=list(map(tf.constant, values.values())), **settings))


def test_tensors_are_those_that_tensorflow_reads(folder):
    """The oracle is tf.train.load_checkpoint: keys, shapes, values."""
    for name in ("graph-weights.ckpt", "sequence-saved/variables/variables"):
        bundle, reader = TensorBundle(str(folder / name)), tf.train.load_checkpoint(str(folder / name))
        assert bundle.tensors.keys() == reader.get_variable_to_shape_map().keys()
        for key in bundle.tensors:
            if bundle.is_numeric(key):
                np.testing.assert_array_equal(bundle.array(key), reader.get_tensor(key), key)
            elif key == "_CHECKPOINTABLE_OBJECT_GRAPH":
                assert bundle.text(key) == reader.get_tensor(key)


def test_tensors_of_all_types_and_many_keys(tmp_path):
    """An index of several blocks, in which keys share prefixes."""
    types = (np.float32, np.float64, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64)
    random = np.random.RandomState(0)
    arrays = {
        f"{'block' * (1 + number % 7)}/layer_{number}": (random.standard_normal((number % 3, 2)) * 50).astype(kind)
        for number, kind in enumerate(types * 60)
    }
    save_tensors(tmp_path / "all", arrays)
    assert os.path.getsize(str(tmp_path / "all.index")) > 3 * 4096  # the size of a block is 4096
    bundle = TensorBundle(str(tmp_path / "all"))
    assert bundle.tensors.keys() == arrays.keys()
    for name, value in arrays.items():
        found = bundle.array(name)
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)


def graph_of_a_circle(objects):
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    root = graph.nodes.add()
    for number in range(objects):
        root.children.add(node_id=0, local_name=f"layer_with_weights-{number}")
    return graph.SerializeToString()


@pytest.mark.parametrize("objects", [1, 2, 300])
def test_objects_in_a_circle_end(tmp_path, objects):
    """A model that contains itself: neither memory nor time is exhausted."""
    save_tensors(tmp_path / "circle", {"_CHECKPOINTABLE_OBJECT_GRAPH": graph_of_a_circle(objects)})
    with pytest.raises(ValueError, match="more than 100000 layers or 50 levels"):
        read_checkpoint(str(tmp_path / "circle"))


def test_damaged_checkpoints_are_refused_or_read(folder, tmp_path):
    """Neither another exception nor endless work, whatever bytes the index has."""
    content = (folder / "graph-weights.ckpt.index").read_bytes()
    shutil.copy(str(folder / "graph-weights.ckpt.data-00000-of-00001"), str(tmp_path / "w.data-00000-of-00001"))
    copies = list(damaged_copies(content, 0, 300, values=b"\x00\x01\x7f\x80\xff", foreign=FOREIGN))
    refusals = 0
    for copy in copies:
        (tmp_path / "w.index").write_bytes(copy)
        try:
            load_model_file(folder / "graph.json", tmp_path / "w")
        except NetworkError:
            refusals += 1
    assert 100 < refusals <= 300
