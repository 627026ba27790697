"""Use of a run over a slow link: seconds from a click to its histogram, and updates of histograms per second."""

import os
import socket
import statistics
import subprocess
import sys
import threading
import time

from waiting import wait_until

from qatviz.protocol import commands as c
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.remote.client import Client
from qatviz.remote.frames import encode
from qatviz.remote.handshake import Viewer
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.server import Server
from qatviz.remote.serving import running_server
from qatviz.remote.streams import SocketStream, connect_tcp
from qatviz.remote.telemetry import snapshot_frame
from qatviz.session.prepared import Prepared
from qatviz.session.request import NewRunRequest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLICKS, WATCHED_S = 9, 8.0


class ServerProcess:
    """``qatviz serve --listen`` in a process of its own, with a home of its own; ``prefix`` runs it elsewhere."""

    def __init__(self, home, host="127.0.0.1", prefix=()):
        environment = dict(os.environ, PYTHONPATH=ROOT, XDG_DATA_HOME=str(home), TF_CPP_MIN_LOG_LEVEL="2")
        command = [*prefix, sys.executable, "-W", "ignore", "-m", "qatviz", "serve", "--listen", f"{host}:0"]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        folder = home / "qatviz" / "server"
        self.port = wait_until(lambda: running_server(folder)).port
        self.token = (folder / "token").read_text().strip()
        self.home = home

    def close(self):
        self._process.terminate()
        self._process.wait()


def measure_transport(network):
    """Return what the link and the frames alone take, with a staged run, whose steps are not counted.

    They are the median seconds from a click to its histogram, the bytes of a snapshot and the most snapshots per
    second that arrive.
    """
    from remote_stage import StagedWorkplace
    from slow_link import SlowRelay
    from staging import StagedRun

    run, workplace, listener = StagedRun(network), StagedWorkplace(), socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4)
    server, relay = Server(workplace, "box"), SlowRelay(listener.getsockname()[1])
    client = Client(lambda: connect_tcp("127.0.0.1", relay.port, 30.0), "slow", Viewer("v", "ana"))
    accepting = threading.Thread(target=lambda: server.serve(SocketStream(listener.accept()[0])))
    accepting.start()
    try:
        client.open()
        workplace.prepared.append(Prepared(run, run.network, run.book, network, 1.0))
        remote = RemoteWorkplace(client).prepare(NewRunRequest(), lambda notice: None).run
        tensor = next(known.name for known in run.plan.tensors if known.kind == "weights")
        index, clicks = run.plan.index(tensor), []
        for number in range(CLICKS):
            bits, sent, began = 3 + number % 4, len(run.sent), time.perf_counter()
            remote.send(c.ChangeSettings(((f"{tensor}.num_bits", bits),)))
            wait_until(lambda sent=sent: len(run.sent) > sent, pause=lambda: time.sleep(0.0005))
            arrived = time.perf_counter()
            run.advance(1)
            advanced = time.perf_counter()
            wait_until(
                lambda bits=bits: any(
                    isinstance(item, Snapshot) and item.num_bits[index] == bits for item in remote.drain()
                ),
                pause=lambda: remote.wait_for_news(0.001),
            )
            clicks.append(time.perf_counter() - began - (advanced - arrived))
        snapshot, received, ends = run.take_snapshot(), 0, time.perf_counter() + WATCHED_S
        while time.perf_counter() < ends:
            run.put(snapshot)
            received += sum(isinstance(item, Snapshot) for item in remote.drain())
            time.sleep(0.02)
        size = len(encode(*snapshot_frame(snapshot)))
        return {"click_s": statistics.median(clicks), "bytes": size, "updates_per_s": received / WATCHED_S}
    finally:
        client.close()
        relay.close()
        accepting.join()
        listener.close()
        server.close()


def measure(server, host, port, network, data):
    """Return medians: seconds from click to histogram, of a step, updates per second, and the run's own per second."""
    client = Client(lambda: connect_tcp(host, port, 30.0), "slow", Viewer("v", "ana"), server.token)
    client.open()
    try:
        place = RemoteWorkplace(client)
        request = NewRunRequest(network=network, data=data, steps=float("inf"), out=str(server.home / network))
        prepared = place.prepare(request, lambda notice: None)
        run, tensor = prepared.run, next(t for t in prepared.book.plan.tensors if t.kind == "weights")
        index = prepared.book.plan.index(tensor.name)
        run.start()
        wait_until(lambda: run.step >= 5 and any(isinstance(item, Snapshot) for item in run.drain()))
        clicks = []
        for number in range(CLICKS):
            bits = 3 + number % 4
            began = time.perf_counter()
            run.send(c.ChangeSettings(((f"{tensor.name}.num_bits", bits),)))
            wait_until(
                lambda bits=bits: any(
                    isinstance(item, Snapshot) and item.num_bits[index] == bits for item in run.drain()
                ),
                pause=lambda: run.wait_for_news(0.01),
            )
            clicks.append(time.perf_counter() - began)
        began, snapshots, steps = time.perf_counter(), [], []
        while time.perf_counter() < began + WATCHED_S:
            run.wait_for_news(0.02)
            for item in run.drain():
                if isinstance(item, Snapshot):
                    snapshots.append(item)
                elif isinstance(item, StepRecord):
                    steps.append(item)
        seconds = [after.seconds - before.seconds for before, after in zip(steps, steps[1:])]
        taken = len(run.history.series(run.history.names("snapshots")[0]).last_step)
        run.send(c.Stop())
        wait_until(lambda: run.wait(0.05))
        return {
            "click_s": statistics.median(clicks),
            "step_s": statistics.median(seconds) if seconds else float("nan"),
            "updates_per_s": len(snapshots) / WATCHED_S,
            "snapshots_known": taken,
            "dropped": run.dropped,
        }
    finally:
        client.close()
