"""Texts of the further metrics of an evaluation, for window, report and terminal."""

from typing import List, Mapping, Optional, Sequence, Tuple

from qatviz.measures import MEASURES
from qatviz.metric import METRICS, MODE_NAMES, MODES
from qatviz.protocol.events import Evaluated, FurtherScores

#: Name of the weighted sum of the losses of several outputs, and of their plot; heads of the columns of
#: :func:`rows_of_outputs`.
TOTAL, HELD_OUT_LOSS = "total", "Held-out loss"
OUTPUT_HEADS = ("output", "loss", "metric", *(MODE_NAMES[mode] for mode in MODES))
_LOSS = MEASURES["loss"]


def metric_title(metric: str, output: str, is_beginning: bool = False) -> str:
    """Return the name of a metric, with the output that it is of if there are several: ``box: RMSE``.

    ``is_beginning``: at the beginning of a sentence.
    """
    found = METRICS[metric]
    if output:
        return of_output(found.title, output)
    return found.capitalized_title if is_beginning else found.title


def lead_of(metric: str, output: str) -> str:
    """Return the name of a metric before its value, with a space; empty for the accuracy of a single output."""
    return metric_title(metric, output) + " " if output else METRICS[metric].lead


def of_output(text: str, output: str, sign: str = ": ") -> str:
    """Return a text with the output that it is of if there are several: ``box: RMSE``."""
    return f"{output}{sign}{text}" if output else text


def title_of(scored: FurtherScores) -> str:
    """Return the name of a further metric, with the output that it is of if there are several."""
    return metric_title(scored.metric, scored.output)


def mode_texts(metric: str, scores: Mapping[str, float], digits: int = 1) -> List[str]:
    """Return the texts of a metric in each mode: ``float 97.1 %``."""
    return [f"{MODE_NAMES[mode]} {METRICS[metric].text(scores.get(mode), digits)}" for mode in MODES]


def further_lines(further: Sequence[FurtherScores]) -> List[str]:
    """Return a line for each further metric, with its four results, and one for each of its outputs."""
    lines = []
    for item in further:
        lines.append(f"{title_of(item)}: {', '.join(mode_texts(item.metric, item.scores))}")
        lines += METRICS[item.metric].output_lines(item.outputs)
    return lines


def evaluation_lines(evaluated: Evaluated) -> List[str]:
    """Return the lines of an evaluation that follow its first metric: its outputs, further metrics, and losses."""
    lines = METRICS[evaluated.metric].output_lines(evaluated.outputs) + further_lines(evaluated.further)
    if evaluated.losses:
        pairs = ((TOTAL, evaluated.held_out_loss), *evaluated.losses)
        lines.append("held-out loss, quantized: " + ", ".join(f"{name} {_LOSS.cell(loss)}" for name, loss in pairs))
    return lines


def rows_of_outputs(
    scored: Sequence[FurtherScores], losses: Sequence[Tuple[str, float]], total: Optional[float]
) -> List[List[str]]:
    """Return the rows of a table with :data:`OUTPUT_HEADS`: the weighted sum of the losses, then each output.

    Parameters
    ----------
    scored : sequence of FurtherScores
        All metrics, by output; the loss is beside the first one of an output.
    losses : sequence of (str, float)
    total : float or None
    """
    remaining = dict(losses)
    rows = [[TOTAL, _LOSS.cell(total), *[""] * (len(OUTPUT_HEADS) - 2)]]
    for item in scored:
        loss = _LOSS.cell(remaining.pop(item.output)) if item.output in remaining else ""
        metric = METRICS[item.metric]
        rows.append([item.output, loss, metric.title, *(metric.text(item.scores.get(mode)) for mode in MODES)])
    return rows
