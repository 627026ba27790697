"""The marker `always`: the other cases of a test are slow, and a pattern without a case is an error."""

from types import SimpleNamespace

import pytest
from repeated_cases import mark_repeated_cases


def cases(*ids, always=()):
    """Return items of one test with these ids; their attribute ``added`` lists what they were marked as."""
    marker = pytest.mark.always(*always).mark if always else None
    found = []
    for id in ids:
        added = []
        found.append(
            SimpleNamespace(
                nodeid=f"tests/test_a.py::test_b[{id}]",
                callspec=SimpleNamespace(id=id),
                get_closest_marker=lambda name: marker,
                add_marker=lambda mark, added=added: added.append(mark.name),
                added=added,
            )
        )
    return found


def test_other_cases_than_those_named_are_slow():
    items = cases("c-1", "c-2", "tflite", "onnx", always=("c-*", "onnx"))
    mark_repeated_cases(items, are_named=False)
    assert [item.added for item in items] == [[], [], ["slow"], []]


def test_without_the_marker_all_cases_run():
    items = cases("c", "onnx")
    mark_repeated_cases(items, are_named=False)
    assert [item.added for item in items] == [[], []]


def test_a_pattern_without_a_case_is_an_error_unless_tests_are_chosen_by_name():
    with pytest.raises(pytest.UsageError, match="test_a.py::test_b has no case 'npz', which its marker"):
        mark_repeated_cases(cases("c", always=("c", "npz")), are_named=False)
    mark_repeated_cases(cases("c", always=("c", "npz")), are_named=True)
