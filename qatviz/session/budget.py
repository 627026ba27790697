"""Bits of the weights of a recorded run within a budget: chosen by sensitivity, measured on held-out data."""

from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.bit_costs import PACKED_BITS, BitCosts, CostUnit, bit_costs, variable_tensors
from qatviz.analysis.budget import (
    LOSS_ROUNDING,
    Allocation,
    BitAllocationProblem,
    CheapestSearch,
    Choice,
    allocation_problem,
    choices_of,
    considered_widths,
)
from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.targets import target
from qatviz.analysis.sensitivity import Sensitivity
from qatviz.errors import ExportError, SettingError
from qatviz.export.formats import FORMATS, Format, format_named
from qatviz.export.progress import Progress
from qatviz.export.sizes import sizer
from qatviz.export.source import ExportSource
from qatviz.metric import METRICS, MODE_NAMES, MODES, Metric
from qatviz.network.graph import Network
from qatviz.number_format import bytes_text, duration_text, finite, si
from qatviz.presentation.budget_texts import AdviceTable, cost_text, reason_text, stuck_text
from qatviz.presentation.chip_texts import time_text
from qatviz.presentation.export_sizes import WeightStorage
from qatviz.protocol.events import Evaluated
from qatviz.protocol.recipe import Recipe, recipe_of_bits
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.budget_request import BYTES, MAC_BITS, SECONDS, Budget, BudgetRequest
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.chip import network_graph
from qatviz.session.evaluation import Evaluator
from qatviz.session.export import state_source
from qatviz.session.prepared import Notify, ignore
from qatviz.session.sensitivity import sensitivity_of
from qatviz.telemetry.outcome import finite_scores

#: Bits of weights with respect to which a budget in percent is stated.
REFERENCE_BITS = 8
_BYTE = 8


