"""Evaluations of the shown run with their settings, their cost, and the checkpoint that has their state."""

import math
from typing import Dict, List, NamedTuple, Optional, Tuple

from qatviz.analysis.bit_costs import CostUnit, bit_costs, variable_tensors
from qatviz.gui.model.run_model import RunModel
from qatviz.metric import METRICS
from qatviz.presentation.budget_texts import cost_text, widths_text
from qatviz.presentation.pareto import Dot
from qatviz.protocol.events import CheckpointSaved, Evaluated
from qatviz.protocol.settings_book import SettingsBook

QUANTIZED = "quantized"


class Evaluation(NamedTuple):
    """Evaluation with its settings and their cost.

    ``survives`` is as in :class:`qatviz.protocol.timeline.LoggedEvent`; ``is_trial`` is True if the settings were not
    in effect; ``fork`` is the name of the fork that was evaluated, empty for the run itself.
    """

    event: Evaluated
    book: SettingsBook
    cost: int
    survives: bool
    is_trial: bool = False
    fork: str = ""

    @property
    def dot(self) -> Dot:
        """Dot of a picture."""
        return Dot(
            self.cost, self.event.scores.get(QUANTIZED, float("nan")), self.survives, self.is_trial, bool(self.fork)
        )

    def text(self, unit: CostUnit) -> str:
        """Return step, metric, cost and bits in lines."""
        metric = METRICS[self.event.metric]
        score = f"{metric.title} {metric.text(self.event.scores.get(QUANTIZED))}, {cost_text(unit, self.cost)}"
        tensors = variable_tensors(unit, self.book)
        lines = [
            f"step {self.event.step:,}: {score}",
            widths_text(tensors, [bits_of(self.book, name) for name in tensors]),
        ]
        if self.fork:
            lines.append(f"of the fork {self.fork}")
        if self.is_trial:
            lines.append("measured without training with these bits")
        return "\n".join(lines + ([] if self.survives else ["on an abandoned branch"]))


def bits_of(book: SettingsBook, tensor: str) -> int:
    """Return the bits of a quantized tensor."""
    return book.of(tensor).num_bits


class Evaluations:
    """Evaluations of the shown run, oldest first; settings and costs of known ones are cached."""

    def __init__(self, model: RunModel):
        self._model = model
        self._books: Dict[int, Tuple[Evaluated, SettingsBook]] = {}
        self._costs: Dict[Tuple[CostUnit, Tuple[object, ...]], int] = {}

    def clear(self) -> None:
        """Forget those of another run."""
        self._books.clear()
        self._costs.clear()

    def of_run(self, unit: CostUnit) -> List[Evaluation]:
        """Return the evaluations with the metric of the newest one: of all branches, of trials, and of forks."""
        newest = self._model.evaluation
        found = []
        for logged in self._model.log:
            event = logged.event
            if isinstance(event, Evaluated) and newest is not None and event.metric == newest.metric:
                known = self._books.get(id(event))
                if known is None:  # the event is kept, so that its id stays its own
                    known = self._books[id(event)] = event, self._model.book_at_point(event.point)
                found.append(Evaluation(event, known[1], self._cost(unit, known[1]), logged.survives))
        for trial in self._model.trials:
            if trial.result is not None and (newest is None or trial.result.metric == newest.metric):
                found.append(Evaluation(trial.result, trial.book, self._cost(unit, trial.book), True, True))
        for other in self._model.fork_evaluations:
            if newest is not None and other.result.metric == newest.metric:
                found.append(Evaluation(other.result, other.book, self._cost(unit, other.book), True, fork=other.name))
        return found

    def checkpoint_of(self, evaluation: Evaluation) -> Optional[str]:
        """Return the name of a checkpoint with the state that was evaluated; None if there is none."""
        if evaluation.is_trial or evaluation.fork:
            return None
        point = evaluation.event.point
        for logged in reversed(self._model.log):
            saved = logged.event
            if not isinstance(saved, CheckpointSaved) or (saved.branch, saved.step) != (point.branch, point.step):
                continue
            if self._model.book_at_point(saved.point).quantizers == evaluation.book.quantizers:
                return saved.name
        return None

    def _cost(self, unit: CostUnit, book: SettingsBook) -> int:
        if unit is CostUnit.TIME:  # the bits do not change it
            seconds = self._model.chip.seconds if self._model.chip is not None else 0.0
            return 0 if math.isnan(seconds) else round(1e9 * seconds)
        key = (unit, book.quantizers)
        if key not in self._costs:
            network = self._model.network
            assert network is not None, "evaluations are those of a run"
            self._costs[key] = bit_costs(unit, network, book, (), ()).rest
        return self._costs[key]
