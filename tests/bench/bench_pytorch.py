"""Time of a training step, relative to PyTorch's quantization-aware training (FX graph mode) of the same network.

PyTorch runs in a newer Python (QATVIZ_PYTORCH_PYTHON, or the first one on PATH that has torch), with the same batch
size and number of threads; steps of both alternate. With batch norm, qatviz normalizes as PyTorch does, with a single
convolution.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, Sequence

import numpy as np
from interleave import STEPS, WARM_UP
from live_graph import BATCH_SIZE, CONTRIB_PRESET, NETWORKS, dataset, live_graph, network, schedule

from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "export"))
import newer_python  # noqa: E402

VARIABLE = "QATVIZ_PYTORCH_PYTHON"
STEP_RATIO = "step_ratio_pytorch"
NAMES = tuple(f"{STEP_RATIO}/{name}" for name in NETWORKS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``; without PyTorch, each has the reason in place of a value."""
    newer = newer_python.find(VARIABLE, "torch")
    for name in names:
        if newer is None:
            yield {"name": name, "skipped": f"no newer Python has torch; {VARIABLE} can name one"}
        else:
            yield dict({"name": name, "unit": "ratio"}, **_ratio(newer, name.split("/")[1]))


def _ratio(newer: newer_python.Newer, network_name: str) -> Dict:
    data = dataset()
    net = network(network_name, data)
    book = SettingsBook.from_preset(quantization_plan(net), CONTRIB_PRESET)
    book, _ = book.change((("run.single_convolution", True),))
    graph, batches = live_graph(net, data, telemetry=True), schedule(data)
    graph.write_settings(book.quantizers, book.run, 0)
    ours, theirs = [], []
    try:
        with _pytorch(newer, net) as step_of_pytorch:
            for step in range(WARM_UP + STEPS):
                own = _timed(lambda step=step: graph.step(batches.indices(step), step))
                ours.append(own)
                theirs.append(step_of_pytorch())
    finally:
        graph.close()
    ratios = np.array(ours[WARM_UP:]) / np.array(theirs[WARM_UP:])
    return {
        "value": float(np.median(ratios)),
        "step_ms": float(np.median(ours[WARM_UP:])) * 1e3,
        "pytorch_step_ms": float(np.median(theirs[WARM_UP:])) * 1e3,
        "pytorch": newer.version,
    }


def _timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@contextmanager
def _pytorch(newer: newer_python.Newer, net: Network) -> Iterator[Callable[[], float]]:
    """Context with a function that runs a step of PyTorch and returns its time in seconds."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with tempfile.TemporaryDirectory(prefix="qatviz-pytorch-") as folder:
        path = Path(folder) / "network.json"
        path.write_text(json.dumps(net.to_dict()))
        child = subprocess.Popen(
            [newer.python, str(HERE / "pytorch_child.py"), str(path), str(BATCH_SIZE), str(os.cpu_count())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
            env=environment,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            if child.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{newer.python}: PyTorch could not prepare the network {net.name!r}")

            def step() -> float:
                child.stdin.write("\n")
                child.stdin.flush()
                return float(child.stdout.readline())

            yield step
        finally:
            child.stdin.close()
            child.wait()
