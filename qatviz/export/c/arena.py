"""Memory plan of a C model: offsets of all codes in one block, in which codes replace others after their last use."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

#: Alignment of codes (bytes), for kernels with vector instructions.
ALIGNMENT = 4


class Buffer(NamedTuple):
    """Codes of a tensor: size (bytes), and indices of the first and the last call that needs them."""

    name: str
    nbytes: int
    first: int
    last: int


class Arena(NamedTuple):
    """Size of the block (bytes) and the offset of each buffer in it."""

    nbytes: int
    offsets: Dict[str, int]


def plan_arena(buffers: Sequence[Buffer]) -> Arena:
    """Return an offset for each buffer, a multiple of :data:`ALIGNMENT`, by the better of two heuristics.

    >>> plan_arena([Buffer("a", 8, 0, 1), Buffer("b", 4, 1, 2), Buffer("c", 8, 2, 3)])
    Arena(nbytes=12, offsets={'a': 0, 'b': 8, 'c': 0})
    """
    sized = [buffer._replace(nbytes=-(-buffer.nbytes // ALIGNMENT) * ALIGNMENT) for buffer in buffers]
    plans = [plan for plan in (_from_both_ends(sized), _largest_first(sized)) if plan is not None]
    offsets = min(plans, key=lambda plan: _extent(sized, plan))
    return Arena(_extent(sized, offsets), offsets)


def _largest_first(buffers: Sequence[Buffer]) -> Dict[str, int]:
    """Place large buffers first, each at the lowest offset that is free during its lifetime."""
    offsets: Dict[str, int] = {}
    for buffer in sorted(buffers, key=lambda buffer: (-buffer.nbytes, buffer.first)):
        offsets[buffer.name] = 0
        for low, high in _taken(buffer, buffers, offsets):
            if low < offsets[buffer.name] + buffer.nbytes and offsets[buffer.name] < high:
                offsets[buffer.name] = high
    return offsets


def _from_both_ends(buffers: Sequence[Buffer]) -> Optional[Dict[str, int]]:
    """Place buffers in order of computation within the sum of those in use at once; return None if that fails.

    No plan is smaller than that sum. Each buffer is placed at the end of the block that is farther from the largest
    buffer in use at the same time, which is optimal for a chain of layers.
    """
    calls = {buffer.first for buffer in buffers}
    most = max((sum(b.nbytes for b in buffers if b.first <= call <= b.last) for call in calls), default=0)
    offsets: Dict[str, int] = {}
    for buffer in sorted(buffers, key=lambda buffer: (buffer.first, -buffer.nbytes)):
        taken = _taken(buffer, buffers, offsets)
        largest = max(taken, key=lambda place: place[1] - place[0], default=(most, most))
        ends = [high for _, high in taken] + [0]
        fitting = [
            low
            for low in ends + [low - buffer.nbytes for low, _ in taken] + [most - buffer.nbytes]
            if low >= 0
            and low + buffer.nbytes <= most
            and all(high <= low or low + buffer.nbytes <= begin for begin, high in taken)
        ]
        if not fitting:
            return None
        offsets[buffer.name] = min(fitting) if sum(largest) >= most else max(fitting)
    return offsets


def _taken(buffer: Buffer, buffers: Sequence[Buffer], offsets: Dict[str, int]) -> List[Tuple[int, int]]:
    """Return the occupied intervals during the lifetime of ``buffer``, in order."""
    return sorted(
        (offsets[other.name], offsets[other.name] + other.nbytes)
        for other in buffers
        if other.name in offsets and other is not buffer and buffer.first <= other.last and other.first <= buffer.last
    )


def _extent(buffers: Sequence[Buffer], offsets: Dict[str, int]) -> int:
    """Return the size of the block (bytes)."""
    return max((offsets[buffer.name] + buffer.nbytes for buffer in buffers), default=0)
