"""Accuracy of mobilenet within a budget: bits by the solver, uniform bits, and a greedy search by measured sensitivity.

A network trained at 8 bits is fine-tuned for the same number of steps, on the same batches, with the bits of each
method. Budgets are fractions of the size of the weights at 8 bits; uniform bits exist for half and a quarter of it. The
greedy search lowers the bits of single tensors in the order of the divergence that was measured with only this tensor
at these bits, until the size is within the budget, as AIMET's mixed precision does. At a quarter, all have 2 bits.

``QATVIZ_BENCH_SEEDS`` (0,1,2), ``QATVIZ_BENCH_STEPS`` (400, at 8 bits) and ``QATVIZ_BENCH_FINE_STEPS`` (60) select
other runs: after 400 steps, the network is hardly trained.
"""

import os
from dataclasses import replace
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
from live_graph import run_spec

from qatviz.analysis.bit_costs import CostUnit, bit_costs, quantized_weights
from qatviz.analysis.budget import BitAllocationProblem, WidthRules, allocation_problem
from qatviz.analysis.sensitivity import WIDTHS, divergence
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.reasons import SaveKind, SaveReason

NETWORK, PRESET = "mobilenet", "tflite-int8"
SEEDS = tuple(map(int, os.environ.get("QATVIZ_BENCH_SEEDS", "0,1,2").split(",")))
#: Training steps at 8 bits, and of the fine-tuning; the learning rate of the latter falls in three parts.
STEPS = int(os.environ.get("QATVIZ_BENCH_STEPS", "400"))
FINE_STEPS, LEARNING_RATES = int(os.environ.get("QATVIZ_BENCH_FINE_STEPS", "60")), (1e-3, 3e-4, 1e-4)
#: Budgets, and the uniform bits of this size.
BUDGETS = {0.5: 4, 0.35: None, 0.25: 2}
#: Number of held-out examples of a measurement of the greedy search.
EXAMPLES = 128

