"""``qatviz drift`` and ``qatviz channels``: where the error of a recorded run comes from, by layer and by channel."""

import argparse
import json
from typing import Any, Callable, List

from qatviz.analysis.channels import SCREENED, RunChannels, Screened
from qatviz.analysis.drift import PARTS, DriftQuestion, LayerDrift, RunDrift
from qatviz.analysis.verdict import LEVEL_NAMES
from qatviz.cli.messages import FAILED, OK, Activities, print_notice, print_output
from qatviz.cli.recorded_run import add_checkpoint, add_checkpoint_and_data, add_recorded_run
from qatviz.cli.tables import table
from qatviz.export.progress import Progress
from qatviz.measures import MEASURES
from qatviz.memory import exit_on_native_shortage
from qatviz.number_format import plain
from qatviz.presentation.drift import drift_title, start_text
from qatviz.presets import PRESETS
from qatviz.session.channels import channels_at
from qatviz.session.drift import drift_of_record
from qatviz.session.record_requests import ChannelsRequest, DriftRequest
from qatviz.training.quiet import keep_tensorflow_quiet

_DRIFT_EXAMPLES = """\
examples:
  qatviz drift runs/a
  qatviz drift runs/a --example 17
  qatviz drift runs/a --examples 1000 --checkpoint best --json

Each layer's output is compared with that of the network in float. Its own error
is what its quantizers add, for the inputs of the network in float. Its
inherited error is that of its inputs in the quantized network, as it passes
through the layer in float. The run and its record do not change.
"""
_CHANNELS_EXAMPLES = """\
examples:
  qatviz channels runs/a
  qatviz channels runs/a --sort range_ratio --json
  qatviz channels model.h5 --preset int4

The weights alone show what is hard to quantize, without data and before the
first training step: a few extreme weights widen the range of all others
(kurtosis), and channels of very different ranges can't share one scale. The run
and its record do not change.
"""


def drift_of_run(options: argparse.Namespace) -> int:
    """Print the drift; errors are those of :func:`qatviz.session.drift.drift_of_record`."""
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    question = DriftQuestion(options.example, options.examples)
    request = DriftRequest(options.directory, options.checkpoint, options.data, question)
    result = drift_of_record(request, print_notice, Progress(Activities().at))
    print_output(json.dumps(result.to_dict(), allow_nan=False) if options.json else _drift_text(result))
    return OK


def channels_of_run(options: argparse.Namespace) -> int:
    """Print the channels; errors are those of :func:`qatviz.session.channels.channels_at`."""
    keep_tensorflow_quiet()
    request = ChannelsRequest(options.path, options.checkpoint, options.preset)
    result = channels_at(request, print_notice)
    if options.sort is not None:
        rows = sorted(result.tensors, key=lambda row: -row.measures[options.sort])
        result = result._replace(tensors=tuple(rows))
    print_output(json.dumps(result.to_dict(), allow_nan=False) if options.json else _channels_text(result))
    return OK


def _drift_text(result: RunDrift) -> str:
    drift = result.drift
    measures = [MEASURES[name].label.lower() for name in ("own_fraction", "cosine")]
    heads = ["layer", "kind", *(f"{part} SQNR (dB)" for part in PARTS), *measures]
    title = f"{drift_title(drift)}, checkpoint {result.checkpoint}"
    return "\n".join(
        [plain(title), table(heads, [_drift_cells(layer) for layer in drift.layers], (0, 1)), plain(start_text(drift))]
    )


def _drift_cells(layer: LayerDrift) -> List[str]:
    parts = [MEASURES["sqnr_db"].plain(getattr(layer, part).sqnr_db) for part in PARTS]
    own, cosine = MEASURES["own_fraction"].plain(layer.own_fraction), MEASURES["cosine"].plain(layer.total.cosine)
    return [layer.layer, layer.kind, *parts, own, cosine]


def _channels_text(result: RunChannels) -> str:
    heads = ["weights", "channels", *(MEASURES[name].label.lower() for name in SCREENED), "level", "verdict"]
    rows = [_channels_cells(row) for row in result.tensors]
    return "\n".join([f"weights of {result.checkpoint}", table(heads, rows, (0, 5, 6))])


def _channels_cells(row: Screened) -> List[str]:
    cells = [MEASURES[name].plain(value) for name, value in row.measures.items()]
    number = str(row.ranges.quantiles.shape[1])
    return [row.ranges.tensor, number, *cells, LEVEL_NAMES[row.verdict.level], row.verdict.text]


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the commands; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "drift",
        drift_of_run,
        "measure in which layers of a recorded run the error of quantization arises",
        epilog=_DRIFT_EXAMPLES,
    )
    add_recorded_run(parser)
    add_checkpoint_and_data(parser)
    examples = parser.add_mutually_exclusive_group()
    examples.add_argument("--example", metavar="N", type=int, help="only the held-out example N, counting from 0")
    examples.add_argument(
        "--examples",
        metavar="N",
        type=int,
        default=DriftQuestion().examples,
        help="the first N held-out examples (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    parser = add(
        "channels",
        channels_of_run,
        "show which weights of a recorded run or a model, and which of their channels, are hard to quantize",
        epilog=_CHANNELS_EXAMPLES,
    )
    parser.add_argument("path", metavar="RUN_OR_MODEL", help="the run's directory, or a Keras model (.keras, .h5, ...)")
    add_checkpoint(parser)
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), help="settings for the verdicts (default: those of the run; tflite-int8)"
    )
    parser.add_argument("--sort", choices=SCREENED, help="sort by this measure, the largest first")
    parser.add_argument("--json", action="store_true", help="print the result, with all channels, as one line of JSON")
