"""``qatviz evaluate``: evaluate a recorded run under other settings, without training."""

import argparse
import json
from typing import Any, Callable

from qatviz.cli.messages import FAILED, OK, Activities, print_notice, print_output
from qatviz.cli.recorded_run import add_checkpoint_and_data, add_recorded_run
from qatviz.cli.tables import further_table, heads_table, output_table, score_cells, table
from qatviz.cli.train_options import add_recipe
from qatviz.export.progress import Progress
from qatviz.memory import exit_on_native_shortage
from qatviz.metric import MODE_NAMES, MODES
from qatviz.option_names import option_name
from qatviz.presentation.event_texts import plain_change
from qatviz.presentation.score_texts import metric_title
from qatviz.presets import PRESETS
from qatviz.protocol.events import FurtherScores
from qatviz.session.changes import CHANGES, parse_change, recipe_changes
from qatviz.session.evaluation import SettingsEvaluation, evaluate
from qatviz.session.more_bits import MORE_BITS, most_useful
from qatviz.session.record_requests import EvaluationRequest
from qatviz.training.quiet import keep_tensorflow_quiet

EXAMPLES = """\
examples:
  qatviz evaluate runs/a --set '*.weights.num_bits=4'
  qatviz evaluate runs/a --preset int4 --set 'conv1.weights.num_bits=8'
  qatviz evaluate runs/a --checkpoint start-00000000
  qatviz evaluate runs/a --more-bits

The settings are those of the checkpoint, then the preset, the recipe, and the
changes in their order. The state adopts them as a run does between two training steps:
ranges of activations stay, those of weights follow the new settings. The run
and its record do not change.
"""


def evaluate_run(options: argparse.Namespace) -> int:
    """Print the result beside the recorded one.

    Errors are those of :func:`qatviz.session.evaluation.evaluate`.
    """
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    request = EvaluationRequest(
        options.directory,
        options.checkpoint,
        options.data,
        options.preset,
        (*recipe_changes(options.recipe), *map(parse_change, options.set)),
        options.more_bits,
    )
    result = evaluate(request, print_notice, Progress(Activities().at))
    print_output(json.dumps(result.to_dict(), allow_nan=False) if options.json else _text(result))
    return OK


def _text(result: SettingsEvaluation) -> str:
    metric, rows = result.metric, []
    if result.recorded is not None:
        rows.append([f"recorded at step {result.recorded['step']:,}", *score_cells(metric, result.recorded)])
    rows.append([f"these settings at step {result.step:,}", *score_cells(metric, result.scores)])
    name = metric_title(metric.name, result.output)
    title = f"{name} on {result.num_examples:,} held-out examples, checkpoint {result.checkpoint}"
    lines = [title, table(["", *(MODE_NAMES[mode] for mode in MODES)], rows)]
    if result.outputs:
        lines += ["", f"{metric.title} by output", output_table(metric, result.outputs)]
    if result.losses:
        scored = (FurtherScores(result.output, metric.name, result.scores), *result.further)
        lines += ["", "outputs", heads_table(scored, result.losses, result.held_out_loss)]
    elif result.further:
        lines += ["", "further metrics", further_table(result.further)]
    if result.more_bits:
        lines += ["", f"{metric.title}, quantized, with {MORE_BITS} bits in", _more_bits(result)]
    return "\n".join([*lines, "", "changes: " + (", ".join(map(plain_change, result.changes)) or "none")])


def _more_bits(result: SettingsEvaluation) -> str:
    """Return the results with more bits as a table, and the changes that help most."""
    metric = result.metric
    rows = [
        [", ".join(row.tensors), metric.plain(row.alone), "" if row.together is None else metric.plain(row.together)]
        for row in result.more_bits
    ]
    text = table(["tensor", "alone", "with those above"], rows)
    before = result.scores["quantized"]
    chosen = most_useful(result.more_bits, metric, before)
    if not chosen:
        return text
    options = " ".join(f"--set {row.tensors[0]}.num_bits={MORE_BITS}" for row in chosen)
    return f"{text}\n\n{options}: {metric.title} {metric.plain(before)} -> {metric.plain(chosen[-1].together)}"


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "evaluate", evaluate_run, "evaluate a recorded run under other settings, without training", epilog=EXAMPLES
    )
    add_recorded_run(parser)
    add_checkpoint_and_data(parser)
    parser.add_argument("--preset", metavar="NAME", help=f"settings of all quantizers: {', '.join(PRESETS)}")
    add_recipe(parser)
    parser.add_argument(
        option_name(CHANGES),
        action="append",
        default=[],
        metavar="PATH=VALUE,...",
        help="change settings; may be repeated",
    )
    parser.add_argument(
        "--more-bits",
        action="store_true",
        help=f"also try {MORE_BITS} bits in each tensor, and in those together that help most",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
