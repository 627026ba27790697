"""``qatviz predictions``: what a recorded run predicts for its held-out examples in float and quantized."""

import argparse
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from qatviz.analysis.predictions import (
    Comparison,
    OutputPredictions,
    RunPredictions,
    compare,
    confusion_of,
    group_scores,
    members_of,
    ordered,
    scores,
)
from qatviz.atomic_files import write_file
from qatviz.cli.messages import FAILED, OK, Activities, print_notice, print_output
from qatviz.cli.recorded_run import add_checkpoint, add_data_path, add_recorded_run
from qatviz.cli.tables import table
from qatviz.data import Dataset
from qatviz.errors import ExportError, SettingError
from qatviz.export.progress import Progress
from qatviz.memory import exit_on_native_shortage
from qatviz.name_lookup import index_of
from qatviz.number_format import finite, names_text, plain
from qatviz.presentation.csv_text import csv_text
from qatviz.presentation.prediction_texts import (
    column_heads,
    examples_table,
    flipped_word,
    group_cells,
    group_heads,
    group_name,
    metric_of_scores,
    summary_text,
)
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.predictions import predictions_of, recorded_spec
from qatviz.session.record_requests import PredictionsRequest
from qatviz.task import REGRESSION
from qatviz.telemetry.record.own_files import refusal_to_replace
from qatviz.training.quiet import keep_tensorflow_quiet

#: Number of examples, and of classes, in the tables of the terminal; JSON and CSV have all.
PRINTED = 20
EXAMPLES = """\
examples:
  qatviz predictions runs/a
  qatviz predictions runs/a --flipped --class cat
  qatviz predictions runs/a --step 2000 --flipped --csv flipped.csv
  qatviz predictions runs/a --checkpoint best --json

Examples are sorted by the margin that they lose when the network is quantized,
the largest first. The margin is the logit of the right class minus the largest
other logit; of several labels the smallest one; of a regression, minus the root
mean squared error of the example; of masks, the fraction of correct pixels
minus that of wrong ones. Flipped examples have another prediction when
quantized; of a regression, a larger error. The run and its record do not change.
"""


def predictions_of_run(options: argparse.Namespace) -> int:
    """Print the predictions; errors are those of :func:`qatviz.session.predictions.recorded_spec`.

    Raises
    ------
    SettingError
        If there is no such output or class.
    ExportError
        If the CSV file can't be written.
    """
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    if options.csv is not None:
        _check_free(options.csv)
    request = PredictionsRequest(options.directory, options.checkpoint, options.data, options.step)
    spec = recorded_spec(request, print_notice)
    chosen_outputs = _chosen_outputs(spec, options.output)
    groups = [_group_index(spec.dataset.heads[index], options.group) for index in chosen_outputs]
    result = predictions_of(spec, progress=Progress(Activities().at))
    outputs = [result.found.outputs[index] for index in chosen_outputs]
    chosen = [_Chosen(found, options.flipped, group) for found, group in zip(outputs, groups)]
    if options.csv is not None:
        _write(options.csv, chosen)
    if options.json:
        print_output(json.dumps(_to_dict(result, chosen), allow_nan=False))
    else:
        print_output("\n\n".join(_text(result, each) for each in chosen))
    return OK


class _Chosen:
    """Comparison of one output with the chosen examples, by lost margin."""

    def __init__(self, found: OutputPredictions, only_flipped: bool, group: Optional[int]):
        self.found = found
        self.comparison: Optional[Comparison] = None
        self.indices: List[int] = []
        if not found.refusal:
            self.comparison = compare(found)
            members = None if group is None else members_of(found, group)
            self.indices = ordered(self.comparison, only_flipped, members).tolist()

    def examples(self, at_most: Optional[int] = None) -> Dict[str, List[Any]]:
        """Return the chosen examples by column."""
        if self.comparison is None:
            return {}
        return examples_table(self.found, self.comparison, self.indices[:at_most])


def _chosen_outputs(spec: RunSpec, wanted: Optional[str]) -> List[int]:
    """Return the indices of the outputs that are shown."""
    names = spec.network.output_names if spec.dataset.further else ("",)
    if wanted is None:
        return list(range(len(names)))
    index = index_of(wanted, names)
    if index is None:
        known = f"expected one of {names_text(names)}" if len(names) > 1 else "the network has only one: omit it"
        raise SettingError.of_field("output", f"is {wanted!r}: {known}")
    return [index]


def _group_index(data: Dataset, wanted: Optional[str]) -> Optional[int]:
    """Return the index of the chosen class or label of an output; None for all."""
    if wanted is None:
        return None
    if data.task == REGRESSION:
        raise SettingError.of_field("class", f"is {wanted!r}, but a regression has no classes: omit it")
    index = index_of(wanted, data.class_names)
    if index is None:
        raise SettingError.of_field("class", f"is {wanted!r}: expected one of {names_text(data.class_names)}")
    return index


