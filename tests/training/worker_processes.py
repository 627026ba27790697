"""Worker processes for tests, which end with them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

from qatviz.protocol.run_spec import Placement


class Worker:
    """A ``qatviz worker`` on loopback; start it, kill it, suspend it."""

    def __init__(self, core=None):
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._core = core
        self.start()

    def start(self):
        """Start the process; return when it is ready."""
        pinned = [] if self._core is None else ["taskset", "-c", str(self._core)]
        command = [*pinned, sys.executable, "-m", "qatviz", "worker", "--port", str(self.port), "--threads", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert "ready" in self.process.stdout.readline()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def suspend(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def workers(number, pinned=False):
    """Yield worker processes; by ``pinned``, each on a core of its own."""
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(number):
            started.append(Worker(index if pinned else None))
            stack.callback(started[-1].kill)
        yield started


def placement_on(started, **more):
    return Placement(workers=tuple(worker.address for worker in started), **more)
