"""Estimates for chips: errors of cycles for chips that the fit did not use, and the time that an estimate takes."""

import time
from typing import Dict, Iterator, Sequence

import numpy as np

from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.fit import LeftOut, left_out_errors, left_out_networks
from qatviz.analysis.chip.measurements import published
from qatviz.analysis.chip.targets import target

ERRORS, TIME = "chip_cycle_errors", "chip_estimate_time"
_LIBRARIES = ("cmsis-nn", "cmsis-nn-helium", "x-cube-ai", "reference", "xnnpack")
_NETWORKS = ("lenet", "mobilenet")
NAMES = (f"{ERRORS}/chips", f"{ERRORS}/networks", *(f"{TIME}/{name}" for name in _NETWORKS))
_REPEATS = 5


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        yield {"name": name, **(_errors if name.startswith(ERRORS) else _time)(name.split("/")[1])}


def _errors(left_out: str) -> Dict:
    """Return the mean absolute error of predictions for left-out chips, or for left-out networks on each chip."""
    measurements = published()
    found: Sequence[LeftOut]
    if left_out == "chips":
        found = left_out_errors(measurements.work, measurements.rows)
    else:
        found = left_out_networks(measurements.work, measurements.rows, _LIBRARIES)
    errors = np.abs([one.error for one in found])
    by_chip: Dict[str, Dict[str, float]] = {}
    for one in found:
        row = one.measurement
        key = f"{row.chip}: {row.kernels} {row.version}".strip()
        by_chip.setdefault(key, {})[one.network] = round(one.error, 3)
    return {
        "value": round(float(errors.mean()), 3),
        "unit": "mean absolute relative error",
        "median": round(float(np.median(errors)), 3),
        "four_of_five_within": round(float(np.quantile(errors, 0.8)), 3),
        "within_a_fifth": round(float((errors <= 0.2).mean()), 3),
        "predictions": len(errors),
        "chips": len({one.measurement.chip for one in found}),
        "errors": by_chip,
    }


def _time(name: str) -> Dict:
    """Return the time from settings to an estimate, and that of the estimate alone."""
    from qatviz.network import zoo
    from qatviz.network.plan import quantization_plan
    from qatviz.presets import DEFAULT_PRESET
    from qatviz.protocol.settings_book import SettingsBook
    from qatviz.session.chip import network_graph

    network = zoo.build(name, (28, 28, 1) if name == "lenet" else (32, 32, 3), 10)
    book = SettingsBook.from_preset(quantization_plan(network), DEFAULT_PRESET)
    goal = target()
    estimate(network_graph(network, book), goal)  # imports, and the fit
    times = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        graph = network_graph(network, book)
        made = time.perf_counter()
        estimate(graph, goal)
        times.append((time.perf_counter() - begun, time.perf_counter() - made))
    whole, alone = np.median(times, axis=0)
    return {"value": round(1e3 * whole, 1), "unit": "ms", "without_the_graph_ms": round(1e3 * alone, 2)}