def _text(result: RunPredictions, chosen: _Chosen) -> str:
    found, comparison = chosen.found, chosen.comparison
    output = f"{found.output}: " if found.output else ""
    if comparison is None:
        return f"{output}{found.refusal}"
    title = f"{output}{plain(summary_text(result.found, found, comparison)).replace('→', '->')}"
    lines = [f"{title}, checkpoint {result.checkpoint}"]
    groups = [[plain(cell) for cell in group_cells(found, score)] for score in group_scores(found)]
    heads = [head.lower() for head, _ in column_heads(found.task)]
    lines += ["", table(heads, [[_signed(cell) for cell in row] for row in groups[:PRINTED]])]
    lines += _more(len(groups), group_heads(found.task).many)
    examples = chosen.examples(PRINTED)
    if not chosen.indices:
        return "\n".join([*lines, "", f"no example is {flipped_word(found.task)}"])
    rows = [
        [str(index), *words, *(f"{margin:.4g}" for margin in margins), "yes" if flipped else ""]
        for index, *words, margins, flipped in zip(
            examples["example"],
            examples["target"],
            examples["float"],
            examples["quantized"],
            zip(examples["margin_float"], examples["margin_quantized"], examples["lost_margin"]),
            examples["flipped"],
        )
    ]
    margin_heads = ["margin,\nfloat", "margin,\nquantized", "lost\nmargin"]
    heads = ["example", "target", "float", "quantized", *margin_heads, flipped_word(found.task)]
    lines += ["", table(heads, [list(map(_signed, row)) for row in rows], (0, 1, 2, 3))]
    return "\n".join([*lines, *_more(len(chosen.indices), "examples")])


def _signed(cell: str) -> str:
    return cell.replace("−", "-")


def _more(number: int, nouns: str) -> List[str]:
    return [f"and {number - PRINTED:,} more {nouns}, which --json has"] if number > PRINTED else []


def _to_dict(result: RunPredictions, chosen: List[_Chosen]) -> Dict[str, Any]:
    """Return a JSON-able form; numbers that are not finite become None."""
    found = result.found
    return {
        "checkpoint": result.checkpoint,
        "step": found.step,
        "examples": found.examples,
        "held_out": found.held_out,
        "outputs": [_output_row(each) for each in chosen],
    }


def _output_row(chosen: _Chosen) -> Dict[str, Any]:
    found, comparison = chosen.found, chosen.comparison
    row: Dict[str, Any] = {"output": found.output, "task": found.task}
    if comparison is None:
        return {**row, "refusal": found.refusal}
    metric, (before, after) = metric_of_scores(found.task), scores(found)
    matrix = confusion_of(found)
    examples = chosen.examples()
    flipped = comparison.effect[comparison.flipped]
    return {
        **row,
        "metric": metric.name,
        metric.name: {"float": finite(before), "quantized": finite(after)},
        "flipped": int(comparison.flipped.sum()),
        "lost": int((flipped < 0).sum()),
        "won": int((flipped > 0).sum()),
        "groups": [
            {
                "name": group_name(found, score.group),
                "number": score.number,
                "float": finite(score.in_float),
                "quantized": finite(score.quantized),
                "lost": finite(score.lost),
            }
            for score in group_scores(found)
        ],
        "confusion": None
        if matrix is None
        else {"float": matrix.in_float.tolist(), "quantized": matrix.quantized.tolist()},
        "samples": [
            {name: finite(value) if isinstance(value, float) else value for name, value in zip(examples, values)}
            for values in zip(*examples.values())
        ],
    }


def _check_free(path: str) -> None:
    refusal = refusal_to_replace(Path(path))
    if refusal is not None:
        raise ExportError(f"{path}: {refusal}")


def _write(path: str, chosen: List[_Chosen]) -> None:
    """Write the chosen examples of all outputs as CSV, with a column for the output if there are several."""
    columns: Dict[str, List[Any]] = {}
    for each in chosen:
        examples = each.examples()
        if len(chosen) > 1:
            examples = {"output": [each.found.output] * len(each.indices), **examples}
        for name, values in examples.items():
            columns.setdefault(name, []).extend(values)
    try:
        write_file(path, csv_text(columns).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ExportError(f"{path}: can't be written: {error.strerror or error}") from error


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "predictions",
        predictions_of_run,
        "compare what a recorded run predicts in float and quantized",
        epilog=EXAMPLES,
    )
    add_recorded_run(parser)
    state = parser.add_mutually_exclusive_group()
    add_checkpoint(state)
    state.add_argument("--step", type=int, metavar="N", help="use the checkpoint of this step")
    add_data_path(parser)
    parser.add_argument("--output", metavar="NAME", help="output of a network with several (default: all)")
    parser.add_argument("--flipped", action="store_true", help="only examples whose prediction flips")
    parser.add_argument("--class", dest="group", metavar="NAME", help="only examples of this class, or with this label")
    parser.add_argument("--csv", metavar="FILE", help="also write the examples to this file")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
