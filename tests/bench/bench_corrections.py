"""Accuracy before and after each correction, of networks whose channels have very different ranges.

A network is trained in float. Then the scale of each channel moves between consecutive layers by random factors, which
changes nothing in float but makes the ranges of channels differ by up to SPREAD, as in networks that were trained with
batch norm alone. It is quantized with one scale per tensor; nothing is trained afterwards. Corrections are made alone,
and all in the order of Nagel et al. 2019 and 2021: equalization, batch norm, AdaRound, bias.
"""

from dataclasses import replace
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
from live_graph import DATA, dataset, network

PRESET = "tflite-int8"
#: Steps of training in float, and the ratio of the largest to the smallest of the random factors.
STEPS, SPREAD = {"dscnn": 200, "mobilenet": 200}, 80.0
#: Iterations of AdaRound for each layer.
ITERATIONS = 400
#: Bits of weights and of activations.
WIDTHS = {"w8a8": (8, 8), "w4a8": (4, 8)}
SEED = 0
NAMES = tuple(f"corrections/{name}-{width}" for name in STEPS for width in WIDTHS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures: accuracy after all corrections less that before, in percentage points."""
    for name in STEPS:
        widths = [width for width in WIDTHS if f"corrections/{name}-{width}" in names]
        if widths:
            yield from _figures(name, widths)


def _figures(name: str, widths: Sequence[str]) -> Iterator[Dict]:
    from qatviz.protocol import commands as c

    again, bias, rounding = c.ReestimateBatchNorm(), c.CorrectBias(), c.AdaRound(iterations=ITERATIONS)
    methods = {
        "batch norm": (again,),
        "bias": (bias,),
        "adaround": (rounding,),
        "equalized": (c.EqualizeLayers(),),
        "equalized, bias": (c.EqualizeLayers(), bias),
        "all": (c.EqualizeLayers(), again, rounding, bias),
    }
    bench = _Bench(name)
    for width in widths:
        begun = bench.state(width)
        accuracy, notes, seconds = {"before": bench.accuracy(begun)}, {}, {}
        for method, commands in methods.items():
            found, notes[method], seconds[method] = bench.corrected(begun, commands)
            accuracy[method] = bench.accuracy(found)
        yield {
            "name": f"corrections/{name}-{width}",
            "unit": "percentage points",
            "value": 100 * (accuracy["all"] - accuracy["before"]),
            "float": bench.float_accuracy,
            "float_with_moving_averages": bench.float_accuracy_of_averages,
            "accuracy": accuracy,
            "seconds": seconds,
            "notes": notes,
        }
    bench.close()


class _Bench:
    """One run in float, whose state is quantized and corrected again and again."""

    def __init__(self, name: str):
        from qatviz.network.plan import quantization_plan
        from qatviz.network.replaced_relu6 import with_relu
        from qatviz.protocol.branches import BranchCursor
        from qatviz.protocol.commands import ReestimateBatchNorm
        from qatviz.protocol.run_spec import RunSpec
        from qatviz.protocol.settings_book import SettingsBook
        from qatviz.training.building import graph_arguments
        from qatviz.training.corrections import Corrections
        from qatviz.training.graph import TrainingGraph
        from qatviz.training.live_run import LiveRun

        data = dataset()
        net = with_relu(network(name, data))
        book, _ = SettingsBook.from_preset(quantization_plan(net), PRESET).change(
            (("*.weights.per_channel", False), ("run.learning_rate", 2e-3), ("run.lr_schedule", "cosine"))
        )
        self._book, _ = book.change((("run.lr_period", STEPS[name]),))
        in_float, _ = self._book.change((("*.enabled", False),))
        spec = RunSpec(net, data, DATA, in_float, batch_size=64, telemetry=False, seed=SEED)
        self._live = LiveRun(TrainingGraph(*graph_arguments(spec)), spec, BranchCursor(), lambda event: None)
        self._corrections = Corrections(self._live, spec, lambda item: None)
        self._spec = spec
        for _ in range(STEPS[name]):
            self._live.train_step()
        self.float_accuracy_of_averages = self.accuracy(self._capture())
        # Moving averages lag behind in so short a training.
        trained, _, _ = self.corrected(self._capture(), (ReestimateBatchNorm(),))
        self._trained = self._unequal(trained)
        self.float_accuracy = self.accuracy(self._trained)

    def state(self, width: str):
        """Return the trained state, quantized with these bits and calibrated."""
        weights, activations = WIDTHS[width]
        book, _ = self._book.change((("*.weights.num_bits", weights), ("*.activations.num_bits", activations)))
        self._live.set_to(self._trained)
        self._live.apply_settings(book)
        everything = [tensor.name for tensor in self._spec.plan.tensors]
        self._live.correct(self._live.graph.read_state(), (), everything)  # ranges of activations over some batches
        return self._capture()

    def corrected(self, state, commands) -> Tuple[object, List[str], float]:
        """Return a state after corrections, their notes, and how long they took."""
        import time

        from qatviz.training.inbox import Sent

        self._live.set_to(state)
        notes: List[str] = []
        begun = time.perf_counter()
        for command in commands:
            self._corrections.begin(Sent(0, "bench", command))
            outcome = None
            while outcome is None:
                outcome = self._corrections.advance()
            _, result = outcome
            if isinstance(result, Exception):
                raise result
            self._live.correct(result.arrays, result.weights, result.activations)
            notes += result.notes
        return self._capture(), notes, time.perf_counter() - begun

    def accuracy(self, state) -> float:
        """Return the accuracy of the quantized network on held-out data."""
        from qatviz.training.measuring import Evaluation

        self._live.set_to(state)
        evaluation = Evaluation(
            self._live.graph, self._spec.metrics, len(self._spec.dataset.x_test), self._live.step, heads=()
        )
        found = None
        while found is None:
            found = evaluation.advance()
        return float(found.scores["quantized"])

    def close(self) -> None:
        self._corrections.close()
        self._live.graph.close()

    def _capture(self):
        from qatviz.protocol.reasons import SaveKind, SaveReason

        return self._live.capture("bench", SaveReason(SaveKind.END))

    def _unequal(self, state):
        """Return a state that is the same in float, with channels whose ranges differ."""
        from qatviz.correction.equalization import scaled
        from qatviz.correction.pairs import layer_pairs

        random = np.random.RandomState(SEED)
        pairs, _ = layer_pairs(self._spec.network, self._spec.plan)
        factors = {}
        for pair in pairs:
            channels = self._spec.plan.tensor(pair.first.weights).num_channels
            factors[pair.first.name] = SPREAD ** random.uniform(-0.5, 0.5, channels)
        return replace(state, arrays=scaled(pairs, factors, state.arrays))
