"""Places of buffers in an arena, as TFLite Micro's greedy memory planner finds them.

Source: ``tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc``. The largest buffer comes first (of equal
ones, that which was added last), each at the lowest place that no buffer in use at the same time overlaps.
"""

# Apart from the arena, which decides what is placed: this is TFLite Micro's algorithm alone, compared with its tests.

from typing import List, NamedTuple, Sequence, Tuple

#: Alignment of buffers (bytes), TFLite Micro's ``MicroArenaBufferAlignment``.
ALIGNMENT = 16


class Request(NamedTuple):
    """Size of a buffer (bytes), and the first and the last moment at which it is in use."""

    nbytes: int
    first: int
    last: int

    def is_used_with(self, other: "Request") -> bool:
        """Return whether both are in use at some moment."""
        return self.first <= other.last and other.first <= self.last


def aligned(nbytes: int) -> int:
    """Return a size rounded up to the alignment.

    >>> aligned(0), aligned(1), aligned(16), aligned(17)
    (0, 16, 16, 32)
    """
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def placed(requests: Sequence[Request]) -> Tuple[int, ...]:
    """Return the offsets of buffers (bytes); their sizes are rounded up to the alignment.

    >>> placed([Request(16, 0, 1), Request(32, 1, 2), Request(16, 2, 2)])
    (32, 0, 32)
    """
    sizes = [aligned(request.nbytes) for request in requests]
    order = sorted(range(len(requests) - 1, -1, -1), key=lambda index: -sizes[index])
    offsets = [0] * len(requests)
    present: List[int] = []
    for index in order:
        beside = [other for other in present if requests[index].is_used_with(requests[other])]
        offset = 0
        for other in sorted(beside, key=lambda other: offsets[other]):
            if offsets[other] - offset >= sizes[index]:
                break
            offset = max(offset, offsets[other] + sizes[other])
        offsets[index] = offset
        present.append(index)
    return tuple(offsets)
