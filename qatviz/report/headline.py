"""Result of a run in sentences."""

import math
from typing import Any, Dict, List, Optional, Sequence

from qatviz.analysis.verdict import BAD, GOOD, WARNING
from qatviz.measures import MEASURES
from qatviz.metric import Metric
from qatviz.number_format import bytes_text, count
from qatviz.protocol import events
from qatviz.report.run_data import RunData
from qatviz.report.tensor_rows import TensorRow, sizes

#: Difference of two accuracies, in standard errors, from which it is significant.
_STANDARD_ERRORS = 2.0
#: The same for a metric without a known standard error, relative to the metric in float.
_SMALL_FRACTION = 0.01
#: Maximum number of tensors listed below the verdict.
_MAX_LISTED = 6


def state(run: RunData) -> str:
    """Return the number of steps done and whether, and how, the run ended."""
    outcome, steps = run.outcome, steps_done(run)
    if outcome.ending == "finished":
        return f"{steps}: finished"
    if outcome.ending == "failed":
        failure = [h.event for h in run.log if isinstance(h.event, events.Failed)]
        return f"{steps}: failed{': ' + failure[-1].message if failure else ''}"
    if outcome.ending:
        return f"{steps}: {outcome.ending}"
    return f"{steps}; still running, or interrupted"


def steps_done(run: RunData) -> str:
    """Return the number of steps done, and that of the planned steps if it differs."""
    steps = count(run.outcome.step, "step")
    return steps if run.total_steps in (None, run.outcome.step) else f"{steps} of {run.total_steps:,}"


def sentences(run: RunData, rows: Sequence[TensorRow]) -> List[str]:
    """Return the verdict: cost of quantization by weights and activations, state of the tensors, size."""
    verdict: List[str] = []
    if run.outcome.evaluations:
        verdict += _cost(run.outcome.evaluations[-1], run.metric, run.num_examples, run.outcome.step)
    else:
        verdict.append("Not evaluated on held-out data yet: the cost of quantization is unknown.")
    verdict.append(_tensors(rows))
    verdict += _size(rows)
    return verdict


def _cost(scores: Dict[str, Any], metric: Metric, num_examples: int, step: int) -> List[str]:
    in_float, quantized = scores["float"], scores["quantized"]
    if not all(map(math.isfinite, (in_float, quantized))):
        return [f"The {metric.title} is not finite: training has diverged."]
    cost = _degradation(in_float, quantized, metric)
    significant = _significant_degradation(in_float, quantized, metric, num_examples)
    facts = f"{metric.text(quantized)} quantized, {metric.text(in_float)} in float"
    on = f" on {count(num_examples, 'held-out example')}" if num_examples else ""
    when = "" if scores["step"] == step else f" at step {scores['step']:,}, the last evaluation"
    where = f"{metric.title} ({facts}{on}{when})"
    if abs(cost) <= significant:
        return [f"Quantization costs no {where}{': the difference is not significant' if cost else ''}."]
    if cost < 0:
        return [
            f"The quantized network is better than the float one by {_amount(-cost, metric)} of {where}.",
            "Training with quantization optimizes the quantized network, not the float one.",
        ]
    return [f"Quantization costs {_amount(cost, metric)} of {where}.", *_by_kind(scores, metric, significant)]


def _by_kind(scores: Dict[str, Any], metric: Metric, significant: float) -> List[str]:
    """Return the cost with only the weights and with only the activations quantized."""
    modes = ("weights_only", "activations_only")
    weights, activations = (_degradation(scores["float"], scores[mode], metric) for mode in modes)
    if not math.isfinite(weights) or not math.isfinite(activations):
        return []
    if max(weights, activations) <= significant:
        return [
            "Neither weights alone nor activations alone have a significant cost when quantized, only both together."
        ]
    one, other = ("weights", "activations") if weights >= activations else ("activations", "weights")
    return [
        f"Compared with float, {one} only: {_signed(max(weights, activations), metric)}; {other} only: "
        f"{_signed(min(weights, activations), metric)}."
    ]


def _degradation(in_float: float, quantized: float, metric: Metric) -> float:
    """Return the amount by which the metric is worse quantized than in float; negative if it is better."""
    return in_float - quantized if metric.higher_is_better else quantized - in_float


def _significant_degradation(in_float: float, quantized: float, metric: Metric, num_examples: int) -> float:
    """Return the smallest significant degradation.

    For accuracies, it is a multiple of the standard error of the difference of two independent samples: an upper bound,
    as both accuracies are measured on the same examples.
    """
    if not metric.is_fraction or not num_examples:
        return _SMALL_FRACTION * abs(in_float)
    variance = sum(accuracy * (1 - accuracy) / num_examples for accuracy in (in_float, quantized))
    return _STANDARD_ERRORS * math.sqrt(max(variance, 0.0))


def _amount(difference: float, metric: Metric) -> str:
    return f"{100 * difference:.1f} percentage points" if metric.is_fraction else metric.text(difference)


def _signed(degradation: float, metric: Metric) -> str:
    """Return a degradation as text, such as "0.5 percentage points worse"."""
    if abs(degradation) <= 1e-9:
        return "no difference"
    return f"{_amount(abs(degradation), metric)} {'worse' if degradation > 0 else 'better'}"


def _tensors(rows: Sequence[TensorRow]) -> str:
    """Return the numbers of tensors by verdict."""
    if not any(row.is_measured for row in rows):
        return "No histograms yet: there are no verdicts on the tensors."
    quantized = [row for row in rows if row.is_active]
    if not quantized:
        return "No tensor is quantized."
    found = {level: sum(row.verdict.level == level for row in quantized) for level in (GOOD, WARNING, BAD)}
    parts = [f"{found[GOOD]} good"]
    parts += [count(found[WARNING], "warning")] if found[WARNING] else []
    parts += [f"{found[BAD]} bad"] if found[BAD] else []
    in_float = len(rows) - len(quantized)
    rest = f"; {in_float} in float" if in_float else ""
    return f"{count(len(quantized), 'quantized tensor')}: {', '.join(parts)}{rest}."


def _size(rows: Sequence[TensorRow]) -> List[str]:
    """Return the size of the weights, compared with float32."""
    now, in_float, mean_bits = sizes(rows)
    if not in_float:
        return []
    bits = MEASURES["num_bits"].text(mean_bits)
    return [f"The weights take {bytes_text(now)} instead of {bytes_text(in_float)} in float32 ({bits} per weight)."]


def worst(rows: Sequence[TensorRow]) -> List[TensorRow]:
    """Return the tensors with warnings or bad verdicts, the worst first, at most `_MAX_LISTED`."""
    found = [row for row in rows if row.verdict.level > GOOD]
    return sorted(found, key=lambda row: -row.verdict.level)[:_MAX_LISTED]


def more_than_shown(rows: Sequence[TensorRow]) -> Optional[str]:
    """Return a text on further tensors that `worst` does not return; None if there are none."""
    more = sum(row.verdict.level > GOOD for row in rows) - _MAX_LISTED
    return f"and {more} more" if more > 0 else None
