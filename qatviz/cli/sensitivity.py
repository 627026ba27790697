"""``qatviz sensitivity``: which tensors of a recorded run tolerate few bits."""

import argparse
import json
from typing import Any, Callable, List

from qatviz.analysis.sensitivity import Measured, MeasuredSensitivity, RunSensitivity, Sensitivity
from qatviz.cli.messages import FAILED, OK, Activities, print_notice, print_output
from qatviz.cli.recorded_run import add_checkpoint_and_data, add_recorded_run
from qatviz.cli.tables import table
from qatviz.export.progress import Progress
from qatviz.measures import MEASURES
from qatviz.memory import exit_on_native_shortage
from qatviz.metric import METRICS
from qatviz.session.record_requests import SensitivityRequest
from qatviz.session.sensitivity import sensitivity_of_record
from qatviz.training.quiet import keep_tensorflow_quiet

_DIVERGENCE = MEASURES["divergence"]
EXAMPLES = """\
examples:
  qatviz sensitivity runs/a
  qatviz sensitivity runs/a --measured
  qatviz sensitivity runs/a --checkpoint best --json

An estimate is the divergence of the outputs, in nats, from those of the network
in float if only this tensor is quantized, with this number of bits and its
other settings as they are. It takes one backward pass. --measured quantizes
each tensor alone, and all but this one, under the settings of the run. The run
and its record do not change.
"""


def sensitivity_of_run(options: argparse.Namespace) -> int:
    """Print the sensitivities; errors are those of :func:`qatviz.session.sensitivity.sensitivity_of_record`."""
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    request = SensitivityRequest(options.directory, options.checkpoint, options.data, options.measured)
    result = sensitivity_of_record(request, print_notice, Progress(Activities().at))
    print_output(json.dumps(result.to_dict(), allow_nan=False) if options.json else _text(result))
    return OK


def _text(result: RunSensitivity) -> str:
    found = result.estimated
    title = f"estimated divergence on {found.examples:,} held-out examples, checkpoint {result.checkpoint}"
    lines = [title, _estimates(found)]
    if result.measured is not None:
        measured = result.measured
        lines += ["", f"measured on {measured.examples:,} held-out examples", _measurements(measured)]
    return "\n".join(lines)


def _estimates(found: Sensitivity) -> str:
    rows = [
        [name, *(_DIVERGENCE.plain(score) for score in scores), _DIVERGENCE.plain(present)]
        for name, scores, present in zip(found.tensors, found.scores, found.present)
    ]
    return table(["tensor", *(f"{width} bits" for width in found.widths), "now"], rows)


def _measurements(found: MeasuredSensitivity) -> str:
    metric = METRICS[found.metric]

    def cells(measured: Measured) -> List[str]:
        return [
            MEASURES["loss"].plain(measured.loss),
            _DIVERGENCE.plain(measured.divergence),
            metric.plain(measured.score),
        ]

    empty = [""] * 3
    rows = [["none (float)", *cells(found.in_float), *empty], ["all", *cells(found.quantized), *empty]]
    rows += [
        [name, *cells(alone), *cells(without)]
        for name, alone, without in zip(found.tensors, found.alone, found.without)
    ]
    heads = ["loss", "divergence", metric.title]
    return table(["quantized", *heads, *(f"all but it:\n{head}" for head in heads)], rows)


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "sensitivity", sensitivity_of_run, "estimate which tensors of a recorded run tolerate few bits", epilog=EXAMPLES
    )
    add_recorded_run(parser)
    add_checkpoint_and_data(parser)
    parser.add_argument(
        "--measured",
        action="store_true",
        help="also measure loss, divergence and metric with only each tensor quantized, and with all but it",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
