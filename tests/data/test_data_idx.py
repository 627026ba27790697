"""The IDX reader against a writer written from the specification, and the conventions for names."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qatviz.data import load
from qatviz.data.idx import read_idx
from qatviz.errors import DataError

DTYPES = [np.dtype(code) for code in ("u1", "i1", "i2", "i4", "f4", "f8")]


@given(
    array=hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)),
    zipped=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reads_every_element_type_plain_and_zipped(files, array, zipped):
    read = read_idx(files.idx("array", array, zipped))
    assert read.dtype == array.dtype and read.shape == array.shape
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("test_prefix", ["t10k", "test", None])
@pytest.mark.parametrize("by_directory", [False, True])
def test_a_set_is_found_by_name(files, digits, zipped, test_prefix, by_directory):
    x, y = digits
    path = files.idx_set(x[:30], y[:30], zipped=zipped)
    if test_prefix:
        files.idx_set(x[30:], y[30:], test_prefix, zipped)
    dataset = load(str(files.directory / "set") if by_directory else path)
    assert dataset.name == "set" and dataset.input_shape == (6, 5, 1)
    if test_prefix:
        np.testing.assert_array_equal(dataset.x_train[..., 0], x[:30])
        np.testing.assert_array_equal(dataset.x_test[..., 0], x[30:])
        np.testing.assert_array_equal(np.concatenate([dataset.y_train, dataset.y_test]), y)
    else:
        assert len(dataset.x_train) == 24 and len(dataset.x_test) == 6


def test_the_test_part_of_names_with_capitals_is_found(files, digits):
    x, y = digits
    path = files.idx_set(x[:30], y[:30], "Train")
    files.idx_set(x[30:], y[30:], "test")
    assert (len(load(path).x_train), len(load(path).x_test)) == (30, 10)


def test_images_and_labels_may_be_zipped_or_not_each(files, digits):
    x, y = digits
    files.idx("set/train-labels-idx1-ubyte", y)
    assert load(files.idx("set/train-images-idx3-ubyte.gz", x, zipped=True)).num_classes == 4


def test_a_plain_file_and_its_zipped_copy_are_one_set(files, digits):
    files.idx_set(*digits)
    files.idx_set(*digits, zipped=True)
    assert load(str(files.directory / "set")).num_classes == 4


def test_other_names_of_the_same_convention(files, digits):
    x, y = digits
    files.idx("emnist-images/emnist-mnist-train-labels-idx1-ubyte", y)
    files.idx("emnist-images/emnist-mnist-test-images-idx3-ubyte", x[:7])
    files.idx("emnist-images/emnist-mnist-test-labels-idx1-ubyte", y[:7])
    assert len(load(files.idx("emnist-images/emnist-mnist-train-images-idx3-ubyte", x)).x_test) == 7
    files.idx("odd/images-in-training-train-labels-idx1-ubyte", y)
    files.idx("odd/images-in-training-t10k-images-idx3-ubyte", x[:7])
    files.idx("odd/images-in-training-t10k-labels-idx1-ubyte", y[:7])
    assert len(load(files.idx("odd/images-in-training-train-images-idx3-ubyte", x)).x_test) == 7
    files.idx("dotted/train-labels.idx1-ubyte", y)
    assert load(files.idx("dotted/train-images.idx3-ubyte", x)).num_classes == 4


def test_colour_images_have_four_axes(files, digits):
    x = np.repeat(digits[0][..., np.newaxis], 3, axis=3)
    assert load(files.idx_set(x, digits[1])).input_shape == (6, 5, 3)


def test_missing_labels_are_named(files, digits):
    path = files.idx("train-images-idx3-ubyte.gz", digits[0], zipped=True)
    with pytest.raises(DataError, match="labels not found; expected train-labels-idx1-ubyte.gz in the same directory"):
        load(path)


def test_labels_or_other_names_in_place_of_images_are_refused(files, digits):
    files.idx_set(*digits)
    with pytest.raises(
        DataError, match="not the name of an images file, from which that of the labels follows; expected train"
    ):
        load(str(files.path("set/train-labels-idx1-ubyte")))
    with pytest.raises(DataError, match="not the name of an images file"):
        load(files.idx("digits.bin", digits[0]))


def test_several_sets_in_one_directory_are_refused(files, digits):
    files.idx_set(*digits, prefix="a-train")
    path = files.idx_set(*digits, prefix="b-train")
    with pytest.raises(DataError, match=r"found 2 files of training images \(a-train-.*, b-train-.*\); expected one"):
        load(str(files.directory / "set"))
    assert load(path).num_classes == 4


def test_messages_name_the_file_of_the_part(files, digits):
    x, y = digits
    path = files.idx_set(x, y)
    files.idx_set(x[:5], y[:4], "t10k")
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: found 4 labels for 5 examples"):
        load(path)


def header(*sizes, code=8, axes=None):
    return struct.pack(">BBBB", 0, 0, code, len(sizes) if axes is None else axes) + struct.pack(
        f">{len(sizes)}I", *sizes
    )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "found b'' at its start; expected an IDX magic number"),
        (b"\0\0\x08", "expected an IDX magic number"),
        (b"\1\0\x08\x01", "expected an IDX magic number"),
        (header(1, code=7) + b"1", "expected an IDX magic number"),
        (header(), "expected an IDX magic number"),
        (header(1, 1, 1, 1, 1) + b"1", "expected an IDX magic number"),
        (header(2, axes=2), "the header ends after 4 bytes; expected 8"),
        (header(2, 3) + b"12345", "the array ends after 5 bytes; expected 6"),
        (header(2, 3) + b"1234567", "found more bytes than its header declares"),
        (header(*[2**32 - 1] * 4) + b"1", "the array needs .* bytes of memory"),
    ],
)
def test_files_with_wrong_headers_are_refused(files, zipped, content, message):
    path = files.path("train-images-idx3-ubyte")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match="train-images-idx3-ubyte: ") as caught:
        read_idx(str(path))
    caught.match(message)


@pytest.mark.parametrize(
    "damage",
    [
        lambda zipped: zipped[:-1],
        lambda zipped: zipped[:20],
        lambda zipped: zipped[:-8] + bytes(8),
        lambda zipped: zipped[:2],
    ],
)
def test_damaged_gzip_is_refused(files, digits, damage):
    path = files.path("train-images-idx3-ubyte.gz")
    files.idx(path.name, digits[0], zipped=True)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz: cannot be read as an IDX file"):
        read_idx(str(path))
