"""Runs of the command line within the test's process take their graphs from a pool, and compile C unoptimized."""

import pytest
from quick_c import quick_c  # noqa: F401
from shared_graphs import closed_pool, shared_graphs  # noqa: F401


@pytest.fixture(autouse=True)
def always_quick_c(quick_c):
    """Tests of tests/export compile as users do."""