def packing_options(form: Format, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options of a format, with those that pack weights of few bits unless they are given.

    Raises
    ------
    SettingError
        If the format does not store codes of a fixed size.
    """
    if form.weights is not WeightStorage.CODES:
        others = ", ".join(f.name for f in FORMATS.values() if f.weights is WeightStorage.CODES)
        raise SettingError.of_field(
            "format", f"is {form.name}, whose size does not depend on the bits of single tensors: expected {others}"
        )
    packed = dict(form.packings[0]) if form.packings else {}
    return {**packed, **options}


def export_costs(
    form: Format, options: Mapping[str, Any], source: ExportSource, tensors: Sequence[str], widths: Sequence[int]
) -> BitCosts:
    """Return the size of an export by number of bits of each of the weights ``tensors``, in bytes.

    The differences are those of exports with one tensor changed: codes of up to 4 bits can be packed, those of 5 to 8
    take a byte each, and others two.

    Raises
    ------
    ExportError
        If the format does not support the state.
    """
    stored = sorted({PACKED_BITS if w <= PACKED_BITS else -(-w // _BYTE) * _BYTE for w in widths})

    def nbytes(book: SettingsBook) -> int:
        return _nbytes(form, options, source, book)

    base_bits = _BYTE if _BYTE in stored else stored[0]
    base = source.book.change([(f"{name}.num_bits", base_bits) for name in tensors])[0]
    total = nbytes(base)
    costs = np.zeros((len(tensors), len(widths)), np.int64)
    for row, name in enumerate(tensors):
        own = base.plan.tensor(name).parameters * base_bits // _BYTE
        for bits in stored:
            change = 0 if bits == base_bits else nbytes(base.change([(f"{name}.num_bits", bits)])[0]) - total
            alike = [
                (w <= PACKED_BITS) == (bits <= PACKED_BITS) and -(-w // _BYTE) == -(-bits // _BYTE) for w in widths
            ]
            costs[row, alike] = own + change
    at_base = sum(base.plan.tensor(name).parameters * base_bits // _BYTE for name in tensors)
    return BitCosts(costs, total - at_base)


def _nbytes(form: Format, options: Mapping[str, Any], source: ExportSource, book: SettingsBook) -> int:
    """Return the size of the export of a state with other settings, in bytes."""
    return sizer(form, replace(source, book=book))(form.with_defaults(options))


def supported_widths(
    form: Format, options: Mapping[str, Any], source: ExportSource, tensors: Sequence[str], widths: Sequence[int]
) -> np.ndarray:
    """Return which bits of which weights a format supports, bool ``[tensors, widths]``.

    Raises
    ------
    ExportError
        If the format does not support the state even with weights of 8 bits.
    """
    values = form.with_defaults(options)
    base = source.book.change([(f"{name}.num_bits", REFERENCE_BITS) for name in tensors])[0]
    refusals = form.refusals(source.network, base, source.step, values)
    if refusals:
        raise ExportError.refused(*refusals)

    def holds(names: Sequence[str], width: int) -> bool:
        book = source.book.change([(f"{name}.num_bits", width) for name in names])[0]
        return not form.refusals(source.network, book, source.step, values)

    supported = np.ones((len(tensors), len(widths)), bool)
    for column, width in enumerate(widths):
        if not holds(tensors, width):
            supported[:, column] = [holds([name], width) for name in tensors]
    return supported


@dataclass(frozen=True)
class BudgetAdvice:
    """Bits within a budget, and their effect.

    Attributes
    ----------
    checkpoint, step
        State of the run.
    unit : CostUnit
    format, options
        Export format, and its options.
    before, after : Allocation
        Present and chosen bits, with cost and predicted loss.
    choices : tuple of Choice
    nbytes_before, nbytes : int
        Size of the export with the present and the chosen bits.
    metric : Metric
    scores_before, scores : dict of str to float
        Results by mode, measured without training.
    num_examples : int
    front : tuple of Allocation
        Predicted optima, from the cheapest to that of the least loss.
    """

    checkpoint: str
    step: int
    unit: CostUnit
    format: str
    options: Mapping[str, Any]
    before: Allocation
    after: Allocation
    choices: Tuple[Choice, ...]
    nbytes_before: int
    nbytes: int
    metric: Metric
    scores_before: Dict[str, float]
    scores: Dict[str, float]
    num_examples: int
    front: Tuple[Allocation, ...]

    @property
    def recipe(self) -> Recipe:
        """Recipe of the chosen bits; other settings stay."""
        return recipe_of_bits({choice.tensor: choice.width for choice in self.choices})

    @property
    def table(self) -> AdviceTable:
        """Texts for terminal and report."""
        states = (
            ("present bits", self.before, self.nbytes_before, self.scores_before),
            ("these bits", self.after, self.nbytes, self.scores),
        )
        return AdviceTable(
            f"checkpoint {self.checkpoint}, step {self.step:,}",
            f"{self.metric.title} measured on {self.num_examples:,} held-out examples, without training",
            tuple((c.tensor, str(c.before), str(c.width), reason_text(c, self.unit)) for c in self.choices),
            ("", "cost", f"size as {self.format}", "predicted loss", *(MODE_NAMES[mode] for mode in MODES)),
            tuple(
                (
                    name,
                    cost_text(self.unit, allocation.cost),
                    bytes_text(nbytes),
                    si(allocation.loss),
                    *(self.metric.plain(scores.get(mode)) for mode in MODES),
                )
                for name, allocation, nbytes, scores in states
            ),
            self.unit,
            self.before,
            self.after,
            self.front,
        )

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        return {
            "checkpoint": self.checkpoint,
            "step": self.step,
            "unit": BYTES if self.unit is CostUnit.STORED else self.unit.value,
            "format": self.format,
            "options": dict(self.options),
            "before": _allocation_row(self.before, self.nbytes_before),
            "after": _allocation_row(self.after, self.nbytes),
            "tensors": [
                {
                    "tensor": choice.tensor,
                    "bits_before": choice.before,
                    "bits": choice.width,
                    "saved": choice.saved,
                    "added_loss": finite(choice.added_loss),
                    "reason": reason_text(choice, self.unit),
                }
                for choice in self.choices
            ],
            "metric": self.metric.name,
            "measured": {"before": finite_scores(self.scores_before), "after": finite_scores(self.scores)},
            "num_examples": self.num_examples,
            "front": [
                {"cost": point.cost, "loss": finite(point.loss), "bits": list(point.widths)} for point in self.front
            ],
            "recipe": self.recipe.to_dict(),
        }


def _allocation_row(allocation: Allocation, nbytes: int) -> Dict[str, Any]:
    return {"cost": allocation.cost, "loss": finite(allocation.loss), "export_bytes": nbytes}


def advise(request: BudgetRequest, notify: Notify = ignore, progress: Optional[Progress] = None) -> BudgetAdvice:
    """Choose the bits of a recorded run's tensors, and measure their effect without training.

    Raises
    ------
    RecordError, DataError
        If the run or its data can't be read.
    SettingError
        If a constraint is not allowed, or no bits fulfil all.
    ExportError
        If the format does not support the state.
    Cancelled
    """
    progress = progress or Progress()
    reader, spec = evaluable_state(request.directory, request.checkpoint, request.data, notify)
    assert spec.start is not None, "a recorded state is the start of its spec"
    state, book = spec.start, spec.start.book
    unit = _unit(request)
    tensors = variable_tensors(unit, book)
    if not tensors:
        raise SettingError("no weights are quantized: there are no bits to choose")
    form = format_named(request.format)
    options = packing_options(form, request.options)
    source = state_source(spec, state, run=reader.description.get("run_id"))
    rules = request.rules.resolved(book, tensors)
    widths = considered_widths(book, tensors, rules, (REFERENCE_BITS,))
    supported = supported_widths(form, options, source, tensors, widths)
    progress.at("computing sizes", 0.0)
    if unit is CostUnit.STORED:
        costs = export_costs(form, options, source, tensors, widths)
    elif unit is CostUnit.TIME:
        costs = _times(request, spec.network, book, tensors, widths)
    else:
        costs = bit_costs(unit, spec.network, book, tensors, widths)

    def problem_of(sensitivity: Sensitivity) -> BitAllocationProblem:
        found = allocation_problem(book, sensitivity, tensors, widths, costs.costs, costs.rest, rules, supported)
        if found.without_choice:
            raise SettingError(stuck_text(found.without_choice, rules.widths, book))
        return found

    # Refuse contradictory constraints and a budget that is too small before the estimate, which takes long.
    possible = problem_of(Sensitivity.unknown([tensor.name for tensor in book.plan.tensors]))
    if request.budget is not None:
        _within_budget(possible, request.budget, unit)
    problem = problem_of(sensitivity_of(spec, progress=progress.part(0.1, 0.4)).estimated)
    evaluator = Evaluator(spec)
    try:
        before = evaluator.evaluate(book, progress.part(0.4, 0.5))
        chosen = _chosen(request, problem, unit, _Measured(evaluator, book, tensors, before), progress.part(0.5, 0.9))
        wanted = with_bits(book, tensors, chosen.widths)
        after = evaluator.evaluate(wanted, progress.part(0.9, 1.0))
    finally:
        evaluator.close()
    present = tuple(book.of(name).num_bits for name in tensors)
    return BudgetAdvice(
        state.name,
        state.step,
        unit,
        form.name,
        options,
        problem.allocation_of(present),
        chosen,
        choices_of(problem, present, chosen),
        _nbytes(form, options, source, book),
        _nbytes(form, options, source, wanted),
        METRICS[after.metric],
        dict(before.scores),
        dict(after.scores),
        after.num_examples,
        problem.front(),
    )


def _times(
    request: BudgetRequest, network: Network, book: SettingsBook, tensors: Sequence[str], widths: Sequence[int]
) -> BitCosts:
    """Return the times on the requested chip, which must be within the budget, because bits do not change them."""
    assert request.budget is not None, "times are compared with a budget"
    found = estimate(network_graph(network, book), target(request.chip, request.kernels, request.mhz))
    if not found.seconds <= request.budget.amount:
        raise SettingError.of_field(
            "budget",
            f"is {duration_text(request.budget.amount)}: expected at least {time_text(found)}, which the bits of the "
            "weights do not change: its kernels compute 2 to 8 bits alike",
        )
    return bit_costs(CostUnit.TIME, network, book, tensors, widths, found)


def _unit(request: BudgetRequest) -> CostUnit:
    units = {MAC_BITS: CostUnit.MAC_BITS, SECONDS: CostUnit.TIME}
    unit = CostUnit.STORED if request.budget is None else units.get(request.budget.unit, CostUnit.STORED)
    if request.with_activations and unit is not CostUnit.STORED:
        raise SettingError.of_field(
            "with_activations",
            "is on: expected a budget in bytes or percent, as MAC-bits are products and times do not change",
        )
    return CostUnit.WITH_ACTIVATIONS if request.with_activations else unit


def with_bits(book: SettingsBook, tensors: Sequence[str], widths: Sequence[int]) -> SettingsBook:
    """Return the settings with other bits of tensors."""
    return book.change([(f"{name}.num_bits", width) for name, width in zip(tensors, widths)])[0]


class _Measured(NamedTuple):
    """Measurement of allocations against the present settings ``book``, whose result is ``before``."""

    evaluator: Evaluator
    book: SettingsBook
    tensors: Tuple[str, ...]
    before: Evaluated

    def drop(self, allocation: Allocation, progress: Progress) -> float:
        """Return how much worse the metric is, see :meth:`qatviz.metric.Metric.loss`."""
        after = self.evaluator.evaluate(with_bits(self.book, self.tensors, allocation.widths), progress)
        return METRICS[self.before.metric].loss(self.before.scores["quantized"], after.scores["quantized"])


def _chosen(
    request: BudgetRequest, problem: BitAllocationProblem, unit: CostUnit, measured: _Measured, progress: Progress
) -> Allocation:
    if request.budget is not None:
        return _within_budget(problem, request.budget, unit)
    assert request.max_loss is not None, "either a budget or a largest loss is given"
    if request.max_loss.is_metric:
        return _within_metric(problem, request.max_loss.amount, measured, progress)
    present = problem.allocation_of([measured.book.of(name).num_bits for name in measured.tensors])
    found = problem.cheapest_within(present.loss + request.max_loss.amount)
    if found is None:
        least = problem.front()[-1].loss - present.loss
        raise SettingError.of_field(
            "max_loss", f"is {request.max_loss.amount:g}: the constraints allow an increase of at least {least:.3g}"
        )
    return found


def _within_budget(problem: BitAllocationProblem, budget: Budget, unit: CostUnit) -> Allocation:
    column = problem.widths.index(REFERENCE_BITS)
    reference = problem.rest + int(problem.costs[:, column].sum())
    largest = budget.amount * reference if budget.is_fraction else budget.amount
    if budget.unit == SECONDS:
        largest *= 1e9  # costs are nanoseconds
    found = problem.best_within(largest)
    if found is None:
        least, rest = cost_text(unit, problem.front()[0].cost), cost_text(unit, problem.rest)
        raise SettingError.of_field(
            "budget",
            f"is {cost_text(unit, largest)}: the least possible is {least}, of which {rest} do not depend on the bits",
        )
    return found


def _within_metric(
    problem: BitAllocationProblem, largest: float, measured: _Measured, progress: Progress
) -> Allocation:
    """Return the cheapest predicted optimum whose metric is not worse by more than ``largest``, found by bisection."""
    front = problem.front()
    search = CheapestSearch(len(front))
    while search.next is not None:
        part = progress.part(search.done / search.tries, (search.done + 1) / search.tries)
        search.record(measured.drop(front[search.next], part) <= largest + LOSS_ROUNDING)
    if search.found is None:
        raise SettingError.of_field(
            "max_loss", f"is {100 * largest:g} %: with the most bits that the constraints allow, the metric loses more"
        )
    return front[search.found]
