"""Frames of the connection between a viewer and a server: a JSON header and raw little-endian arrays.

A frame consists of the length of the body as it is sent (uint32), flags (uint8), and the body. With the flag
:data:`_DEFLATED`, the body is compressed by zlib. The body consists of the length of the header (uint32), the header
(JSON in UTF-8), and the arrays one after another. The header's entry ``arrays`` lists name, dtype and shape of each.
Integers are little-endian.

A reader checks each length against a limit before it allocates memory. Decoding executes no code: there are no pickles.
"""

import json
import struct
import zlib
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.protocol import values, wire
from qatviz.protocol.snapshots import read_only
from qatviz.remote.errors import FrameError, TooLargeError

_PREFIX = struct.Struct("<IB")
#: Number of bytes before the body of a frame.
PREFIX_BYTES = _PREFIX.size
_HEADER_LENGTH = struct.Struct("<I")
_DEFLATED = 1
#: Length in bytes from which a body is compressed.
_SHORTEST_DEFLATED = 512
#: Largest number of bytes that is requested from a stream at once.
CHUNK = 1 << 16


class Limits(NamedTuple):
    """Largest sizes of a frame that a peer accepts, in bytes.

    Attributes
    ----------
    stored : int
        Body as it is sent, compressed or not.
    body : int
        Body after decompression.
    header : int
        Header, in JSON.
    """

    stored: int
    body: int
    header: int


#: Limits of frames until the greeting is complete; of those that a server accepts from a viewer; and of those that a
#: viewer accepts from a server, a hundred times the size of a large snapshot.
STRANGER = Limits(1 << 12, 1 << 12, 1 << 12)
FROM_VIEWER = Limits(1 << 22, 1 << 23, 1 << 22)
FROM_SERVER = Limits(1 << 27, 1 << 28, 1 << 25)

#: Header and arrays by name.
Frame = Tuple[Dict[str, Any], Dict[str, np.ndarray]]


def encode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] = {}, limits: Optional[Limits] = None) -> bytes:
    """Return the bytes of a frame.

    Parameters
    ----------
    header : mapping of str to object
        JSON-able, without the key ``arrays``.
    arrays : mapping of str to np.ndarray
        Arrays of bool, integer or float type, of any shape.
    limits : Limits, optional
        Limits of the peer; by default, sizes are not checked.

    Raises
    ------
    TypeError
        If an array has another dtype.
    TooLargeError
        If the peer does not accept the frame.
    """
    little = {name: wire.little_endian(name, array) for name, array in arrays.items()}
    listed = [[name, array.dtype.str, list(arrays[name].shape)] for name, array in little.items()]
    encoded = wire.to_json({**header, "arrays": listed} if listed else header).encode("utf-8")
    if limits is not None:
        _check_size(len(encoded), limits.header)
        size = _HEADER_LENGTH.size + len(encoded) + sum(array.nbytes for array in little.values())
        _check_size(size, limits.body)
    parts = [array.tobytes() for array in little.values()]
    body = b"".join((_HEADER_LENGTH.pack(len(encoded)), encoded, *parts))
    flags = 0
    if len(body) >= _SHORTEST_DEFLATED:
        deflated = zlib.compress(body, 1)
        if len(deflated) < len(body):
            body, flags = deflated, _DEFLATED
    if limits is not None:
        _check_size(len(body), limits.stored)
    return _PREFIX.pack(len(body), flags) + body


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"it has {size:,} bytes; at most {limit:,} are accepted")


def read_frame(read: Callable[[int], bytes], limits: Limits) -> Tuple[Frame, int]:
    """Return the next frame of a stream, and the number of bytes that were read for it.

    Parameters
    ----------
    read : callable (int) -> bytes
        Returns at least one byte and at most as many as requested; no bytes at the end of the stream.
    limits : Limits
        Largest sizes that are accepted.

    Raises
    ------
    EOFError
        If the stream ends, also within a frame.
    FrameError
        If the frame is invalid or too large; no further frame can be read from the stream then.
    """
    length, flags = _PREFIX.unpack(read_exactly(read, _PREFIX.size))
    if length > limits.stored:
        raise FrameError(f"a frame of {length:,} bytes; at most {limits.stored:,} are accepted")
    if flags & ~_DEFLATED:
        raise FrameError(f"a frame with the unknown flags {flags}")
    body = read_exactly(read, length)
    try:
        if flags & _DEFLATED:
            body = _inflated(body, limits.body)
        return _decoded(body, limits), length + _PREFIX.size
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, struct.error, zlib.error) as error:
        raise FrameError(f"a frame that can't be decoded: {error}") from error


def read_exactly(read: Callable[[int], bytes], length: int) -> bytes:
    """Return the next ``length`` bytes of a stream; raise EOFError if it ends earlier."""
    parts, missing = [], length
    while missing:
        part = read(min(missing, CHUNK))
        if not part:
            raise EOFError("the stream has ended")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _inflated(body: bytes, limit: int) -> bytes:
    inflate = zlib.decompressobj()
    found = inflate.decompress(body, limit + 1)
    if len(found) > limit:
        raise ValueError(f"it has more than {limit:,} bytes after decompression")
    if not inflate.eof:
        raise ValueError("its compressed part is incomplete")
    return found


def _decoded(body: bytes, limits: Limits) -> Frame:
    (header_length,) = _HEADER_LENGTH.unpack_from(body)
    if header_length > limits.header:
        raise ValueError(f"its header has {header_length:,} bytes; at most {limits.header:,} are accepted")
    offset = _HEADER_LENGTH.size + header_length
    if offset > len(body):
        raise ValueError("its header is incomplete")
    header = values.mapping(json.loads(body[_HEADER_LENGTH.size : offset].decode("utf-8")), "header")
    arrays: Dict[str, np.ndarray] = {}
    for row in values.sequence(header.pop("arrays", []), "arrays"):
        name, dtype, shape, size = wire.described_array(row)
        end = offset + size * dtype.itemsize
        if end > len(body):
            raise ValueError(f"array {name!r} of the shape {shape} is incomplete")
        # Copied, so that an array that is kept does not keep the whole frame.
        arrays[name] = read_only(np.frombuffer(body, dtype, size, offset).reshape(shape).copy())
        offset = end
    if offset != len(body):
        raise ValueError(f"{len(body) - offset:,} bytes follow its arrays")
    return header, arrays
