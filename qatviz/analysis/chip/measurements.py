"""Published measurements of networks on chips, with their sources: the file ``measurements.json``."""

import functools
import json
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Tuple

import numpy as np

from qatviz.analysis.chip.work import total, work_of_row

_PATH = Path(__file__).resolve().parent / "measurements.json"


class Measurement(NamedTuple):
    """Cycles of networks on one chip with one library of kernels.

    Attributes
    ----------
    kernels, version : str
        Library, and its version, release or the runtime that uses it.
    core, chip : str
        Processor core, such as ``cortex-m4``, and the microcontroller or system on a chip.
    mhz : int
        Clock.
    threads : int
        Number of cores that compute.
    source : str
        Where it was published.
    cycles : dict of str to float
        Clock cycles by network, or by layer of one.
    """

    kernels: str
    version: str
    core: str
    chip: str
    mhz: int
    threads: int
    source: str
    cycles: Mapping[str, float]


class Measurements(NamedTuple):
    """All measurements, and the work of the networks, float64 ``[quantities]`` by name."""

    work: Mapping[str, np.ndarray]
    rows: Tuple[Measurement, ...]


@functools.lru_cache(maxsize=None)
def published() -> Measurements:
    """Return the published measurements. May be called on any thread."""
    content: Dict[str, Any] = json.loads(_PATH.read_text(encoding="utf-8"))
    work = {name: total(map(_work, network["layers"])) for name, network in content["networks"].items()}
    return Measurements(work, tuple(map(_measurement, content["measurements"])))


def _work(row: str) -> Any:
    kind, *numbers = row.split()
    return work_of_row(kind, *map(int, numbers))


def _measurement(row: Dict[str, Any]) -> Measurement:
    fields = {name: row[name] for name in Measurement._fields if name != "cycles"}
    # A millisecond at 1 MHz has 1000 cycles.
    cycles = row.get("cycles") or {name: ms * 1000.0 * row["mhz"] for name, ms in row["ms"].items()}
    return Measurement(cycles=cycles, **fields)
