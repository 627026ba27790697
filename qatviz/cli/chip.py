"""``qatviz chip``: memory and time of a run or a network on a microcontroller or a phone core."""

import argparse
import json
import textwrap
from typing import Any, Callable, List

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.analysis.chip.targets import KERNELS, names
from qatviz.cli.listing import shape_of
from qatviz.cli.messages import OK, print_output
from qatviz.cli.tables import table, terminal_width
from qatviz.number_format import bytes_text, duration_text, plain, si
from qatviz.presentation.chip_texts import facts, source_lines, sources_text
from qatviz.presets import PRESETS
from qatviz.session.chip import ChipRequest, chip_estimate, estimate_to_dict
from qatviz.training.quiet import keep_tensorflow_quiet

EXAMPLES = """\
examples:
  qatviz chip runs/a
  qatviz chip runs/a --chip cortex-m4 --clock 80
  qatviz chip lenet --preset int4 --chip cortex-m55 --json

Nothing is run or written. RAM is the arena of TFLite Micro; cycles are fitted on
published measurements, which --json names.
"""


def chip(options: argparse.Namespace) -> int:
    """Print the estimate; errors are those of :func:`qatviz.session.chip.chip_estimate`."""
    keep_tensorflow_quiet()
    request = ChipRequest(
        options.source,
        options.chip,
        options.kernels,
        options.clock,
        options.checkpoint,
        options.preset,
        shape_of(options.input_shape),
        options.classes,
    )
    found = chip_estimate(request)
    print_output(json.dumps(estimate_to_dict(found), allow_nan=False) if options.json else _text(found))
    return OK


def _text(found: ChipEstimate) -> str:
    rows = [[fact.name, _ascii(fact.value)] for fact in facts(found)]
    sources = [sources_text(found.target), *source_lines(found.target)]
    width = terminal_width()
    return "\n".join(
        [
            _title(found),
            table(["", ""], rows, (0, 1)).lstrip("\n "),
            "",
            table(["layer", "operations", "MACs", "cycles", "time", "buffers in use"], _layers(found), (0, 1)),
            "",
            *(line for text in sources for line in textwrap.wrap(text, width, break_long_words=False)),
        ]
    )


def _title(found: ChipEstimate) -> str:
    example = "" if found.target.chip else f", such as {found.target.example}"
    return _ascii(found.target.label) + example


def _layers(found: ChipEstimate) -> List[List[str]]:
    return [
        [
            layer.layer,
            ", ".join(dict.fromkeys(layer.operations)),
            si(layer.macs),
            plain(si(layer.cycles)),
            _ascii(duration_text(found.target.seconds(layer.cycles))),
            bytes_text(layer.ram) + (" (peak)" if layer.layer == found.peak_layer else ""),
        ]
        for layer in found.layers
    ] + [
        [
            "all",
            "",
            si(found.macs),
            plain(si(found.cycles)),
            _ascii(duration_text(found.seconds)),
            bytes_text(found.ram),
        ]
    ]


def _ascii(text: str) -> str:
    return plain(text).replace("µ", "u").replace("±", "+-").replace("×", "x").replace("≥", ">=")


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose chip, kernels and clock."""
    parser.add_argument(
        "--chip",
        choices=names(),
        default="",
        metavar="NAME",
        help=f"core or measured chip: {', '.join(names())}",
    )
    parser.add_argument(
        "--kernels",
        choices=tuple(KERNELS),
        default="",
        metavar="NAME",
        help=f"library: {', '.join(KERNELS)} (default: the first with estimates for the core)",
    )
    parser.add_argument(
        "--clock", type=float, default=0.0, metavar="MHZ", help="clock (default: that of a common chip with the core)"
    )


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add("chip", chip, "estimate flash, RAM and time of a run or a network on a chip", epilog=EXAMPLES)
    parser.add_argument("source", metavar="RUN_OR_NETWORK", help="a run's directory, a built-in network or a model")
    add_target_options(parser)
    parser.add_argument("--checkpoint", metavar="NAME", help="state of the run (default: the present settings)")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="settings of a network (default: tflite-int8)")
    parser.add_argument(
        "--input-shape", default="28x28x1", metavar="HxWxC", help="examples of a network (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="outputs of it (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
