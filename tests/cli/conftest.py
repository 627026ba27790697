"""Runs of the command line within the test's process take their graphs from a pool, and compile C unoptimized."""

import pytest
from shared_graphs import closed_pool, shared_graphs  # noqa: F401


@pytest.fixture(autouse=True)
def unoptimized_c(monkeypatch):
    """Compiling a model takes longer than running it on a few examples; tests/export compiles as users do."""
    from qatviz.export.c import runner

    monkeypatch.setattr(runner, "FLAGS", (*runner.FLAGS, "-O0"))
