"""Cost of the window to the run, frame times and start-up time, all with software rendering."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, Sequence

import numpy as np

THROUGHPUT, FRAME, STALL = "window_throughput_ratio", "frame_ms_p95", "event_loop_stall_ms_max"
#: Figures on clicks, and their names in the child process.
CLICKS = {"click_to_applied_less_a_step_ms/lenet": "latency", "click_to_histogram_ms/lenet": "visible"}
DRAG, AGE = "drag_to_levels_ms/lenet", "oldest_tile_s"
FIRST_PAINT, FIRST_STEP = "startup_first_paint_s", "startup_window_first_step_s"
#: Panels that are behind others by default, and are measured in front of them.
PANELS = ("moments", "sensitivity", "budget")
#: Network, width, height, and what is shown: the first tensor, all of them, or also a panel. mobilenet has 57 tensors.
CASES = {
    "lenet": ("lenet", "1280", "800", "first"),
    "50_tensors": ("mobilenet", "1920", "1080", "everything"),
    **{f"lenet_{panel}": ("lenet", "1280", "800", panel) for panel in PANELS},
}
#: Cases of which the age of tiles is measured: panels do not matter to it.
AGED = ("lenet", "50_tensors")
NAMES = (
    tuple(f"{THROUGHPUT}/{n}" for n in ("lenet", "mlp"))
    + tuple(f"{kind}/{case}" for case in CASES for kind in (FRAME, STALL))
    + tuple(CLICKS)
    + (DRAG, *(f"{AGE}/{case}" for case in AGED))
    + (FIRST_PAINT, FIRST_STEP)
)
REPEATS = 5
_HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 600


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        if name.startswith(THROUGHPUT):
            yield dict(
                {"name": name, "unit": "ratio"}, **_child("throughput", name.split("/")[1], "1280", "800", "first")
            )
    for case, arguments in CASES.items():
        wanted = [name for name in names if name in (f"{FRAME}/{case}", f"{STALL}/{case}")]
        if wanted:
            found = _child("frames", *arguments)
            stall = found.pop("stall_ms")
            for name in wanted:
                yield dict({"name": name, "unit": "ms"}, **(found if name.startswith(FRAME) else {"value": stall}))
    for name, kind in CLICKS.items():
        if name in names:
            yield dict({"name": name, "unit": "ms"}, **_child(kind, "lenet", "1280", "800", "first"))
    if DRAG in names:
        yield dict({"name": DRAG, "unit": "ms"}, **_child("drag", "lenet", "1280", "800", "first"))
    for case in AGED:
        if f"{AGE}/{case}" in names:
            yield dict({"name": f"{AGE}/{case}", "unit": "s"}, **_child("age", *CASES[case]))
    if {FIRST_PAINT, FIRST_STEP} & set(names):
        paints, steps = zip(*(_start() for _ in range(REPEATS)))
        for name, seconds in ((FIRST_PAINT, paints), (FIRST_STEP, steps)):
            if name in names:
                yield {"name": name, "unit": "s", "value": float(np.median(seconds)), "runs": seconds}


def _child(*arguments: str) -> Dict:
    done = subprocess.run(
        [sys.executable, str(_HERE / "window_child.py"), *arguments],
        stdout=subprocess.PIPE,
        timeout=_TIMEOUT_S,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _start() -> Sequence[float]:
    """Return the seconds from the start of the process to the first paint, and to the first step."""
    environ = dict(os.environ)
    environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as folder:
        environ["XDG_CONFIG_HOME"] = folder
        command = [sys.executable, str(_HERE / "paint_child.py"), repr(time.time()), os.path.join(folder, "run")]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, env=environ, check=True, text=True)
    paint, step = map(float, done.stdout.split()[:2])
    return paint, step
