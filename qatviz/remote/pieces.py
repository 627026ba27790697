"""Large results in pieces, between which newer reports are sent.

All values of a tensor can be a hundred times as large as a snapshot. Sent at once, they would delay the histograms of a
change by their own transfer.
"""

from collections import OrderedDict
from typing import Any, List, Mapping, Optional, Tuple

import numpy as np

from qatviz.protocol import values
from qatviz.remote.errors import FrameError
from qatviz.remote.frames import FROM_SERVER, PREFIX_BYTES, Frame, encode, read_frame
from qatviz.remote.telemetry import PIECE

#: Size of the arrays of a result from which it is sent in pieces, and that of a piece, in bytes.
LARGE_BYTES, PIECE_BYTES = 1 << 16, 1 << 15
#: Largest number of large results that wait; the oldest one beyond it is dropped.
_MOST_WAITING = 4
#: Largest size of a result in bytes, with the prefix of its frame.
_LARGEST = FROM_SERVER.stored + PREFIX_BYTES


class LargeResults:
    """Large results that wait for a viewer; a newer one replaces one of the same key that is not being sent yet.

    Attributes
    ----------
    dropped : int
        Number of those that were replaced or dropped.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Tuple[str, str], bytes] = OrderedDict()
        self._sending, self._sent = b"", 0
        self.dropped = 0

    def put(self, key: Tuple[str, str], header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Add a result: its kind and name, and the header and the arrays of its frame.

        Raises
        ------
        TooLargeError
            If a viewer does not accept a frame of its size.
        """
        frame = encode(header, arrays, FROM_SERVER)
        self.dropped += self._waiting.pop(key, None) is not None
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._waiting[key] = frame

    def next_piece(self) -> Optional[Frame]:
        """Return header and array of the next piece; None if nothing waits."""
        if self._sent == len(self._sending):
            if not self._waiting:
                self._sending, self._sent = b"", 0
                return None
            (_, self._sending), self._sent = self._waiting.popitem(last=False), 0
        first, self._sent = self._sent, min(self._sent + PIECE_BYTES, len(self._sending))
        data = np.frombuffer(self._sending, np.int8, self._sent - first, first)
        return {"t": PIECE, "first": first == 0, "last": self._sent == len(self._sending)}, {"data": data}


class ResultAssembly:
    """Pieces of a large result that a viewer has received."""

    def __init__(self) -> None:
        self._parts: List[bytes] = []
        self._size = 0

    def add(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Optional[Frame]:
        """Add a piece; return the header and the arrays of the result when it is complete.

        Raises
        ------
        FrameError
            If the piece does not continue the ones before it, or the result is invalid or too large.
        ValueError, KeyError
            If the piece is invalid.
        """
        data = values.array(arrays["data"], "data", "i").tobytes()
        if values.boolean(header["first"], "first"):
            self._parts, self._size = [], 0
        elif not self._parts:
            raise FrameError("the first piece of a result is missing")
        self._parts.append(data)
        self._size += len(data)
        if self._size > _LARGEST:
            raise FrameError(f"a result of {self._size:,} bytes; at most {_LARGEST:,} are accepted")
        if not values.boolean(header["last"], "last"):
            return None
        whole, self._parts, self._size = memoryview(b"".join(self._parts)), [], 0
        return _decoded(whole)


def _decoded(whole: memoryview) -> Frame:
    offset = 0

    def read(length: int) -> bytes:
        nonlocal offset
        part = bytes(whole[offset : offset + length])
        offset += len(part)
        return part

    try:
        frame, size = read_frame(read, FROM_SERVER)
    except EOFError as error:
        raise FrameError("a result whose last piece is incomplete") from error
    if size != len(whole):
        raise FrameError(f"{len(whole) - size:,} bytes follow a result")
    return frame
