"""Frames are read back unchanged; damaged, hostile and too large ones are refused without memory."""

import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from telemetry_samples import assert_same_array

from qatviz.remote.errors import FrameError
from qatviz.remote.frames import FROM_SERVER, FROM_VIEWER, STRANGER, Limits, encode, read_frame

DTYPES = st.sampled_from([np.bool_, np.int8, np.uint16, np.int32, np.int64, np.float32, np.float64])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))


def reader(data, most=4099):
    """Return a function that reads from bytes, in pieces of at most ``most``."""
    position = [0]

    def read(length):
        part = data[position[0] : position[0] + min(length, most)]
        position[0] += len(part)
        return part

    return read


def body_of(header, rest=b"", length=None):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(encoded) if length is None else length) + encoded + rest


def frame_of(body, flags=0, length=None):
    return struct.pack("<IB", len(body) if length is None else length, flags) + body


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4), st.dictionaries(st.text(min_size=7), st.integers()))
def test_frames_round_trip(arrays, header):
    header.pop("arrays", None)
    frame = encode(header, arrays)
    (found_header, found), size = read_frame(reader(frame, 7), FROM_SERVER)
    assert (found_header, list(found), size) == (header, list(arrays), len(frame))
    for name, array in arrays.items():
        assert not found[name].flags.writeable
        assert_same_array(found[name], array)


def test_arrays_are_raw_and_little_endian():
    frame = encode({}, {"a": np.array([1, 2], ">i4"), "b": np.array([0.5])})
    assert frame.endswith(b"\x01\0\0\0\x02\0\0\0" + struct.pack("<d", 0.5))


def test_large_frames_are_compressed():
    frame = encode({}, {"a": np.zeros(100_000)})
    assert len(frame) < 10_000
    assert read_frame(reader(frame), FROM_SERVER)[0][1]["a"].shape == (100_000,)


def test_other_types_are_refused_by_the_writer():
    for array in (np.array([None]), np.array(["text"]), np.zeros(1, complex)):
        with pytest.raises(TypeError, match="expected bool, integer or float"):
            encode({}, {"a": array})


@pytest.mark.parametrize(
    "frame",
    [
        frame_of(body_of({}), flags=2),
        frame_of(b"abc"),
        frame_of(body_of({}, length=1000)),
        frame_of(body_of(b"[]")),
        frame_of(body_of(b"\xff\xff")),
        frame_of(body_of(b"{" * 3)),
        frame_of(body_of(b"[" * 100_000)),
        frame_of(body_of({}, b"more")),
        frame_of(body_of({"arrays": [["a", "<f4", [2]]]}, bytes(4))),
        frame_of(body_of({"arrays": [["a", "<f4", [1 << 62, 1 << 62]]]}, bytes(4))),
        frame_of(body_of({"arrays": [["a", "<f4", [-1]]]}, bytes(4))),
        frame_of(body_of({"arrays": [["a", "|O", [1]]]}, bytes(8))),
        frame_of(body_of({"arrays": [["a", "(__import__('os').abort(),)f4", [1]]]}, bytes(4))),
        frame_of(body_of({"arrays": {"a": 1}})),
        frame_of(body_of({"arrays": [[1, "<f4", [0]]]})),
        frame_of(b"no zlib", flags=1),
        frame_of(zlib.compress(body_of({}))[:-3], flags=1),
    ],
    ids=range(17),
)
def test_invalid_frames_are_refused(frame):
    with pytest.raises(FrameError):
        read_frame(reader(frame), FROM_VIEWER)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_frames_raise_only_documented_errors(data):
    frame = bytearray(encode({"t": "x", "n": [1, 2]}, {"a": np.arange(50), "b": np.zeros((3, 4), np.float32)}))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_frame(reader(bytes(frame)), FROM_VIEWER)
    except (FrameError, EOFError):
        return


@pytest.mark.parametrize(
    "frame, limits",
    [
        (frame_of(b"", length=(1 << 32) - 1), FROM_SERVER),
        (frame_of(b"", length=FROM_VIEWER.stored + 1), FROM_VIEWER),
        (frame_of(b"", length=STRANGER.stored + 1), STRANGER),
        (frame_of(zlib.compress(bytes(200_000_000), 9), flags=1), Limits(1 << 20, 1 << 20, 1 << 20)),
        (frame_of(body_of({"arrays": [["a", "|u1", [1 << 40]]]})), FROM_SERVER),
        (frame_of(body_of({"a": "x" * 5000})), STRANGER),
    ],
    ids=["length", "viewer", "stranger", "bomb", "array", "header"],
)
def test_large_claims_use_no_memory(frame, limits):
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            read_frame(reader(frame), limits)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_an_announced_length_alone_uses_no_memory():
    frame = frame_of(b"abc", length=FROM_SERVER.stored)
    tracemalloc.start()
    try:
        with pytest.raises(EOFError):
            read_frame(reader(frame), FROM_SERVER)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
