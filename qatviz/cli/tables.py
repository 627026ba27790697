"""Text tables that fit the width of a terminal, and are as wide as they need to be in a pipe or a file."""

import math
import os
import shutil
import sys
import textwrap
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from qatviz.measures import CODE_MEASURES, ERROR_MEASURES, GRID_MEASURES, MEASURES
from qatviz.metric import METRICS, MODE_NAMES, MODES, Metric
from qatviz.number_format import plain
from qatviz.presentation.run_table import BY_KEY, cell_text
from qatviz.presentation.score_texts import OUTPUT_HEADS, rows_of_outputs, title_of
from qatviz.protocol.events import FurtherScores
from qatviz.settings import CODED_MAPS, NO_MAP
from qatviz.telemetry.run_summary import RunSummary
from qatviz.text_columns import aligned

#: Number of columns if the terminal's width is unknown.
DEFAULT_WIDTH = 80
#: Smallest width of a wrapped column.
_LEAST_WRAPPED = 20
#: Headers are broken into lines of this many characters.
_HEAD_WIDTH = 7
#: Measures in the columns of the table of tensors.
COLUMNS = (*GRID_MEASURES, *ERROR_MEASURES, *CODE_MEASURES)
#: Letters in the column "grid", by the setting that is on.
_FLAGS = (("s", "symmetric"), ("n", "narrow_range"), ("c", "per_channel"), ("p", "power_of_two"))
#: Settings that a map which chooses the codes determines.
_OF_MAPS = ("symmetric", "narrow_range")
_LEGEND = (
    "w weights, a activations; grid: s symmetric, n narrow range, c per channel, p power-of-two scale; scale and zero "
    "point: of the coarsest channel; RMSE/scale: 0.289 if the whole error is rounding; clipped: values beyond the "
    "representable range; rounded to zero: of the nonzero values; eff. bits: bits of information"
)


