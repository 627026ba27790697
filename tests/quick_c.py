"""Exports to C without optimization, for tests of which neither speed nor size of the program is the subject."""

import pytest

from qatviz.tensorflow_presence import has_tensorflow


@pytest.fixture
def quick_c(monkeypatch):
    """Compile exported C unoptimized, and not for microcontrollers: a compiler takes longer than most programs run."""
    if not has_tensorflow():
        return
    from qatviz.export.c import footprint, runner

    monkeypatch.setattr(runner, "FLAGS", (*runner.FLAGS, "-O0"))
    monkeypatch.setattr(footprint, "_FLAGS", (*footprint._FLAGS, "-O0"))
    monkeypatch.setattr(footprint, "ARM", "no-such-compiler")
