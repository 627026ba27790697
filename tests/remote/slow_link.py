"""A link with a round trip of 50 ms and 10 Mbit/s: by the kernel's netem, or by a relay that delays bytes."""

import collections
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

DELAY_S, BITS_PER_S = 0.025, 10e6
_PIECE = 1448
#: Addresses of the two ends of the virtual cable.
HERE, THERE = "10.213.77.1", "10.213.77.2"


def run(*command):
    """Run a command of the system; return whether it succeeded, and what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace").strip()


class Namespace:
    """Network namespace at the end of a cable with netem on both sides; skips the test where that is impossible."""

    def __init__(self):
        if os.geteuid() != 0:
            pytest.skip("a network namespace needs root")
        if shutil.which("tc") is None or shutil.which("ip") is None:
            pytest.skip("there are no tc and ip (Debian's package iproute2) on this machine")
        self.name, self._cable = f"qatviz-{os.getpid()}", f"qvh{os.getpid() % 100000}"
        inside = ("ip", "netns", "exec", self.name)
        slow = ("netem", "delay", f"{1000 * DELAY_S:g}ms", "rate", f"{BITS_PER_S / 1e6:g}mbit")
        try:
            for command in (
                ("ip", "netns", "add", self.name),
                ("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "there", "netns", self.name),
                ("ip", "addr", "add", f"{HERE}/30", "dev", self._cable),
                ("ip", "link", "set", self._cable, "up"),
                (*inside, "ip", "addr", "add", f"{THERE}/30", "dev", "there"),
                (*inside, "ip", "link", "set", "there", "up"),
                (*inside, "ip", "link", "set", "lo", "up"),
                ("tc", "qdisc", "add", "dev", self._cable, "root", *slow),
                (*inside, "tc", "qdisc", "add", "dev", "there", "root", *slow),
            ):
                succeeded, printed = run(*command)
                if not succeeded:
                    pytest.skip(f"tc netem in a network namespace is impossible here: {' '.join(command)}: {printed}")
        except BaseException:
            self.close()
            raise
        self.prefix = list(inside)

    def close(self):
        run("ip", "netns", "del", self.name)
        run("ip", "link", "del", self._cable)


class SlowRelay:
    """Relay on loopback that passes bytes on with a delay and at a limited rate, in both directions.

    Unlike netem, it delays bytes and not packets: there are no losses and no retransmissions.
    """

    def __init__(self, port):
        self._target, self._listener = port, socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(4)
        self.port = self._listener.getsockname()[1]
        self._sockets, self._threads = [], []
        self._spawn(self._accept)

    def close(self):
        for known in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):  # it was not connected
                known.shutdown(socket.SHUT_RDWR)
            known.close()
        for thread in self._threads:
            thread.join()

    def _spawn(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, name="slow-relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._target))
            for one in (here, there):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [here, there]
            for source, sink in ((here, there), (there, here)):
                waiting, arrived = collections.deque(), threading.Condition()
                self._spawn(self._receive, source, waiting, arrived)
                self._spawn(self._deliver, sink, waiting, arrived)

    def _receive(self, source, waiting, arrived):
        free_at = 0.0  # when the last bit so far has left
        while True:
            try:
                part = source.recv(_PIECE)
            except OSError:
                part = b""
            free_at = max(free_at, time.monotonic()) + 8 * len(part) / BITS_PER_S
            with arrived:
                waiting.append((free_at + DELAY_S, part))
                arrived.notify()
            if not part:
                return
            time.sleep(max(0.0, free_at - time.monotonic() - 0.005))  # a short queue, as a modem has

    def _deliver(self, sink, waiting, arrived):
        while True:
            with arrived:
                arrived.wait_for(lambda: waiting)
                at, part = waiting.popleft()
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                if not part:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(part)
            except OSError:
                return
