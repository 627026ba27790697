"""Tables of text that fit a terminal."""

import shutil
import textwrap
from typing import Any, Dict, List, Optional, Sequence

from qatviz.metric import WAYS, Metric

#: Columns where the terminal does not tell.
DEFAULT_WIDTH = 80
#: A wrapped column is at least this wide, however narrow the terminal is.
_LEAST_WRAPPED = 20
_LEGEND = (
    "w weights, a activations; grid: s symmetric, n narrow range, c per channel, p power of two; scale, zero: "
    "of the coarsest channel; rmse/s: 0.289 where all of the error is rounding; clip, zeroed: % of the values; "
    "eff: bits of information"
)
_COLUMNS = ("tensor", "", "bits", "grid", "scale", "zero", "SQNR", "rmse/s", "clip", "zeroed", "codes", "eff")


def terminal_width() -> int:
    """Columns of the terminal, or of ``COLUMNS``; `DEFAULT_WIDTH` where there is none."""
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), width: Optional[int] = None
) -> str:
    """Rows of text in columns, those in ``left`` flush left, the others flush right.

    Where ``width`` columns are not enough, columns stand closer; then the last one is wrapped if it is flush left, else
    the first is cut (``stack1_co..``).
    """
    width = terminal_width() if width is None else width
    sizes = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    gap = "  " if sum(sizes) + 2 * (len(sizes) - 1) <= width else " "
    too_much = sum(sizes) + len(gap) * (len(sizes) - 1) - width
    last = len(head) - 1
    if last in left:
        sizes[last] = max(sizes[last] - max(too_much, 0), _LEAST_WRAPPED)
    else:
        sizes[0] = max(sizes[0] - max(too_much, 0), len(head[0]))
    lines = []
    for row in [head, *rows]:
        cells = [_cut(row[0], sizes[0]), *row[1:]] if last else list(row)
        wrapped = [cells[last]]
        if last in left and cells[last]:
            wrapped = textwrap.wrap(cells[last], sizes[last], break_on_hyphens=False)
        lines.append(_line(cells[:last] + wrapped[:1], sizes, left, gap))
        lines += [_line([""] * last + [part], sizes, left, gap) for part in wrapped[1:]]
    return "\n".join(lines)


def tensor_table(tensors: Sequence[Dict[str, Any]], width: Optional[int] = None) -> str:
    """The rows of :meth:`Outcome.tensors` as a table with its legend."""
    rows = [_tensor_row(tensor) for tensor in tensors]
    width = terminal_width() if width is None else width
    return table(_COLUMNS, rows, (0, 1, 3), width) + "\n" + textwrap.fill(_LEGEND, max(width, _LEAST_WRAPPED))


def score_table(metric: Metric, evaluations: Sequence[Dict[str, Any]], width: Optional[int] = None) -> str:
    """The metric four ways, a line for each evaluation."""
    head = ["step"] + [way.replace("_", " ") for way in WAYS]
    rows = [[str(row["step"])] + [metric.text(row.get(way)) for way in WAYS] for row in evaluations]
    return table(head, rows, (), width)


def shape(sizes: Sequence[int]) -> str:
    """``28x28x1``"""
    return "x".join(map(str, sizes))


def _tensor_row(tensor: Dict[str, Any]) -> List[str]:
    layer, _, kind = tensor["name"].rpartition(".")
    if not tensor["enabled"]:
        return [layer, kind[0], "float"] + [""] * (len(_COLUMNS) - 3)
    grid = "".join(
        letter
        for letter, name in (("s", "symmetric"), ("n", "narrow_range"), ("c", "per_channel"), ("p", "power_of_two"))
        if tensor[name]
    )
    return [
        layer,
        kind[0],
        str(tensor["num_bits"]),
        grid,
        _number("{:.3g}", tensor["scale"]),
        _number("{:.0f}", tensor["zero_point"]),
        _number("{:.1f}", tensor["sqnr_db"]),
        _number("{:.3f}", tensor["rmse_over_scale"]),
        _number("{:.1f}", tensor["clipped"], 100),
        _number("{:.1f}", tensor["flushed"], 100),
        _number("{:.0f}", tensor["used_codes"]),
        _number("{:.2f}", tensor["effective_bits"]),
    ]


def _number(pattern: str, number: Optional[float], factor: float = 1.0) -> str:
    return "-" if number is None else pattern.format(number * factor)


def _line(cells: Sequence[str], sizes: Sequence[int], left: Sequence[int], gap: str) -> str:
    return gap.join(
        cell.ljust(size) if column in left else cell.rjust(size)
        for column, (cell, size) in enumerate(zip(cells, sizes))
    ).rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: max(size - 2, 0)] + ".."[:size]
