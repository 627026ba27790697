"""Cases of parametrized tests that show again what others show, and are therefore left to the slow tests."""

import fnmatch

import pytest


def mark_repeated_cases(items, are_named):
    """Mark the cases of a parametrized test as slow whose ids no pattern of its marker ``always`` matches.

    A pattern that matches no case is an error, unless the tests ``are_named``: others of them may be left out.
    """
    named, found = set(), set()
    for item in items:
        marker = item.get_closest_marker("always")
        if marker is not None:
            matched = {pattern for pattern in marker.args if fnmatch.fnmatchcase(item.callspec.id, pattern)}
            if not matched:
                item.add_marker(pytest.mark.slow)
            function = item.nodeid.split("[")[0]
            named.update((function, pattern) for pattern in marker.args)
            found.update((function, pattern) for pattern in matched)
    if named - found and not are_named:
        function, pattern = min(named - found)
        raise pytest.UsageError(f"{function} has no case {pattern!r}, which its marker `always` names")
