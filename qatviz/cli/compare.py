"""``qatviz compare``: compare recorded runs, as text, JSON or one HTML file."""

import argparse
import json
from typing import Any, Callable, Dict, List, Optional, Sequence

from qatviz.analysis.comparison import (
    CURVES,
    STEPS,
    Comparison,
    MeasureRow,
    aligned_curve,
    measure_rows,
    setting_rows,
    tensor_rows,
)
from qatviz.analysis.paired import effects_on_first
from qatviz.cli.messages import OK, print_output
from qatviz.cli.runs import SHOWN
from qatviz.cli.tables import ascii_text, runs_table, table
from qatviz.number_format import bytes_text, plain
from qatviz.presentation.comparison import effect_text
from qatviz.session.comparison import read_comparison

#: Number of points of each curve in JSON.
_POINTS = 200


def compare(options: argparse.Namespace) -> int:
    """Compare recorded runs.

    Raises
    ------
    RecordError
        If a record can't be read.
    SettingError
        If there are too many runs.
    ExportError
        If the HTML file can't be written.
    """
    comparison = read_comparison(options.directories)
    if options.html is not None:
        from qatviz.report.comparison_page import write_comparison  # slow to import

        written = write_comparison(comparison, options.html)
        if not options.json:
            print_output(f"{written.path}: {len(comparison.runs)} runs, {bytes_text(written.nbytes)}")
            return OK
    print_output(json.dumps(_to_dict(comparison), allow_nan=False) if options.json else _text(comparison))
    return OK


def _text(comparison: Comparison) -> str:
    names = list(comparison.names)
    settings = [[row.path, *map(plain, row.texts)] for row in setting_rows(comparison)]
    differing = table(["setting", *names], settings, range(len(names) + 1)) if settings else "none"
    sections = [
        runs_table([run.summary for run in comparison.runs], SHOWN),
        "settings that differ\n" + differing,
        "measures, with differences to the first run\n" + _measures("measure", names, measure_rows(comparison)),
    ]
    tensors = tensor_rows(comparison)
    if tensors:
        sections.append("SQNR by tensor, with differences to the first run\n" + _measures("tensor", names, tensors))
    effects = [
        ascii_text(effect_text(effect, "loss", name, names[0]))
        for name, effect in zip(names, effects_on_first(comparison))
        if effect is not None
    ]
    if effects:
        sections.append("\n".join(["losses on the same batches", *effects]))
    several = [members for members in comparison.groups if len(members) > 1]
    for members in several:
        sections.append(f"{comparison.group_name(members)}: {', '.join(names[index] for index in members)}")
    return "\n\n".join(sections)


def _measures(title: str, names: Sequence[str], rows: Sequence[MeasureRow]) -> str:
    cells = [
        [
            row.title,
            *(
                ascii_text(text + (f" ({change})" if change else ""))
                for text, change in zip(row.texts, row.differences)
            ),
        ]
        for row in rows
    ]
    return table([title, *names], cells)


def _to_dict(comparison: Comparison) -> Dict[str, Any]:
    """Return the JSON-able form."""
    return {
        "runs": [
            dict(run.summary.to_dict(), shown_name=name, best=run.best, first_step=run.first_step)
            for run, name in zip(comparison.runs, comparison.names)
        ],
        "groups": [
            {"name": comparison.group_name(members), "runs": list(members), "curves": _curves(comparison, members)}
            for members in comparison.groups
        ],
        "settings": [{"setting": row.path, "values": list(row.texts)} for row in setting_rows(comparison)],
        "measures": _rows(measure_rows(comparison)),
        "loss_differences": [None if effect is None else effect.to_dict() for effect in effects_on_first(comparison)],
        "sqnr_db": _rows(tensor_rows(comparison)),
    }


def _rows(rows: Sequence[MeasureRow]) -> List[Dict[str, Any]]:
    return [{"measure": row.key, "title": row.title, "values": list(row.values)} for row in rows]


def _curves(comparison: Comparison, members: Sequence[int]) -> Dict[str, Optional[Dict[str, List[float]]]]:
    """Return the curves of a group by step: means and extremes over its runs."""
    runs = [comparison.runs[index] for index in members]
    found: Dict[str, Optional[Dict[str, List[float]]]] = {}
    for key in CURVES:
        curve = aligned_curve(runs, key, STEPS, _POINTS)
        parts = None if curve is None else dict(zip(("step", "mean", "low", "high"), curve))
        found[key] = None if parts is None else {name: part.tolist() for name, part in parts.items()}
    return found


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add("compare", compare, "compare recorded runs: settings that differ, measures, curves")
    parser.add_argument("directories", nargs="+", metavar="RUN", help="directory of a run")
    parser.add_argument("--html", metavar="FILE", help="write curves, tables and distributions as one HTML file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead, with curves")
