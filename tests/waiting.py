"""Waits whose verdict does not depend on how fast the machine is.

A wait goes on for as long as what is waited for makes progress: as long as other threads and child processes use the
processor or are about to, or a counter of the test's own moves. It fails once nothing has moved for a generous time, or
once far more was done than can be needed. pytest.ini's time-out per test is only the last resort.
"""

import os
import signal
import subprocess
import threading
import time

#: Seconds, and number of looks, without any progress after which what is waited for has hung.
STALL_S, STALL_LOOKS = 60.0, 300
#: Seconds of processor time after which what is waited for is not coming.
MOST_WORK_S = 600.0
#: Seconds to give to what takes a time-out and must not run into it: longer than a test may take.
ENDLESS_S = 3600.0
#: Seconds in which an aborted process may print where it was.
ABORT_S = 2.0
#: Processor time that counts as progress, in seconds and as a fraction of the time that has passed: an idle run or
#: window wakes up now and then, and uses less.
_LEAST_WORK_S, _LEAST_SHARE = 0.05, 0.01
_WORK_LOOK_S = 1.0
#: Processor time that this module itself used, by thread: who waits does not work.
_waiting_s = {}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
#: States of Linux' threads: running or waiting for a processor, waiting for a disk.
_BUSY = ("R", "D")


class Stalled(AssertionError):
    """The awaited condition makes no more progress."""


class Patience:
    """Decides whether to wait any longer; :meth:`look` at it again and again while waiting.

    Parameters
    ----------
    what : str or callable
        What is waited for, as the error says it.
    counters : (callable, number)
        Counters of progress, each with the most that it may advance while waiting: training steps, say.
    stall_s : float
    most_work_s : float
        Most processor time that other threads and child processes may use while waiting.
    """

    def __init__(self, what="", *counters, stall_s=STALL_S, most_work_s=MOST_WORK_S):
        self._what, self._stall_s = what, stall_s
        self._counters = [(counter, most, counter()) for counter, most in counters]
        self._counts = [count for _, _, count in self._counters]
        self._most_work_s = most_work_s
        self._began_work_s = self._work_s = None  # reading it takes milliseconds, which a short wait need not spend
        self._looked_at_work = time.monotonic()
        self._move()

    def look(self):
        """Return if there is reason to wait longer; else raise :class:`Stalled`."""
        began = time.thread_time()
        try:
            self._look()
        finally:
            thread = threading.get_ident()
            _waiting_s[thread] = _waiting_s.get(thread, 0.0) + time.thread_time() - began

    def _look(self):
        self._looks += 1
        counts = [counter() for counter, _, _ in self._counters]
        if counts != self._counts:
            self._counts = counts
            self._move()
        for count, (_, most, first) in zip(counts, self._counters):
            if count - first > most:
                self._fail(f"it advanced from {first} to {count}")
        now = time.monotonic()
        if now - self._looked_at_work >= min(_WORK_LOOK_S, self._stall_s / 4):
            self._looked_at_work = now
            self._look_at_work()
        if now - self._moved > self._stall_s and self._looks > STALL_LOOKS * self._stall_s / STALL_S:
            self._fail(f"nothing has moved for {self._stall_s:g} s")

    def _look_at_work(self):
        work_s = work_elsewhere_s()
        if self._work_s is None:
            self._began_work_s = self._work_s = work_s
        least_s = max(_LEAST_WORK_S, _LEAST_SHARE * (time.monotonic() - self._moved))
        if work_s - self._work_s > least_s or is_work_waiting():
            self._work_s = work_s
            self._move()
        if work_s - self._began_work_s > self._most_work_s:
            self._fail(f"{self._most_work_s:g} s of processor time were used")

    def _move(self):
        self._moved, self._looks = time.monotonic(), 0

    def _fail(self, why):
        what = self._what() if callable(self._what) else self._what
        raise Stalled(f"waited in vain{what and ' for ' + what}: {why}")


def wait_until(condition, what="", *counters, pause=lambda: time.sleep(0.005), **options):
    """Wait until ``condition()`` is true, and return its value; see :class:`Patience`."""
    patience = Patience(what, *counters, **options)
    while True:
        found = condition()
        if found:
            return found
        patience.look()
        pause()


def wait_for(event, what=""):
    """Wait until a :class:`threading.Event` is set, or anything else with a ``wait(seconds)`` that returns whether it
    is; return True."""
    return wait_until(lambda: event.wait(0.05), what, pause=lambda: None)


def join(*threads):
    """Wait until threads have ended."""
    for thread in threads:
        wait_until(lambda: thread.join(0.05) or not thread.is_alive(), thread.name, pause=lambda: None)


def communicate(process, given=None, **options):
    """As :meth:`subprocess.Popen.communicate`, but a process that has hung is aborted, and an error.

    The options are those of :class:`Patience`.
    """
    patience = Patience(lambda: f"the end of {process.args}", **options)
    try:
        while True:
            try:
                return process.communicate(given, timeout=0.2)
            except subprocess.TimeoutExpired:
                given = None
                patience.look()
    except BaseException as error:
        if isinstance(error, Stalled):
            process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER=1, it prints where each thread is
            time.sleep(ABORT_S)
        process.kill()
        out, err = process.communicate()
        if isinstance(error, Stalled):
            raise Stalled(f"{error}\n{out}\n{err}") from None
        raise


def run_process(command, check=False, **options):
    """As :func:`subprocess.run` with its output captured; a process that has hung is killed, and an error."""
    options = dict({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}, **options)
    process = subprocess.Popen(command, **options)
    out, err = communicate(process)
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def work_elsewhere_s():
    """Return the processor time used so far by this process' other threads and, on Linux, by its child processes."""
    waiting = sum(spent for thread, spent in list(_waiting_s.items()) if thread != threading.get_ident())
    ours = time.process_time() - time.thread_time() - waiting
    times = os.times()
    return ours + times.children_user + times.children_system + sum(used for used, _ in _descendants())


def is_work_waiting():
    """Return whether another thread of this process, or a child process, runs or waits for a processor or a disk.

    Known only on Linux; elsewhere no.
    """
    own = _own_thread()
    try:
        threads = [thread for thread in os.listdir("/proc/self/task") if thread != own]
    except OSError:
        return False
    states = [found[0] for found in (_stat(f"/proc/self/task/{thread}/stat") for thread in threads) if found]
    return any(state in _BUSY for state in states) or any(state in _BUSY for _, state in _descendants())


def _own_thread():
    try:
        return os.path.basename(os.readlink("/proc/thread-self"))
    except OSError:
        return ""


def _descendants():
    """Return (processor time with that of ended children, state) of each living descendant of this process."""
    try:
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    found = {}
    for number in numbers:
        fields = _stat(f"/proc/{number}/stat")
        if fields:
            found[int(number)] = int(fields[1]), sum(map(int, fields[11:15])) / _TICKS_PER_S, fields[0]
    family, known = [], {os.getpid()}
    while True:
        children = [number for number, (parent, _, _) in found.items() if parent in known and number not in known]
        if not children:
            return family
        known.update(children)
        family += [found[number][1:] for number in children]


def _stat(path):
    """Return the fields of a process' or thread's stat after its name; None where it has ended."""
    try:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None