def terminal_width() -> int:
    """Return the columns of the terminal, or ``COLUMNS``; `DEFAULT_WIDTH` if unknown."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns


def table_width() -> float:
    """Return the columns for a table: those of the terminal or ``COLUMNS``, unlimited in a pipe or a file."""
    return terminal_width() if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else math.inf


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), width: Optional[float] = None
) -> str:
    """Return rows of text in columns, those in ``left`` left-aligned, others right-aligned.

    ``width`` is that of :func:`table_width` by default. Headers may have line breaks. If the columns exceed ``width``,
    the gaps are reduced; then the last column is wrapped if it is left-aligned, otherwise the first is truncated
    (``stack1_co..``).
    """
    width = table_width() if width is None else width
    heads = _head_lines(head)
    sizes = [max(len(row[column]) for row in [*heads, *rows]) for column in range(len(head))]
    gap = "  " if sum(sizes) + 2 * (len(sizes) - 1) <= width else " "
    too_much = int(max(sum(sizes) + len(gap) * (len(sizes) - 1) - width, 0))
    last = len(head) - 1
    if last in left:
        sizes[last] = max(sizes[last] - too_much, min(sizes[last], _LEAST_WRAPPED))
    else:
        sizes[0] = max(sizes[0] - too_much, *(len(line[0]) for line in heads))
    lines = list(heads)
    for row in rows:
        cells = [_cut(row[0], sizes[0]), *row[1:]] if last else list(row)
        wrapped = [cells[last]]
        if last in left and cells[last]:
            wrapped = textwrap.wrap(cells[last], sizes[last], break_on_hyphens=False)
        lines.append(cells[:last] + wrapped[:1])
        lines += [[""] * last + [part] for part in wrapped[1:]]
    return "\n".join(aligned(lines, left, sizes, gap))


def runs_table(runs: Sequence[RunSummary], keys: Sequence[str]) -> str:
    """Return a table of recorded runs with the columns ``keys`` of :data:`qatviz.presentation.run_table.COLUMNS`."""
    columns = [BY_KEY[key] for key in keys]
    rows = [[plain(cell_text(column, run)) for column in columns] for run in runs]
    left = [index for index, column in enumerate(columns) if column.is_left]
    return table([column.title.lower() for column in columns], rows, left)


def ascii_text(text: str) -> str:
    """Return the text of a number or a difference in ASCII."""
    return plain(text).replace("−", "-").replace("±", "+-")


def tensor_table(tensors: Sequence[Dict[str, Any]], width: Optional[int] = None) -> str:
    """Return the rows of :meth:`Outcome.tensors` as a table with its legend."""
    rows = [_tensor_row(tensor) for tensor in tensors]
    prose = terminal_width() if width is None else width
    head = ("tensor", "", "bits", "grid", *map(_measure_head, COLUMNS))
    return table(head, rows, (0, 1, 3), width) + "\n" + textwrap.fill(_LEGEND, max(prose, _LEAST_WRAPPED))


def score_table(metric: Metric, evaluations: Sequence[Dict[str, Any]], width: Optional[int] = None) -> str:
    """Return a table of the four results of each evaluation."""
    head = ["step"] + [MODE_NAMES[mode] for mode in MODES]
    rows = [[str(row["step"]), *score_cells(metric, row)] for row in evaluations]
    return table(head, rows, (), width)


def output_table(metric: Metric, outputs: Sequence[Sequence[float]]) -> str:
    """Return a table of the four results by number to predict, or label."""
    return table(["output", *(MODE_NAMES[mode] for mode in MODES)], metric.output_rows(outputs), (0,))


def further_table(further: Sequence[FurtherScores]) -> str:
    """Return a table of the four results by further metrics."""
    rows = [[title_of(item), *score_cells(METRICS[item.metric], item.scores)] for item in further]
    return table(["", *(MODE_NAMES[mode] for mode in MODES)], rows, (0,))


def heads_table(scored: Sequence[FurtherScores], losses: Sequence[Tuple[str, float]], total: Optional[float]) -> str:
    """Return a table of loss and metric of several outputs.

    The parameters are those of :func:`qatviz.presentation.score_texts.rows_of_outputs`.
    """
    rows = [list(map(plain, row)) for row in rows_of_outputs(scored, losses, total)]
    return table(OUTPUT_HEADS, rows, (0, 2))


def score_cells(metric: Metric, scores: Mapping[str, Any]) -> List[str]:
    """Return the texts of the four results of an evaluation."""
    return [metric.plain(scores.get(mode)) for mode in MODES]


def shape(sizes: Sequence[int]) -> str:
    """Return a shape as text: ``28x28x1``."""
    return "x".join(map(str, sizes))


def _head_lines(head: Sequence[str]) -> List[List[str]]:
    """Return the lines of headers that have line breaks; the last line has text in every column."""
    columns = [name.split("\n") for name in head]
    count = max(map(len, columns))
    return [list(line) for line in zip(*([""] * (count - len(column)) + column for column in columns))]


def _measure_head(key: str) -> str:
    """Return the header of a measure in narrow lines, in lower case but for abbreviations."""
    header = MEASURES[key].short_header
    header = header if header[1].isupper() else header[0].lower() + header[1:]
    return "\n".join(textwrap.wrap(header.replace("/", "/ "), _HEAD_WIDTH, break_long_words=False))


def _tensor_row(tensor: Dict[str, Any]) -> List[str]:
    layer, _, kind = tensor["name"].rpartition(".")
    if not tensor["enabled"]:
        return [layer, kind[0], "float"] + [""] * (1 + len(COLUMNS))
    weight_map = tensor["weight_map"]
    chosen = [flag for flag in _FLAGS if weight_map not in CODED_MAPS or flag[1] not in _OF_MAPS]
    letters = "".join(letter for letter, name in chosen if tensor[name])
    grid = " ".join(filter(None, ("" if weight_map == NO_MAP else weight_map, letters)))
    texts = [MEASURES[key].plain(_value(tensor, key)) for key in COLUMNS]
    return [layer, kind[0], str(tensor["num_bits"]), grid, *texts]


def _value(tensor: Dict[str, Any], key: str) -> Optional[float]:
    """Return a measure from a JSON row; the SQNR of an exact tensor, which JSON can't represent, is infinite."""
    if key == "sqnr_db" and tensor[key] is None and tensor["mse"] == 0 and (tensor["used_codes"] or 0) > 1:
        return math.inf
    value: Optional[float] = tensor[key]
    return value


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(size - 2, 0)] + ".."[:size]
