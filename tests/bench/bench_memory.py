"""Growth of memory over a long run: the resident size of a separate process with the whole trainer."""

import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, Sequence

NAMES = ("memory_growth_mb_20000_steps",)
EARLY_STEP, LATE_STEP = 2000, 22000
_HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 1800


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``: growth from step 2,000, after warm-up, to step 22,000."""
    for name in names:
        process = subprocess.run(
            [sys.executable, str(_HERE / "memory_child.py"), str(EARLY_STEP), str(LATE_STEP)],
            stdout=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=True,
            text=True,
        )
        early, late, history_early, history_late = map(float, process.stdout.split()[-4:])
        yield {
            "name": name,
            "unit": "MB",
            "value": late - early,
            "resident_mb": late,
            # Its arrays fill up to a bound: see history_mb_million_steps.
            "of_which_history_mb": history_late - history_early,
        }
