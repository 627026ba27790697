"""Time from the command to the first training step, on a prepared machine."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, Sequence

import numpy as np

NAMES = ("startup_first_step_s",)
REPEATS = 3
_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``: wall time of a whole one-step run with evaluation and record, which is an upper
    bound of the time to the first step."""
    for name in names:
        seconds = [_one_step_run() for _ in range(REPEATS)]
        yield {"name": name, "unit": "s", "value": float(np.median(seconds)), "runs": seconds}


def _one_step_run() -> float:
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            "-m",
            "qatviz",
            "train",
            "--steps",
            "1",
            "--json",
            "--out",
            str(Path(directory) / "run"),
        ]
        begin = time.perf_counter()
        process = subprocess.run(
            command, cwd=str(_ROOT), stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=True, text=True
        )
        seconds = time.perf_counter() - begin
    result = json.loads(process.stdout.splitlines()[-1])
    assert result["step"] == 1, f"the run did {result['step']} steps: expected 1"
    return seconds
