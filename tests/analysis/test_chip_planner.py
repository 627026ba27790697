"""The greedy planner: what TFLite Micro's own tests expect of it, and properties of any plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.analysis.chip.planner import ALIGNMENT, Request, aligned, placed

#: Buffers (size in units of the alignment, first and last use) and offsets of greedy_memory_planner_test.cc.
GOLDEN = {
    "apart": ([(10, 0, 1), (20, 2, 3)], [0, 0]),
    "in gaps": ([(10, 0, 1), (20, 1, 2), (30, 2, 3), (40, 3, 4), (50, 0, 1)], [50, 70, 40, 0, 0]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_buffers_are_where_tflite_micro_puts_them(name):
    buffers, offsets = GOLDEN[name]
    found = placed([Request(size * ALIGNMENT, first, last) for size, first, last in buffers])
    assert found == tuple(offset * ALIGNMENT for offset in offsets)


def test_of_equal_buffers_the_last_is_placed_first():
    assert placed([Request(16, 0, 0), Request(16, 0, 0), Request(16, 0, 0)]) == (32, 16, 0)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=14))
def test_buffers_in_use_together_do_not_overlap(buffers):
    requests = [Request(size, first, first + length) for size, first, length in buffers]
    offsets = placed(requests)
    ends = [offset + aligned(request.nbytes) for offset, request in zip(offsets, requests)]
    for i, a in enumerate(requests):
        assert offsets[i] >= 0 and offsets[i] % ALIGNMENT == 0
        for j, b in enumerate(requests[:i]):
            assert not a.is_used_with(b) or ends[i] <= offsets[j] or ends[j] <= offsets[i]
    at_once = max(sum(aligned(r.nbytes) for r in requests if r.first <= t <= r.last) for t in range(13))
    assert at_once <= max(ends) <= sum(aligned(request.nbytes) for request in requests)
