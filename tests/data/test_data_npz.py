"""The .npz reader against NumPy's writer, and the files it refuses."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qatviz.data import load
from qatviz.data.npz import read_npz
from qatviz.errors import DataError

DTYPES = [np.dtype(code) for code in ("u1", "?", "<i8", ">i2", "<f4", ">f8", "<f2", "<U3", ">U2")]


def member(header, data=b"", version=1):
    """Return an .npy file with any header."""
    text = header.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def archive(path, **members):
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as stream:
        for name, content in members.items():
            stream.writestr(name + ".npy", content)
    return str(path)


@given(
    array=hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
    compressed=st.booleans(),
    fortran=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reads_what_numpy_writes(files, array, compressed, fortran):
    array = np.asfortranarray(array) if fortran else array
    read = read_npz(files.npz(compressed=compressed, array=array), ["array", "absent"])
    assert list(read) == ["array"]
    assert read["array"].dtype == array.dtype.newbyteorder("=") and read["array"].shape == array.shape
    np.testing.assert_array_equal(read["array"], array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_reads_every_version_of_the_format(tmp_path, version):
    stream = io.BytesIO()
    if version[0] < 3:
        np.lib.format.write_array(stream, np.arange(6), version)
        content = stream.getvalue()
    else:
        content = member("{'descr': '<i8', 'fortran_order': False, 'shape': (6,)}", np.arange(6).tobytes(), 3)
    np.testing.assert_array_equal(read_npz(archive(tmp_path / "a.npz", x=content), ["x"])["x"], np.arange(6))


def test_all_keys(files, digits):
    x, y = digits
    dataset = load(
        files.npz(
            x_train=x[:30],
            y_train=y[:30],
            x_test=x[30:],
            y_test=y[30:],
            other=x,
            class_names=np.array(["a", "b", "c", "d"]),
        )
    )
    np.testing.assert_array_equal(dataset.x_train[..., 0], x[:30])
    np.testing.assert_array_equal(dataset.x_test[..., 0], x[30:])
    np.testing.assert_array_equal(np.concatenate([dataset.y_train, dataset.y_test]), y)
    assert dataset.class_names == ("a", "b", "c", "d")
    assert dataset.name == "data" and dataset.source.endswith("data.npz") and dataset.input_shape == (6, 5, 1)


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_without_a_test_part_a_stratified_one_is_held_out(files, digits, keys):
    dataset = load(files.npz(**dict(zip(keys, digits))), validation_fraction=0.2, seed=3)
    assert np.bincount(dataset.y_train).tolist() == [8] * 4
    assert np.bincount(dataset.y_test).tolist() == [2] * 4


def test_a_zip_archive_needs_no_extension(files, digits):
    path = files.npz(x=digits[0], y=digits[1])
    files.path("data.npz").rename(files.path("plain"))
    assert load(str(files.path("plain"))).num_classes == 4
    with pytest.raises(DataError, match="neither a data set"):
        load(path)


@pytest.mark.parametrize(
    "keys, found",
    [
        ((), "the file has 'z';"),
        (("x",), "the file has 'z', 'x';"),
        (("x_train", "y"), "the file has 'z', 'x_train', 'y';"),
        (("x_train", "y_train", "x_test"), "x_test"),
        (("x", "y", "x_train", "y_train"), "x_train"),
    ],
)
def test_incomplete_or_ambiguous_keys_are_refused(files, digits, keys, found):
    path = files.npz(z=digits[0], **{key: digits[0 if key[0] == "x" else 1] for key in keys})
    with pytest.raises(DataError, match="data.npz: no data set: .*; expected x, y or x_train, y_train") as caught:
        load(path)
    caught.match(found)


def test_long_lists_of_keys_are_cut_off(files, digits):
    path = files.npz(**{f"k{index}" * 30: digits[1] for index in range(1, 10)})
    with pytest.raises(DataError, match="no data set") as caught:
        load(path)
    assert str(caught.value).count("k1k1") > 5 and "k6k6" in str(caught.value) and "k7" not in str(caught.value)
    assert "...' and 3 more; expected" in str(caught.value) and len(str(caught.value)) < 700
    with pytest.raises(DataError, match="the file has no arrays;"):
        load(files.npz("none.npz"))


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_messages_use_the_keys_of_the_file(files, digits, keys):
    with pytest.raises(DataError, match=f"data.npz: {keys[0]}: found nan in example 0"):
        load(files.npz(**dict(zip(keys, (np.full((40, 2), np.nan), digits[1])))))
    with pytest.raises(DataError, match=f"data.npz: {keys[1]}: found 3 labels for 40 examples"):
        load(files.npz(**dict(zip(keys, (digits[0], digits[1][:3])))))


@pytest.mark.parametrize("class_names", [np.arange(4), np.array([["a", "b"], ["c", "d"]])])
def test_class_names_of_another_type_are_refused(files, digits, class_names):
    with pytest.raises(DataError, match="data.npz: class_names: found .*expected a list of strings"):
        load(files.npz(x=digits[0], y=digits[1], class_names=class_names))


class Boom:
    """Class whose pickle has a side effect when it is loaded."""

    def __reduce__(self):
        return setattr, (Boom, "loaded", True)


def test_pickled_objects_are_refused_and_never_loaded(files, digits):
    with pytest.raises(DataError, match=r"data.npz: x: found dtype '\|O'; .*pickled objects are not supported"):
        load(files.npz(x=np.array([Boom()] * 40), y=digits[1]))
    assert pickle.loads(pickle.dumps(Boom())) is None and Boom.loaded


HEADER = "{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "expected an .npy array"),
        (b"not an array", "found b'not an a' at its start; expected an .npy array"),
        (b"\x93NUMPY\x04\x00", "expected an .npy array of version 1 to 3"),
        (b"\x93NUMPY\x01\x00\x10", "cannot be read as an .npz archive"),
        (member("a" * 10001), "found a header of 10001 bytes"),
        (member("__import__('os')"), "cannot be read as an .npz archive"),
        (member("[1]"), "expected descr, fortran_order and shape"),
        (member("{'descr': '<u1'}"), "expected descr, fortran_order and shape"),
        (member("(" * 5000), "cannot be read as an .npz archive"),
        (member(HEADER.format(descr="'|u1'", shape="(3,)"), b"12"), "ends after 2 bytes; expected 3"),
        (member(HEADER.format(descr="'|u1'", shape="(3,)"), b"1234"), "found more bytes than its header declares"),
        (member(HEADER.format(descr="'|u1'", shape="(-3,)")), "found shape .* expected sizes of at least 0"),
        (member(HEADER.format(descr="'|u1'", shape="(True,)")), "found shape"),
        (member(HEADER.format(descr="'|u1'", shape="3")), "found shape 3"),
        (member(HEADER.format(descr="'|u1'", shape="(2.0,)")), "found shape"),
        (member(HEADER.format(descr="'|O'", shape="(3,)")), "found dtype '|O'"),
        (member(HEADER.format(descr="'|V8'", shape="(3,)")), "found dtype '|V8'"),
        (member(HEADER.format(descr="'<c8'", shape="(3,)")), "found dtype '<c8'"),
        (member(HEADER.format(descr="'<U0'", shape="(3,)")), "found dtype '<U0'"),
        (member(HEADER.format(descr="'nonsense'", shape="(3,)")), "cannot be read as an .npz archive"),
        (member(HEADER.format(descr="[('a', '<i4')]", shape="(3,)")), "found dtype"),
        (member(HEADER.format(descr="'<f8'", shape="(1099511627775, 2)")), "bytes of memory; available"),
        (member(HEADER.format(descr="'<f8'", shape=f"({2**40},)")), "found shape"),
    ],
)
def test_members_with_wrong_headers_or_damage_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match="a.npz") as caught:
        load(archive(tmp_path / "a.npz", x=content, y=content))
    caught.match(message)


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path, monkeypatch):
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 2**20)
    path = archive(tmp_path / "bomb.npz", x=bytes(2**21), y=b"")
    with pytest.raises(DataError, match="bomb.npz: loading it needs 2,097,152 bytes of memory; available: 1,048,5"):
        load(path)


def test_a_bomb_next_to_the_data_is_not_read(tmp_path, monkeypatch, files, digits):
    path = files.npz(x=digits[0], y=digits[1], other=np.zeros(2**21, np.uint8))
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 2**20)
    assert load(path).num_classes == 4


def test_the_memory_that_is_available_is_a_limit_too(files, digits, monkeypatch):
    monkeypatch.setattr("qatviz.data.checks._available_bytes", lambda: 100)
    with pytest.raises(DataError, match="bytes of memory; available: 100"):
        load(files.npz(x=digits[0], y=digits[1]))


@pytest.mark.parametrize("content", [b"", b"PK", b"text", b"PK\x03\x04" + bytes(50)])
def test_a_file_other_than_an_archive_is_refused(files, content):
    path = files.path("a.npz")
    path.write_bytes(content)
    with pytest.raises(DataError, match="a.npz: cannot be read as an .npz archive: BadZipFile"):
        load(str(path))
