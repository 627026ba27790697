"""TFRecord files with a schema: written by TensorFlow, in memory and read when they are used."""

import io
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from qatviz.data import load, write_store
from qatviz.data.data_input import parts_of
from qatviz.data.inputs import for_inputs
from qatviz.data.streamed import statistics_of
from qatviz.data_options import DataOptions
from qatviz.errors import QatvizError

N = 30
PIXELS = np.random.RandomState(0).randint(0, 256, (N, 5, 4, 3)).astype(np.uint8)
LABELS = np.arange(N) % 3


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def example(index):
    feature = {
        "raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[PIXELS[index].tobytes()])),
        "png": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(PIXELS[index])])),
        "numbers": tf.train.Feature(float_list=tf.train.FloatList(value=PIXELS[index].ravel() / 8)),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[LABELS[index]])),
        "target": tf.train.Feature(float_list=tf.train.FloatList(value=[index, 2.5 * index])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write(path, indices, compression=""):
    with tf.python_io.TFRecordWriter(str(path), tf.python_io.TFRecordOptions(compression)) as writer:
        for index in indices:
            writer.write(example(index))


def describe_schema(folder, examples, targets=None, **more):
    schema = dict({"examples": examples, "targets": targets or {"feature": "label"}}, **more)
    (folder / "schema.json").write_text(json.dumps(schema))


RAW = {"feature": "raw", "encoding": "raw", "shape": [5, 4, 3]}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.tfrecord-00000-of-00002", range(12))
    write(tmp_path / "train.tfrecord-00001-of-00002", range(12, 24))
    write(tmp_path / "test.tfrecord", range(24, N))
    describe_schema(tmp_path, RAW)
    return tmp_path


@pytest.mark.parametrize(
    "examples", [RAW, {"feature": "png", "encoding": "image", "shape": [5, 4, 3]}], ids=["raw", "image"]
)
def test_images_are_those_that_were_written(examples, folder):
    describe_schema(folder, examples, class_names=["a", "b", "c"])
    dataset = load(folder)
    np.testing.assert_array_equal(dataset.x_train, PIXELS[:24])
    np.testing.assert_array_equal(dataset.x_test, PIXELS[24:])
    np.testing.assert_array_equal(np.r_[dataset.y_train, dataset.y_test], LABELS)
    assert dataset.class_names == ("a", "b", "c")


def test_numbers_and_targets_of_a_regression(folder):
    describe_schema(
        folder, {"feature": "numbers", "shape": [60]}, {"feature": "target", "shape": [2]}, task="regression"
    )
    dataset = load(folder)
    np.testing.assert_array_equal(dataset.x_train, PIXELS[:24].reshape(24, 60) / np.float32(8))
    np.testing.assert_array_equal(dataset.y_test, [[index, 2.5 * index] for index in range(24, N)])


def test_one_file_is_split_and_may_be_compressed(tmp_path):
    write(tmp_path / "all.tfrecord", range(N), "GZIP")
    describe_schema(tmp_path, RAW)
    dataset = load(tmp_path / "all.tfrecord")
    assert sorted(image.tobytes() for image in [*dataset.x_train, *dataset.x_test]) == sorted(
        image.tobytes() for image in PIXELS
    )
    with pytest.raises(QatvizError, match="all.tfrecord: found no test part to hold out"):
        load(tmp_path / "all.tfrecord", options=DataOptions(held_out="test"))


def test_examples_larger_than_memory_are_read_when_they_are_used(folder, tmp_path, monkeypatch):
    in_memory = load(folder)
    monkeypatch.setattr("qatviz.data.tfrecord.memory_limit", lambda: 600)
    streamed = load(folder)
    assert streamed.streamed == ("x_train", "x_test")
    (note,) = [note.text for note in streamed.notes]
    assert note.startswith("examples are read when they are used") and "those of 256 of them" in note
    for rows in (slice(None), [23, 0, 12, 11, 5]):
        np.testing.assert_array_equal(streamed.x_train[rows], in_memory.x_train[rows])
    assert streamed.fingerprint == in_memory.fingerprint
    write_store(streamed, tmp_path / "store")
    assert load(tmp_path / "store").fingerprint == in_memory.fingerprint
    write(folder / "train.tfrecord-00001-of-00002", range(3))
    with pytest.raises(QatvizError, match=r"00001-of-00002"):
        streamed.x_train[20]


def test_rows_of_bytes_larger_than_memory_are_refused_as_they_are_no_pixels(folder, monkeypatch):
    describe_schema(folder, {**RAW, "shape": [60]})
    assert load(folder).x_train.dtype == np.float32
    monkeypatch.setattr("qatviz.data.tfrecord.memory_limit", lambda: 600)
    with pytest.raises(
        QatvizError, match=r"raw: found uint8 of shape \[24, 60\], larger than memory; expected float32"
    ):
        load(folder)


def test_compressed_files_larger_than_memory_name_the_way_out(tmp_path, monkeypatch):
    write(tmp_path / "all.tfrecord", range(N), "GZIP")
    describe_schema(tmp_path, RAW)
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 600)
    with pytest.raises(QatvizError, match="loading its examples needs .* uncompressed TFRecord files"):
        load(tmp_path / "all.tfrecord")


