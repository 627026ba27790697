"""``qatviz export``: a recorded run as a file that runs elsewhere, and the proof that it computes the same."""

import argparse
import json
from typing import Any, Callable

from qatviz import data
from qatviz.cli.going_on import starting_point
from qatviz.cli.launch import DATA, VALIDATION_FRACTION
from qatviz.cli.messages import FAILED, OK, complain, say
from qatviz.cli.train import keep_tensorflow_quiet
from qatviz.errors import RecordError, SettingError
from qatviz.telemetry.record import RunRecord
from qatviz.training.run_spec import RunSpec

FORMATS = ("tflite",)


def export(options: argparse.Namespace) -> int:
    """Write the files and print the proof; it fails where an operation does not compute what it should.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint to export.
    ExportError
        If the format can't hold it, or the files can't be written.
    """
    if options.verify is not None and options.verify < 1:
        raise SettingError("--verify is {}: expected a whole number of at least 1".format(options.verify))
    keep_tensorflow_quiet()
    reader = RunRecord.read(options.directory)
    description = reader.description
    source = options.data or description.get("data", DATA)
    dataset = data.load(source, description.get("validation_fraction", VALIDATION_FRACTION))
    spec = RunSpec.from_description(description, dataset)
    moment, _ = starting_point(reader, spec.book, options.checkpoint)
    if moment is None:
        raise RecordError("{}: has no checkpoint yet: there is nothing to export".format(reader.directory))
    say("exporting checkpoint {} (step {}) and running it ...".format(moment.name, moment.step))
    from qatviz.export.tflite import export_tflite  # imports TensorFlow: only for a run that is there

    about = {"run": description.get("run_id"), "checkpoint": moment.name, "step": moment.step}
    written = export_tflite(options.out, spec.network, moment.book, moment.arrays, dataset, moment.step, options.verify,
                            options.softmax, not options.plain_codes, about)
    if options.json:
        files = [str(path) for path in written.paths]
        print(json.dumps(dict(written.report.to_record(), files=files), allow_nan=False))
    else:
        print(written.report.to_text())
        print("written: " + ", ".join(str(path) for path in written.paths))
    for fault in written.report.faults:
        complain("error: {}".format(fault))
    return FAILED if written.report.faults else OK


def add_commands(add: Callable[..., Any]) -> None:
    """The subparser; ``add(name, function, help)`` makes one."""
    parser = add("export", export, "write a recorded run as a file that runs elsewhere, with the proof that it does")
    parser.add_argument("directory", metavar="RUN", help="the run's directory")
    parser.add_argument("--format", default=FORMATS[0], choices=FORMATS, help="(default: %(default)s)")
    parser.add_argument("--out", required=True, metavar="PATH",
                        help="the file; the proof is written beside it, as NAME.parity.txt, .parity.json, .golden.npz")
    parser.add_argument("--checkpoint", metavar="NAME", help="export this checkpoint (default: the newest)")
    parser.add_argument("--verify", type=int, metavar="N",
                        help="held-out examples to run the file on (default: 1000, or fewer for a large network)")
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="where the run's data is now (default: where it was)")
    parser.add_argument("--softmax", action="store_true", help="put out probabilities, in steps of 1/256")
    parser.add_argument("--plain-codes", action="store_true",
                        help="keep codes of few bits as they are, and not multiplied to 8: smaller once compressed, "
                             "less exact in runtimes that round twice")
    parser.add_argument("--json", action="store_true", help="print the proof as one line of JSON")
