"""Use of a run over a slow link: seconds from a click to its histogram, and updates of histograms per second."""

import os
import statistics
import subprocess
import sys
import time

from waiting import wait_until

from qatviz.protocol import commands as c
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.remote.client import Client
from qatviz.remote.handshake import Viewer
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.serving import running_server
from qatviz.remote.streams import connect_tcp
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