def test_a_schema_that_is_too_large_is_refused(folder, monkeypatch):
    monkeypatch.setattr("qatviz.data.tfrecord._MAX_SCHEMA_BYTES", 50)
    with pytest.raises(QatvizError, match="schema.json: has more than 50 bytes; expected fewer in the schema"):
        load(folder)


WRONG = {
    "no schema": (lambda folder: (folder / "schema.json").unlink(), "found no schema.json"),
    "no JSON": (lambda folder: (folder / "schema.json").write_text("{"), "schema.json: cannot be read"),
    "other feature": (lambda folder: describe_schema(folder, {**RAW, "feature": "pixels"}), "record 0: found label, "),
    "other shape": (lambda folder: describe_schema(folder, {**RAW, "shape": [5, 4]}), "has 60 values; expected 20"),
    "bytes as numbers": (
        lambda folder: describe_schema(folder, {"feature": "raw", "shape": [60]}),
        "has bytes; expected",
    ),
    "numbers as bytes": (
        lambda folder: describe_schema(folder, {**RAW, "feature": "label"}),
        "expected the bytes of one",
    ),
    "no image": (
        lambda folder: describe_schema(folder, {"feature": "raw", "encoding": "image", "shape": [5, 4, 3]}),
        "cannot be read as an image",
    ),
    "other size": (
        lambda folder: describe_schema(folder, {"feature": "png", "encoding": "image", "shape": [4, 5, 3]}),
        "found 5x4 pixels; expected 4x5",
    ),
    "encoding": (lambda folder: describe_schema(folder, {**RAW, "encoding": "zip"}), "encoding is 'zip'"),
    "dtype": (lambda folder: describe_schema(folder, {**RAW, "dtype": "object"}), "dtype is 'object'"),
    "size": (lambda folder: describe_schema(folder, {**RAW, "shape": [-1]}), r"shape is \[-1\]"),
    "list": (lambda folder: (folder / "schema.json").write_text("[]"), "expected examples, targets"),
    "damaged": (
        lambda folder: (folder / "test.tfrecord").write_bytes(
            (folder / "test.tfrecord").read_bytes()[:-40] + bytes(40)
        ),
        r"test.tfrecord: record \d+",
    ),
    "not records": (
        lambda folder: (folder / "test.tfrecord").write_bytes(b"no records here"),
        "test.tfrecord: record 0",
    ),
    "empty": (lambda folder: (folder / "test.tfrecord").write_bytes(b""), "found no records"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named(wrong, folder):
    change, said = WRONG[wrong]
    change(folder)
    with pytest.raises(QatvizError, match=said):
        load(folder)


def test_a_schema_elsewhere_is_an_option(folder, tmp_path):
    (folder / "schema.json").rename(tmp_path / "other.json")
    assert load(folder, options=DataOptions(schema=str(tmp_path / "other.json"))).input_shape == (5, 4, 3)


def test_examples_of_several_inputs(folder):
    describe_schema(folder, {"pixels": RAW, "row": {"feature": "target", "shape": [2]}})
    dataset = load(str(folder))
    assert [each[:2] for each in dataset.inputs] == [("pixels", (5, 4, 3)), ("row", (2,))]
    pixels, rows = parts_of(dataset.inputs, dataset.x_test)
    np.testing.assert_array_equal(pixels, PIXELS[24:])
    np.testing.assert_array_equal(rows, [[index, 2.5 * index] for index in range(24, N)])
    np.testing.assert_array_equal(dataset.y_test, LABELS[24:])
    describe_schema(folder, {"pixels": RAW, "row": {"feature": "target", "shape": [3]}})
    with pytest.raises(QatvizError, match="target has 2 values; expected 3"):
        load(str(folder))
    describe_schema(folder, {"pixels": RAW, "row": {"shape": [3]}})
    with pytest.raises(QatvizError, match="examples: row: feature is None"):
        load(str(folder))


def test_examples_of_several_inputs_larger_than_memory_are_read_when_they_are_used(folder, tmp_path, monkeypatch):
    describe_schema(folder, {"pixels": RAW, "row": {"feature": "target", "shape": [2]}})
    in_memory = load(str(folder))
    monkeypatch.setattr("qatviz.data.tfrecord.memory_limit", lambda: 600)
    streamed = load(str(folder))
    assert streamed.streamed == ("x_train", "x_test") and streamed.inputs == in_memory.inputs
    (note,) = streamed.notes
    assert note.text.startswith("examples are read when they are used")
    for rows in (slice(None), slice(3, 9), [23, 0, 12, 11, 5]):
        np.testing.assert_array_equal(streamed.x_train[rows], in_memory.x_train[rows])
    assert streamed.fingerprint == in_memory.fingerprint
    found, expected = (statistics_of(each.x_train) for each in (streamed, in_memory))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    reordered = for_inputs(streamed, [("row", (2,)), ("pixels", (5, 4, 3))])
    np.testing.assert_array_equal(reordered.x_test[1:3][:, :2], parts_of(in_memory.inputs, in_memory.x_test)[1][1:3])
    write_store(streamed, tmp_path / "store")
    assert load(tmp_path / "store").fingerprint == in_memory.fingerprint
