"""Construction of graphs on threads of their own."""

import threading

import pytest

from qatviz.training.background_graph import BackgroundBuild


def test_a_construction_without_memory_for_its_thread_has_not_begun(monkeypatch):
    build = BackgroundBuild(lambda: 3, "three")

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="start new thread"):
            build.begin()
    assert not build.has_begun and not build.wait()
    build.begin()
    assert build.get() == 3 and build.wait()
