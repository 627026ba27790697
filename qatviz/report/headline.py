"""What a run came to, in plain words."""

import math
from typing import Any, Dict, List, Optional, Sequence

from qatviz.analysis.verdict import BAD, GOOD, WARNING
from qatviz.measures import MEASURES
from qatviz.metric import Metric
from qatviz.number_format import bytes_text, count
from qatviz.protocol import events
from qatviz.report.run_data import RunData
from qatviz.report.tensor_rows import TensorRow, sizes

#: Standard errors that a difference of two shares must have to be told from chance.
_STANDARD_ERRORS = 2.0
#: Of a metric without a known spread: a smaller part of its value is called nothing.
_SMALL_PART = 0.01


def state(run: RunData) -> str:
    """How far the run is, and whether it goes on."""
    outcome = run.outcome
    steps = count(outcome.step, "step")
    of = "" if run.total_steps is None or run.total_steps == outcome.step else f" of {run.total_steps:,}"
    if outcome.ending == "finished":
        return f"{steps}{of}: finished"
    if outcome.ending == "failed":
        failure = [h.event for h in run.log if isinstance(h.event, events.Failed)]
        return f"{steps}{of}: failed{': ' + failure[-1].message if failure else ''}"
    if outcome.ending:
        return f"{steps}{of}: {outcome.ending}"
    return f"{steps}{of}; it has not ended: it goes on, or was cut off"


def sentences(run: RunData, rows: Sequence[TensorRow]) -> List[str]:
    """The verdict: what quantization costs, on which side, how the tensors are, what is saved."""
    told = []
    if run.outcome.evaluations:
        told += _cost(run.outcome.evaluations[-1], run.metric, run.num_examples, run.outcome.step)
    else:
        told.append("It was not evaluated on held-out data yet, so what quantization costs is not known.")
    told.append(_tensors(rows))
    told += _saved(rows)
    return told


def _cost(scores: Dict[str, Any], metric: Metric, num_examples: int, step: int) -> List[str]:
    in_float, quantized = scores["float"], scores["quantized"]
    if not all(map(math.isfinite, (in_float, quantized))):
        return [f"Its {metric.title} is not finite: training has diverged."]
    loss = _loss(in_float, quantized, metric)
    noise = _noise(in_float, quantized, metric, num_examples)
    facts = f"{metric.text(quantized)} quantized, {metric.text(in_float)} in float"
    on = f" on {count(num_examples, 'held-out example')}" if num_examples else ""
    when = "" if scores["step"] == step else f" at step {scores['step']:,}, the last evaluation"
    where = f"{metric.title} ({facts}{on}{when})"
    if abs(loss) <= noise:
        return [
            f"Quantization costs no {where}: so small a difference may be chance."
            if loss
            else f"Quantization costs no {where}."
        ]
    if loss < 0:
        return [
            f"Quantized, the network is better: {_amount(-loss, metric)} of {where}.",
            "It was trained with quantization on: what is tuned is the quantized network, and the float one is "
            "only what it comes from.",
        ]
    return [f"Quantization costs {_amount(loss, metric)} of {where}.", *_sides(scores, metric, noise)]


def _sides(scores: Dict[str, Any], metric: Metric, noise: float) -> List[str]:
    """What weights and activations cost alone."""
    weights, activations = (_loss(scores["float"], scores[way], metric) for way in ("weights_only", "activations_only"))
    if not math.isfinite(weights) or not math.isfinite(activations):
        return []
    if max(weights, activations) <= noise:
        return ["Neither the weights alone nor the activations alone cost as much: it is both together."]
    one, other = ("weights", "activations") if weights >= activations else ("activations", "weights")
    return [
        f"With only the {one} quantized it would be {_signed(max(weights, activations), metric)}, with only "
        f"the {other} {_signed(min(weights, activations), metric)}."
    ]


def _loss(in_float: float, quantized: float, metric: Metric) -> float:
    return in_float - quantized if metric.higher_is_better else quantized - in_float


def _noise(in_float: float, quantized: float, metric: Metric, num_examples: int) -> float:
    """Below this a difference says nothing.

    Of two shares: what chance alone does, as if each was measured on examples of its own; on the same it does less.
    """
    if metric.highest != 1.0 or not num_examples:
        return _SMALL_PART * abs(in_float)
    spread = sum(share * (1 - share) / num_examples for share in (in_float, quantized))
    return _STANDARD_ERRORS * math.sqrt(max(spread, 0.0))


def _amount(loss: float, metric: Metric) -> str:
    return f"{100 * loss:.1f} points" if metric.unit == " %" else metric.text(loss)


def _signed(loss: float, metric: Metric) -> str:
    return (
        f"{_amount(abs(loss), metric)} {'worse than in float' if loss > 0 else 'better'}"
        if abs(loss) > 1e-9
        else "as good as in float"
    )


def _tensors(rows: Sequence[TensorRow]) -> str:
    if not any(row.is_measured for row in rows):
        return "There are no histograms yet, so the tensors are not judged."
    quantized = [row for row in rows if row.is_active]
    if not quantized:
        return "No tensor is quantized."
    found = {level: sum(row.verdict.level == level for row in quantized) for level in (GOOD, WARNING, BAD)}
    parts = [f"{found[GOOD]} good"]
    parts += [f"{found[WARNING]} to look at"] if found[WARNING] else []
    parts += [f"{found[BAD]} bad"] if found[BAD] else []
    in_float = len(rows) - len(quantized)
    return "Of {}: {}{}.".format(
        count(len(quantized), "quantized tensor"), ", ".join(parts), f"; {in_float} in float" if in_float else ""
    )


def _saved(rows: Sequence[TensorRow]) -> List[str]:
    now, in_float, mean_bits = sizes(list(rows))
    if not in_float:
        return []
    told = "The weights take {} instead of {} in float32 ({} per weight)."
    return [told.format(bytes_text(now), bytes_text(in_float), MEASURES["num_bits"].text(mean_bits))]


def worst(rows: Sequence[TensorRow], most: int = 6) -> List[TensorRow]:
    """The tensors that want attention, the gravest first."""
    found = [row for row in rows if row.verdict.level > GOOD]
    return sorted(found, key=lambda row: -row.verdict.level)[:most]


def left_out(rows: Sequence[TensorRow], most: int = 6) -> Optional[str]:
    """How many more there are."""
    more = sum(row.verdict.level > GOOD for row in rows) - most
    return f"and {more} more" if more > 0 else None
