"""Accuracy of methods for few bits on held-out examples: what each gains alone, and all together.

All runs of a network and a seed start from the parameters of one float run, see the same batches, and train for the
same number of steps. Each figure is ``methods/<network>/<method>/<bits>``: mean accuracy in percent over the seeds,
with the standard deviation, the accuracies of the float run, and of float training that goes on for as many steps.

A part is selected by the name, and by variables: ``QATVIZ_BENCH_SEEDS`` (0,1,2), ``QATVIZ_BENCH_FLOAT_STEPS`` (600),
``QATVIZ_BENCH_STEPS`` (600) and ``QATVIZ_BENCH_DATA`` (mnist-5k; "animals" is harder). A method is a set of settings,
with settings and corrections that are scheduled: an entry of :data:`METHODS`. methods_table.py stores the figures.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from live_graph import DATA, dataset, run_spec, schedule
from live_graph import network as zoo_network

from qatviz.network.ends import end_tensors
from qatviz.protocol import events
from qatviz.protocol.commands import (
    AdaRound,
    ChangeSettings,
    CorrectBias,
    CorrectionCommand,
    EqualizeLayers,
    ReestimateBatchNorm,
)
from qatviz.settings import ACTIVATIONS, WEIGHTS
from qatviz.training.handle import Run

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "export"))

import newer_python  # noqa: E402

#: Adam's rate in PyTorch.
TORCH_LEARNING_RATE = 1e-3
SEEDS = tuple(map(int, os.environ.get("QATVIZ_BENCH_SEEDS", "0,1,2").split(",")))
FLOAT_STEPS, STEPS = (int(os.environ.get("QATVIZ_BENCH_" + name, "600")) for name in ("FLOAT_STEPS", "STEPS"))
NETWORKS = ("dscnn", "resnet8", "mobilenet")
#: Bits of weights and of activations.
BITS = {"w4a4": (4, 4), "w3a3": (3, 3), "w2a2": (2, 2), "w2a8": (2, 8), "w4a8": (4, 8)}
#: Settings of all runs: only the final state is evaluated.
_COMMON: Tuple[Tuple[str, Any], ...] = (("run.evaluation_interval", 0), ("run.learning_rate", 1e-3))

#: Fraction of the steps after which the recommended combination freezes batch norm: at few bits, its moving statistics
#: are not those of the last weights, which oscillate between two codes.
_FREEZE_AFTER = 7 / 12
#: Bits from which the ladder starts, and the fraction of the steps after which it takes a rung at the latest.
_LADDER_TOP, _RUNG = 8, 1 / 8
#: Iterations of AdaRound for each layer.
_ADAROUND_ITERATIONS = 400

Settings = List[Tuple[str, Any]]
Commands = Union[ChangeSettings, CorrectionCommand]
Schedule = Tuple[Tuple[int, Commands], ...]


class Case(NamedTuple):
    """Number of steps of a run, and the bits of its weights and activations."""

    steps: int
    weights: int
    activations: int


class Method(NamedTuple):
    """Preset of a run, and functions of its case: settings on top of it, and scheduled changes and corrections.

    ``keeps_ends``: the ends of the network keep the preset's bits. ``begins_with``: bits with which a run begins, if
    they are not those of its case.
    """

    preset: str
    settings: Callable[[Case], Settings] = lambda case: []
    schedule: Callable[[Case], Schedule] = lambda case: ()
    keeps_ends: bool = False
    begins_with: Optional[int] = None


def _with(*settings: Tuple[str, Any]) -> Callable[[Case], Settings]:
    return lambda case: list(settings)


def _cosine_over(steps: int) -> Settings:
    return [("run.lr_schedule", "cosine"), ("run.lr_period", steps), ("run.lr_factor", 0.0)]


def _cosine(case: Case) -> Settings:
    return _cosine_over(case.steps)


def _frozen_in_the_end(case: Case) -> Schedule:
    return ((int(case.steps * _FREEZE_AFTER), ChangeSettings((("run.freeze_batch_norm", True),))),)


def _ladder(case: Case) -> Settings:
    """Return the settings of a ladder from 8 bits to those of the case."""
    return [
        ("run.ladder", True),
        ("run.ladder_tensors", "weights" if case.activations >= _LADDER_TOP else "both"),
        ("run.ladder_lowest", case.weights),
        ("run.ladder_steps", int(case.steps * _RUNG)),
        ("run.evaluation_interval", max(1, int(case.steps * _RUNG / 2))),
    ]


def _corrected_at_first(*corrections: CorrectionCommand) -> Callable[[Case], Schedule]:
    return lambda case: tuple((0, correction) for correction in corrections)


def _corrected_at_last(*corrections: CorrectionCommand) -> Callable[[Case], Schedule]:
    return lambda case: tuple((case.steps - 1, correction) for correction in corrections)


#: Methods by name: alone, on top of symmetric weights per channel with min–max ranges, activations with averages.
METHODS = {
    "min_max": Method("int4"),
    "mse": Method("int4", _with(("*.range_method", "mse"))),
    "percentile": Method("int4", _with(("*.range_method", "percentile"))),
    "kl": Method("int4", _with(("*.activations.range_method", "kl"))),
    "cosine": Method("int4", _cosine),
    "learned": Method("int4", _with(("*.range_method", "learned"))),
    "learned_range": Method(
        "int4", _with(("*.weights.range_method", "learned"), ("*.activations.range_method", "learned_range"))
    ),
    "learned_clip": Method("int4", _with(("*.activations.range_method", "learned_clip"))),
    "power_of_two": Method("int4", _with(("*.range_method", "learned"), ("*.power_of_two", True))),
    "tanh": Method("int4", _with(("*.weights.weight_map", "tanh"))),
    "ternary": Method("int4", _with(("*.weights.weight_map", "ternary"))),
    "gradient_scaling": Method("int4", _with(("*.gradient_scaling", 0.2))),
    "stochastic_rounding": Method("int4", _with(("*.weights.stochastic_rounding", True))),
    "dampening": Method(
        "int4",
        lambda case: [
            ("*.weights.dampening", 0.01),
            ("run.dampening_schedule", "cosine"),
            ("run.oscillation_period", case.steps),
        ],
    ),
    "iterative_freezing": Method(
        "int4",
        lambda case: [
            ("*.weights.freeze_threshold", 0.02),
            ("run.freeze_schedule", "cosine"),
            ("run.oscillation_period", case.steps),
        ],
    ),
    "ramp": Method("int4", lambda case: [("run.ramp_end", case.steps // 2)]),
    "ladder": Method("int4", _ladder, begins_with=_LADDER_TOP),
    "distillation": Method("int4", _with(("run.teacher", "start"))),
    "round_biases": Method("int4", _with(("run.round_biases", True))),
    "freeze_batch_norm": Method("int4", schedule=_frozen_in_the_end),
    "batch_norm": Method("int4", schedule=_corrected_at_last(ReestimateBatchNorm())),
    "equalization": Method("int4", schedule=_corrected_at_first(EqualizeLayers())),
    "bias_correction": Method("int4", schedule=_corrected_at_last(CorrectBias())),
    "adaround": Method("int4", schedule=_corrected_at_first(AdaRound(iterations=_ADAROUND_ITERATIONS))),
    "low_bit": Method(
        "low-bit",
        lambda case: [*_cosine_over(case.steps), ("run.learning_rate", 3e-3)],
        _frozen_in_the_end,
        keeps_ends=True,
    ),
}
#: An independent LSQ in PyTorch (torch_lsq.py), in the Python that this variable names, or the first one on PATH that
#: has it; for networks whose layers that program knows.
TORCH, TORCH_PYTHON, TORCH_NETWORKS = "torch_lsq", "QATVIZ_PYTORCH_PYTHON", ("dscnn", "resnet8")
NAMES = tuple(
    f"methods/{network}/{method}/{bits}"
    for network in NETWORKS
    for method in (*METHODS, *([TORCH] if network in TORCH_NETWORKS else []))
    for bits in BITS
)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        _, network, method, bits = name.split("/")
        if method == TORCH and newer_python.find(TORCH_PYTHON, "torch") is None:
            yield {"name": name, "skipped": f"no Python has PyTorch; {TORCH_PYTHON} can name one"}
            continue
        measure = _trained_by_torch if method == TORCH else partial(trained, method=method)
        found = [100 * measure(network=network, bits=bits, seed=seed) for seed in SEEDS]
        in_float = [100 * _in_float(network, seed) for seed in SEEDS]
        mean, deviation = mean_and_deviation(found)
        yield {
            "name": name,
            "data": DATA,
            "unit": "%",
            "value": mean,
            "sd": deviation,
            "accuracy": found,
            "accuracy_start": [100 * _final_of_float(network, seed) for seed in SEEDS],
            "accuracy_float": in_float,
            "points_below_float": float(np.mean(in_float) - mean),
            "steps": STEPS,
            "seeds": SEEDS,
        }


def mean_and_deviation(values: Sequence[float]) -> Tuple[float, Optional[float]]:
    """Return the mean and the standard deviation of the samples; None for a single one."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def settings_of(network: str, method: str, bits: str) -> Settings:
    """Return the settings of a run on top of the method's preset."""
    plan = run_spec(network).plan
    chosen, case = METHODS[method], _case(bits)
    kept = end_tensors(plan) if chosen.keeps_ends else ()
    numbers = {WEIGHTS: chosen.begins_with or case.weights, ACTIVATIONS: chosen.begins_with or case.activations}
    widths = [(f"{t.name}.num_bits", numbers[t.kind]) for t in plan.tensors if t.name not in kept]
    return [*widths, *_COMMON, *chosen.settings(case)]


