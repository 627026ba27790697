"""Where the layers of a C model keep their codes: one block of memory, planned once, in which dead codes make room."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

#: Bytes; so that kernels with vector instructions can take over.
ALIGNMENT = 4


class Buffer(NamedTuple):
    """Codes of a tensor, and the steps from which and up to which they are needed, both included."""

    name: str
    nbytes: int
    first: int
    last: int


class Arena(NamedTuple):
    """Bytes of the block, and where in it each buffer begins."""

    nbytes: int
    offsets: Dict[str, int]


def plan_arena(buffers: Sequence[Buffer]) -> Arena:
    """Large buffers first, each as low as those allow that are needed at the same time.

    >>> plan_arena([Buffer("a", 8, 0, 1), Buffer("b", 4, 1, 2), Buffer("c", 8, 2, 3)])
    Arena(nbytes=12, offsets={'a': 0, 'c': 0, 'b': 8})
    """
    placed = []  # type: List[Tuple[int, Buffer]]
    for buffer in sorted(buffers, key=lambda buffer: (-buffer.nbytes, buffer.first)):
        offset = 0
        for other_offset, other in sorted(placed, key=lambda entry: entry[0]):
            together = buffer.first <= other.last and other.first <= buffer.last
            if together and offset < other_offset + _aligned(other.nbytes) and other_offset < offset + buffer.nbytes:
                offset = other_offset + _aligned(other.nbytes)
        placed.append((offset, buffer))
    return Arena(max((offset + _aligned(buffer.nbytes) for offset, buffer in placed), default=0),
                 {buffer.name: offset for offset, buffer in placed})


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
