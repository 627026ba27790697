"""Reader of TensorFlow checkpoints (tensor bundles) without TensorFlow, and of messages in Protocol Buffers' format.

A checkpoint has an index, which is a table of LevelDB's format (tensorflow/core/lib/io/format.h), and data files with
the values of the tensors, one after the other (tensorflow/core/util/tensor_bundle). The functions raise ValueError,
IndexError, struct.error or OSError for damaged files; no more is read or allocated than the files have.
"""

import os
import struct
from typing import Iterator, NamedTuple, Tuple, Union

import numpy as np

from qatviz.data.checks import check_memory

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_BYTES, _MAX_VARINT_BYTES = 48, 10
#: TensorFlow's number of the type of strings.
_STRING = 7
#: NumPy's dtypes by TensorFlow's number (tensorflow/core/framework/types.proto).
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}


def fields(message: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    """Yield the numbers and values of the fields of a message; groups, which TensorFlow does not use, are an error."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, position = _varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field has the type {kind}; expected: 0, 1, 2 or 5")
        if position + size > len(message):
            raise ValueError("a field is cut off")
        yield tag >> 3, message[position : position + size]
        position += size


def parts(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the values of a field that consists of messages or texts."""
    for number, value in fields(message):
        if number == wanted and isinstance(value, bytes):
            yield value


def text(message: bytes, wanted: int) -> str:
    """Return the text of a field; empty if the message does not have it."""
    return next(parts(message, wanted), b"").decode("utf-8")


def integer(message: bytes, wanted: int) -> int:
    """Return the integer of a field; 0 if the message does not have it."""
    return next((value for number, value in fields(message) if number == wanted and isinstance(value, int)), 0)


def _varint(message: bytes, position: int) -> Tuple[int, int]:
    """Return the integer at a position, of 7 bits in each byte, and the position after it."""
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        byte = message[position + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise ValueError("an integer has more than 10 bytes")


class Entry(NamedTuple):
    """Entry of the index: TensorFlow's number of the type, shape; data file, offset and size (bytes) of the values."""

    dtype: int
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int


class TensorBundle:
    """Checkpoint whose files begin with `prefix`.

    Attributes
    ----------
    tensors : dict of str to Entry
        Entries of the index by key.
    """

    def __init__(self, prefix: str):
        self._prefix = prefix
        index_path = prefix + ".index"
        check_memory(index_path, os.path.getsize(index_path))
        with open(index_path, "rb") as file:
            entries = dict(_table(file.read()))
        self._shards = integer(entries[b""], 1)
        self.tensors = {key.decode("utf-8"): _entry(value) for key, value in entries.items() if key}

    def is_numeric(self, key: str) -> bool:
        """Return whether a tensor consists of numbers."""
        return self.tensors[key].dtype in _DTYPES

    def array(self, key: str) -> np.ndarray:
        """Return the values of a tensor of numbers."""
        tensor = self.tensors[key]
        if tensor.dtype not in _DTYPES:
            raise ValueError(f"{key} has TensorFlow's type {tensor.dtype}; expected: numbers")
        dtype = np.dtype(_DTYPES[tensor.dtype])
        count = int(np.prod([float(axis) for axis in tensor.shape]))
        if min(tensor.shape, default=0) < 0 or count * dtype.itemsize != tensor.size:
            raise ValueError(f"{key} has {tensor.size} bytes; expected: those of the shape {tensor.shape}")
        return np.frombuffer(self._bytes(tensor), dtype).reshape(tensor.shape)

    def text(self, key: str) -> bytes:
        """Return the value of a tensor that is a single string: its length, the length's checksum, its bytes."""
        tensor = self.tensors[key]
        if tensor.dtype != _STRING or tensor.shape:
            raise ValueError(f"{key} has TensorFlow's type {tensor.dtype} and shape {tensor.shape}; expected: a string")
        content = self._bytes(tensor)
        length, position = _varint(content, 0)
        start = position + 4
        if len(content) != start + length:
            raise ValueError(f"{key} has {len(content)} bytes; expected: {start + length}")
        return content[start:]

    def _bytes(self, tensor: Entry) -> bytes:
        path = f"{self._prefix}.data-{tensor.shard:05d}-of-{self._shards:05d}"
        if tensor.offset + tensor.size > os.path.getsize(path):
            raise ValueError(f"{os.path.basename(path)} has {os.path.getsize(path)} bytes, fewer than the index says")
        with open(path, "rb") as file:
            file.seek(tensor.offset)
            return file.read(tensor.size)


def _entry(content: bytes) -> Entry:
    """Return the entry in a BundleEntryProto."""
    if next(parts(content, 7), None) is not None:
        raise ValueError("a tensor is stored in slices; expected: whole tensors")
    sizes = tuple(integer(axis, 1) for axis in parts(next(parts(content, 2), b""), 2))
    return Entry(integer(content, 1), sizes, integer(content, 3), integer(content, 4), integer(content, 5))


def _table(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Yield the keys and values of a table."""
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or not footer.endswith(_MAGIC):
        raise ValueError("the index is damaged or not that of a checkpoint")
    _, position = _handle(footer, 0)
    index, _ = _handle(footer, position)
    total = 0
    for _, handle in _block(content, *index):
        place, _ = _handle(handle, 0)
        total += place[1]
        if total > len(content):
            raise ValueError("the blocks of the index overlap")
        yield from _block(content, *place)


def _handle(content: bytes, position: int) -> Tuple[Tuple[int, int], int]:
    """Return offset and size of a block, and the position after them."""
    offset, position = _varint(content, position)
    size, position = _varint(content, position)
    return (offset, size), position


def _block(content: bytes, offset: int, size: int) -> Iterator[Tuple[bytes, bytes]]:
    """Yield the keys and values of a block; each key has a prefix in common with the one before it."""
    block = content[offset : offset + size]
    if len(block) < size or content[offset + size] != 0:
        raise ValueError("a block of the index is cut off or compressed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 - 4 * restarts
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + own + length > end:
            raise ValueError("an entry of the index is damaged")
        key = key[:shared] + block[position : position + own]
        yield key, block[position + own : position + own + length]
        position += own + length