def _case(bits: str) -> Case:
    return Case(STEPS, *BITS[bits])


@lru_cache(maxsize=None)
def trained(network: str, method: str, bits: str, seed: int) -> float:
    """Return the quantized accuracy of a run by a method, from the parameters of the float run."""
    chosen = METHODS[method]
    finished = _finished(
        network,
        chosen.preset,
        tuple(settings_of(network, method, bits)),
        seed,
        STEPS,
        parameters=float_parameters(network, seed),
        schedule=chosen.schedule(_case(bits)),
    )
    return _final(finished)["quantized"]


def _trained_by_torch(network: str, bits: str, seed: int) -> float:
    """Return the accuracy of PyTorch's LSQ from the same parameters, on the same batches."""
    newer, data = newer_python.find(TORCH_PYTHON, "torch"), dataset()
    assert newer is not None
    batches = schedule(data, seed)
    arrays = dict(float_parameters(network, seed), y_train=data.y_train, y_test=data.y_test)
    for part in ("x_train", "x_test"):
        arrays[part] = getattr(data, part).astype(np.float32) * np.float32(data.pixel_scale)
    arrays["batches"] = np.stack([batches.indices(step) for step in range(STEPS)])
    layers = zoo_network(network, data).to_dict()["layers"]
    setup = {"layers": layers, "bits": BITS[bits], "learning_rate": TORCH_LEARNING_RATE}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "setup.json").write_text(json.dumps(setup), encoding="utf-8")
        np.savez(str(Path(folder, "data.npz")), **arrays)
        command = [newer.python, str(HERE / "torch_lsq.py"), folder]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    return float(done.stdout)


