"""Construction of graphs on threads of their own."""

import threading
import time

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


def test_threads_that_ask_at_the_same_time_get_one_construction(monkeypatch):
    """A second one in the same graph would break both."""
    built, found, at_once = [], [], threading.Barrier(4)
    build = BackgroundBuild(lambda: built.append(1) or object(), "one")
    begin = threading.Thread.start

    def begin_slowly(thread):
        if thread.name == "one":
            time.sleep(0.05)
        begin(thread)

    def ask():
        at_once.wait()
        build.begin()
        found.append(build.get())

    monkeypatch.setattr(threading.Thread, "start", begin_slowly)
    threads = [threading.Thread(target=ask) for _ in range(at_once.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1] and len(found) == 4 and len(set(map(id, found))) == 1
