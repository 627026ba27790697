"""Patterns of names: as fnmatch, but in bounded time for any pattern that a file may have."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from processor_time import least_s

from qatviz.name_lookup import LONGEST_PATTERN, matches_pattern


@given(st.text("ab.[]!-", max_size=12), st.text("ab.?*[]!", max_size=10))
@example("[]", "[]")
@example("a[!]b", "a[!]?")
@example("a[]", "*[]")
def test_patterns_match_as_fnmatch_does(name, pattern):
    assert matches_pattern(name, pattern) == fnmatchcase(name, pattern)


@given(st.lists(st.sampled_from(["a", "b", "*", "?", "[a]", "[!a]", "[*]", "[]]", "[", "a*"])), st.text("ab*]["))
def test_patterns_of_many_tokens_match_as_fnmatch_does(tokens, name):
    pattern = "".join(tokens[:12])
    assert matches_pattern(name, pattern) == fnmatchcase(name, pattern)


@pytest.mark.parametrize("unit", ["*a", "*", "*?", "[", "*[a"])
def test_no_pattern_takes_forever(unit):
    name, pattern = "a" * 1000 + ".weights", (unit * LONGEST_PATTERN)[: LONGEST_PATTERN - 1] + "!"
    assert least_s(lambda: matches_pattern(name, pattern), times=1) < 5.0 and not matches_pattern(name, pattern)


def test_a_range_that_is_none_and_a_pattern_that_is_too_long_match_nothing():
    assert not matches_pattern("b", "[b-a]") and not matches_pattern("xb", "*[b-a]")
    assert matches_pattern("a" * LONGEST_PATTERN, "*") and not matches_pattern("a", "*" * (LONGEST_PATTERN + 1))