def float_parameters(network: str, seed: int) -> Dict[str, np.ndarray]:
    """Return the parameters of the float run from which all others start."""
    return _float_run(network, seed)[0]


def _final_of_float(network: str, seed: int) -> float:
    """Return the accuracy of the float run from which all others start."""
    return _float_run(network, seed)[1]


@lru_cache(maxsize=None)
def _float_run(network: str, seed: int) -> Tuple[Dict[str, np.ndarray], float]:
    finished = _finished(network, "float", _COMMON, seed, FLOAT_STEPS)
    names = finished.spec.network.all_parameter_shapes()
    found = {name: array for name, array in finished.final.arrays.items() if name in names}
    return found, _final(finished)["float"]


@lru_cache(maxsize=None)
def _in_float(network: str, seed: int) -> float:
    """Return the accuracy of float training that goes on for as many steps as the methods take."""
    settings = (*_COMMON, *_cosine_over(STEPS))
    parameters = float_parameters(network, seed)
    return _final(_finished(network, "float", settings, seed, STEPS, parameters=parameters))["float"]


def _finished(network: str, preset: str, settings: Tuple, seed: int, steps: int, **changes: Any) -> Run:
    gc.collect()  # the graph of the run before
    found = Run(run_spec(network, preset, settings, seed=seed, steps=steps, **changes))
    found.start()
    while not found.wait(1.0):
        pass
    return found


def _final(finished: Run) -> Dict[str, float]:
    """Return the accuracies of the last evaluation of a run."""
    found = finished.drain()
    for failure in (item for item in found if isinstance(item, events.Failed)):
        raise RuntimeError(failure.traceback)
    return [item for item in found if isinstance(item, events.Evaluated)][-1].scores
