"""Examples per second on two workers relative to one, and bytes that a step sends between them.

Each worker is pinned to a core and has one thread; steps of both alternate. ``cpu_ratio`` is the ratio of the workers'
processor time, which other load does not change: that of the only worker to that of the busier one of two.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence

import numpy as np
from interleave import interleaved_times, milliseconds, ratio

from qatviz.data import from_arrays
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.run_spec import Placement, RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.building import graph_arguments
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from worker_processes import workers  # of the tests, which start them, too

SPEEDUP, BYTES = "workers_speedup", "workers_bytes"
NETWORKS = ("lenet", "dscnn", "resnet8")
NAMES = tuple(f"{kind}/{name}" for kind in (SPEEDUP, BYTES) for name in NETWORKS)
BATCH, EXAMPLES, STEPS, WARM_UP = 128, 512, 40, 5
_TRAFFIC = re.compile(r"bytes_(?:sent|received):(\d+)")


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in NETWORKS:
        wanted = [figure for figure in names if figure.endswith("/" + name)]
        if wanted:
            found = _measured(name)
            yield from ({"name": figure, **found[figure.split("/")[0]]} for figure in wanted)


def _measured(name: str) -> Dict[str, Dict[str, Any]]:
    with workers(2, pinned=True) as started:
        addresses = tuple(worker.address for worker in started)
        lives = {"one": _live(name, addresses[:1]), "two": _live(name, addresses)}
        try:
            steppers = {key: lambda _, live=live: live.train_step() for key, live in lives.items()}
            times = interleaved_times(steppers, STEPS, WARM_UP)
            seconds, sent = {}, {}
            for key, live in lives.items():
                before = [_processor_s(worker.process.pid) for worker in started]
                bytes_before = _bytes([worker.port for worker in started])
                for _ in range(STEPS):
                    live.train_step()
                used = np.subtract([_processor_s(worker.process.pid) for worker in started], before)
                sent[key] = (_bytes([worker.port for worker in started]) - bytes_before) / STEPS
                seconds[key] = used.max() / STEPS
            shapes = lives["two"].graph.network.all_parameter_shapes().values()
            parameters = sum(int(np.prod(shape)) for shape in shapes)
        finally:
            for live in lives.values():
                live.graph.close()
    return {
        SPEEDUP: {
            "value": ratio(times, "one", "two"),
            "unit": "ratio",
            "examples_per_second": BATCH / milliseconds(times, "two") * 1e3,
            "step_ms": milliseconds(times, "two"),
            "step_ms_of_one": milliseconds(times, "one"),
            "cpu_ratio": seconds["one"] / seconds["two"],
        },
        BYTES: {
            "value": sent["two"] - sent["one"],
            "unit": "bytes per step and worker",
            "parameters": parameters,
            "bytes_per_parameter": (sent["two"] - sent["one"]) / parameters,
        },
    }


def _live(name: str, addresses: Sequence[str]) -> LiveRun:
    shape = (28, 28, 1) if name == "lenet" else (32, 32, 3)
    network, random = zoo.build(name, shape, 10), np.random.RandomState(0)
    x, y = random.randint(0, 256, (EXAMPLES, *shape)).astype(np.uint8), np.arange(EXAMPLES) % 10
    data = from_arrays("noise", "made for the benchmark", (x, y), (x[:32], y[:32]))
    book = SettingsBook.from_preset(quantization_plan(network), DEFAULT_PRESET)
    placement = Placement(workers=tuple(addresses))
    spec = RunSpec(network, data, "noise", book, batch_size=BATCH, placement=placement, telemetry=False)
    return LiveRun(TrainingGraph(*graph_arguments(spec)), spec, BranchCursor(), lambda event: None)


def _processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _bytes(ports: Sequence[int]) -> int:
    """Return the bytes that all connections to these ports have transferred, both ways."""
    wanted = " or ".join(f"sport = :{port}" for port in ports)
    listed = subprocess.run(["ss", "-tinH", f"( {wanted} )"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return sum(int(number) for number in _TRAFFIC.findall(listed))