NAMES = tuple(f"budget_accuracy/{budget:.0%}" for budget in BUDGETS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures: points by which the mean accuracy of the solver's bits is above that of the best other."""
    budgets = [budget for budget in BUDGETS if f"budget_accuracy/{budget:.0%}" in names]
    found: Dict[Tuple[float, str], List[float]] = {}
    base: List[float] = []
    with _Bench() as bench:
        for seed in SEEDS:
            bench.train(seed)
            base.append(bench.accuracy(bench.state.book))
            known: Dict[Tuple[int, ...], float] = {}
            for budget in budgets:
                for method, widths in bench.methods(budget).items():
                    if widths not in known:
                        known[widths] = bench.fine_tuned(widths)
                    found.setdefault((budget, method), []).append(known[widths])
    for budget in budgets:
        means = {method: float(np.mean(rows)) for (own, method), rows in found.items() if own == budget}
        others = [mean for method, mean in means.items() if method != "solver"]
        yield {
            "name": f"budget_accuracy/{budget:.0%}",
            "unit": "percentage points",
            "value": 100.0 * (means["solver"] - max(others)),
            "means": means,
            "accuracy": {method: rows for (own, method), rows in found.items() if own == budget},
            "accuracy_at_8_bits": base,
            "steps": [STEPS, FINE_STEPS],
        }


class _Bench:
    """One graph, which is set to the states of all runs in turn."""

    def __enter__(self) -> "_Bench":
        from qatviz.training.building import graph_arguments
        from qatviz.training.graph import TrainingGraph

        self._spec = replace(run_spec(NETWORK, PRESET), telemetry=False)
        self._graph = TrainingGraph(*graph_arguments(self._spec))
        return self

    def __exit__(self, *_) -> None:
        self._graph.close()

    def train(self, seed: int) -> None:
        """Train at 8 bits; find estimated and measured sensitivities."""
        from qatviz.training.parameters import initial_parameters

        spec = replace(self._spec, seed=seed, parameters=initial_parameters(self._spec.network, seed))
        live = self._live(spec)
        for _ in range(STEPS):
            live.train_step()
        self.state = live.capture("trained", SaveReason(SaveKind.END))
        self._trained = replace(spec, start=self.state)
        self._weights = quantized_weights(self.state.book)
        self._problem = self._posed()
        self._divergences = self._measured()

    def methods(self, budget: float) -> Dict[str, Tuple[int, ...]]:
        """Return the bits of all methods within a budget."""
        problem = self._problem
        largest = int(budget * problem.costs[:, WIDTHS.index(8)].sum())
        best = problem.best_within(largest)
        methods = {"solver": best.widths, "greedy": self._greedy(largest)}
        if BUDGETS[budget] is not None:
            methods["uniform"] = (BUDGETS[budget],) * len(self._weights)
        return methods

    def fine_tuned(self, widths: Tuple[int, ...]) -> float:
        """Return the accuracy after fine-tuning with these bits."""
        live = self._live(self._trained)
        bits = [(f"{name}.num_bits", width) for name, width in zip(self._weights, widths)]
        live.apply_settings(live.book.change(bits)[0])
        for rate in LEARNING_RATES:
            live.apply_settings(live.book.change([("run.learning_rate", rate)])[0])
            for _ in range(FINE_STEPS // len(LEARNING_RATES)):
                live.train_step()
        return self._evaluated(live)

    def accuracy(self, book) -> float:
        """Return the accuracy of the trained state under these settings."""
        live = self._live(self._trained)
        live.apply_settings(book)
        return self._evaluated(live)

    def _live(self, spec):
        from qatviz.training.live_run import LiveRun

        return LiveRun(self._graph, spec, BranchCursor(), lambda event: None)

    def _evaluated(self, live) -> float:
        from qatviz.training.measuring import Evaluation

        spec = self._spec
        job = Evaluation(self._graph, spec.metrics, len(spec.dataset.x_test), live.step, heads=spec.heads)
        result = None
        while result is None:
            result = job.advance()
        return result.scores["quantized"]

    def _posed(self) -> BitAllocationProblem:
        from qatviz.training.sensitivity import SensitivityGraph, SensitivityJob

        graph = SensitivityGraph(self._trained)
        job, found = SensitivityJob(graph, self.state.arrays, self.state.book, self.state.step), None
        while found is None:
            found = job.advance()
        graph.close()
        costs = bit_costs(CostUnit.CODES, self._spec.network, self.state.book, self._weights, WIDTHS)
        return allocation_problem(
            self.state.book, found, self._weights, WIDTHS, costs.costs, costs.rest, WidthRules(WIDTHS)
        )

    def _measured(self) -> np.ndarray:
        """Return the divergence with each of the weights alone quantized, float64 ``[weights, widths]``."""
        graph, data, plan = self._graph, self._spec.dataset, self._spec.plan
        examples = np.asarray(data.x_test[:EXAMPLES], np.float32) * np.float32(data.pixel_scale)
        live = self._live(self._trained)
        groups = [[plan.tensors[index].name for index in members] for members in plan.groups]

        def outputs(name: str) -> np.ndarray:
            graph.publish()
            graph.enable_published(np.array([name in names for names in groups]))
            return graph.outputs(examples)[0]

        reference = outputs("")
        found = np.zeros((len(self._weights), len(WIDTHS)))
        for row, name in enumerate(self._weights):
            for column, width in enumerate(WIDTHS):
                live.apply_settings(self.state.book.change([(f"{name}.num_bits", width)])[0])
                found[row, column] = divergence(reference, outputs(name), data.task)
            live.apply_settings(self.state.book)
        return found

    def _greedy(self, largest: int) -> Tuple[int, ...]:
        costs, widths = self._problem.costs, [8] * len(self._weights)
        order = np.dstack(np.unravel_index(np.argsort(self._divergences, axis=None), costs.shape))[0].tolist()
        for row, column in order:
            cost = sum(int(costs[index, WIDTHS.index(width)]) for index, width in enumerate(widths))
            if cost <= largest:
                break
            widths[row] = min(widths[row], WIDTHS[column])
        return tuple(widths)
