"""Texts of the further metrics of an evaluation, for window, report and terminal."""

from typing import List, Mapping, Sequence

from qatviz.metric import METRICS, MODE_NAMES, MODES
from qatviz.protocol.events import Evaluated, FurtherScores


def metric_title(metric: str, output: str, is_beginning: bool = False) -> str:
    """Return the name of a metric, with the output that it is of if there are several: ``box: RMSE``.

    ``is_beginning``: at the beginning of a sentence.
    """
    found = METRICS[metric]
    if output:
        return f"{output}: {found.title}"
    return found.capitalized_title if is_beginning else found.title


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
    """Return the lines of an evaluation that follow its first metric: its outputs, and further metrics."""
    return METRICS[evaluated.metric].output_lines(evaluated.outputs) + further_lines(evaluated.further)
