"""Longest pause of training caused by an export from the window."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, Sequence

STALL = "export_stall_ms_max"
NAMES = tuple(f"{STALL}/{network}" for network in ("lenet", "mobilenet"))
_HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 1800


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        command = [sys.executable, str(_HERE / "export_child.py"), name.split("/")[1]]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=True, text=True)
        yield dict({"name": name, "unit": "ms"}, **json.loads(done.stdout.splitlines()[-1]))
