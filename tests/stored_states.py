"""Weights and ranges that were trained once and are stored, so that codes of exported files can be compared with a bar.

Training sums in an order that depends on the processor and its number of threads, so a network that a test trains has
other last digits, other codes, and another fraction of equal codes on each machine. Run as a program, this module
trains the states anew and writes them; the figures that tests expect of them may then change::

    python tests/stored_states.py
"""

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent / "stored"
#: Number of training steps by network.
STEPS = {"few_layers": 300}
#: Ranges of digits in networks with random parameters (`parity_cases.Calibrated`), by the networks' names.
RANGES = FOLDER / "calibrated_ranges.npz"
CALIBRATED = ("mlp", "lenet", "dscnn", "resnet8", "mobilenet", "mobilenetv2")


def stored_state(name):
    """Return the parameters and ranges of a network by name, as an export reads them."""
    with np.load(str(FOLDER / f"{name}.npz"), allow_pickle=False) as arrays:
        return dict(arrays)


def stored_ranges(name):
    """Return ``range_min`` and ``range_max`` of a network with random parameters."""
    with np.load(str(RANGES), allow_pickle=False) as arrays:
        return {end: arrays[f"{name}.{end}"] for end in ("range_min", "range_max")}


def write_states():
    """Train each network and store all of its state but the optimizer's slots, which no export reads; store ranges."""
    from parity_cases import Calibrated, Trained

    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(
        str(RANGES),
        **{
            f"{name}.{end}": array
            for name in CALIBRATED
            for end, array in Calibrated(name, {}).observed_ranges().items()
        },
    )
    for name, steps in STEPS.items():
        with Trained(name, steps) as trained:
            state = {key: array for key, array in trained.state.items() if "|" not in key}
        np.savez_compressed(str(FOLDER / f"{name}.npz"), **state)


if __name__ == "__main__":
    sys.path += [str(Path(__file__).resolve().parent / folder) for folder in ("export", "training")]
    write_states()
