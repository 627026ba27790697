"""Waits bounded by progress: they outlast work of any length, and fail without progress."""

import os
import subprocess
import sys
import threading
import time

import pytest
from waiting import Stalled, communicate, join, run_process, wait_for, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what threads and processes do")


def test_a_wait_returns_immediately_or_when_the_event_comes():
    assert wait_until(lambda: "here") == "here"
    event = threading.Event()
    thread = threading.Timer(0.05, event.set)
    thread.start()
    assert wait_for(event) is True
    join(thread)
    assert not thread.is_alive()


def test_a_wait_without_progress_fails_and_names_what_was_awaited():
    with pytest.raises(Stalled, match=r"waited in vain for Godot: nothing has moved for 0\.2 s"):
        wait_until(lambda: False, "Godot", stall_s=0.2)


def test_an_advancing_counter_prolongs_the_wait_up_to_a_limit():
    counts = iter(range(10**6))
    with pytest.raises(Stalled, match="it advanced from 0 to 41"):
        wait_until(lambda: False, "", (lambda: next(counts), 40), stall_s=0.1, pause=lambda: time.sleep(0.02))


@linux
def test_work_on_another_thread_prolongs_the_wait_up_to_a_limit():
    end = threading.Event()

    def work():
        while not end.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with pytest.raises(Stalled, match=r"1 s of processor time"):
            wait_until(lambda: False, stall_s=0.1, most_work_s=1.0)
    finally:
        end.set()
        thread.join()


@linux
def test_work_of_a_child_process_prolongs_the_wait_and_sleep_does_not():
    for program, message in (("while True: pass", "processor time"), ("import time; time.sleep(600)", "moved")):
        child = subprocess.Popen([sys.executable, "-S", "-c", program])
        try:
            with pytest.raises(Stalled, match=message):
                wait_until(lambda: False, stall_s=1.0, most_work_s=1.5)
        finally:
            child.kill()
            child.wait()


def test_a_process_that_hangs_is_killed_and_its_output_reported():
    program = "import time; print('so far', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, text=True)
    with pytest.raises(Stalled, match="so far"):
        communicate(process, stall_s=1.0)
    assert process.returncode is not None


@linux
def test_a_process_that_hangs_prints_where_it_is():
    program = "import time\ndef hang():\n    time.sleep(600)\nhang()"
    environ = dict(os.environ, PYTHONFAULTHANDLER="1")
    process = subprocess.Popen([sys.executable, "-S", "-c", program], stderr=subprocess.PIPE, env=environ, text=True)
    with pytest.raises(Stalled, match="in hang"):
        communicate(process, stall_s=1.0)


def test_a_process_that_ends_gives_the_result_of_subprocess():
    done = run_process([sys.executable, "-S", "-c", "import sys; print(1); sys.exit('two')"], text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "1\n", "two\n")
    with pytest.raises(AssertionError, match="two"):
        run_process([sys.executable, "-S", "-c", "import sys; sys.exit('two')"], check=True, text=True)
