"""``qatviz export``: a recorded run as a file that runs elsewhere, and the proof that it computes the same."""

import argparse
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

from qatviz import data
from qatviz.cli.followed import followed
from qatviz.cli.messages import FAILED, OK, complain, say
from qatviz.errors import RecordError, SettingError
from qatviz.export.formats import FORMATS, Format, Written
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.protocol.run_spec import RunSpec
from qatviz.report.exports import PROOF
from qatviz.session.launch import DATA, VALIDATION_FRACTION
from qatviz.session.resuming import starting_point
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.quiet import keep_tensorflow_quiet

DEFAULT_FORMAT = "tflite"
#: In a run's directory: proofs of exports that were written elsewhere.
KEPT_PROOFS = "exports-elsewhere"


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
        raise SettingError(f"--verify is {options.verify}: expected a whole number of at least 1")
    form = FORMATS[options.format]
    given = _given(options, form)
    keep_tensorflow_quiet()
    with followed() if options.progress else contextlib.nullcontext(Progress()) as progress:
        source = _source(options)
        say("exporting checkpoint {checkpoint} (step {step}) and running it ...".format(**source.metadata))
        written = form.export(source, options.out, given, progress)
    _keep_proof(Path(options.directory), written)
    if options.json or options.progress:
        record = dict(written.report.to_record(), files=[str(path) for path in written.paths])
        if options.progress:
            record["text"] = written.report.to_text()
        print(json.dumps(record, allow_nan=False))
    else:
        print(written.report.to_text())
        print("written: " + ", ".join(str(path) for path in written.paths))
    for fault in written.report.faults:
        complain(f"error: {fault}")
    return FAILED if written.report.faults else OK


def _keep_proof(directory: Path, written: Written) -> None:
    """A copy of the proof in the run's directory, where its report finds it; not of exports that it finds anyway."""
    run, path = directory.resolve(), written.paths[0].resolve()
    if path.parent == run.parent or run in path.parents:
        return
    copy = run / KEPT_PROOFS / f"{path.name}.{PROOF}"
    proof = next(other for other in written.paths if other.name.endswith(PROOF))
    try:
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(str(proof), str(copy))
    except OSError as error:
        complain(
            f"note: {copy}: can't be written, so the run's report will not tell of this export: "
            f"{error.strerror or error}"
        )


def _source(options: argparse.Namespace) -> ExportSource:
    reader = RunRecord.read(options.directory)
    description = reader.description
    dataset = data.load(
        options.data or description.get("data", DATA),
        description.get("validation_fraction", VALIDATION_FRACTION),
        task=description.get("task"),
    )
    spec = RunSpec.from_description(description, dataset)
    moment, _ = starting_point(reader, spec.book, options.checkpoint)
    if moment is None:
        raise RecordError(f"{reader.directory}: has no checkpoint yet: there is nothing to export")
    about = {"run": description.get("run_id"), "checkpoint": moment.name, "step": moment.step}
    return ExportSource(
        spec.network, moment.book, moment.arrays, dataset, moment.step, about, spec.keras, options.verify
    )


def _given(options: argparse.Namespace, form: Format) -> Dict[str, Any]:
    """The options of a format that were given; :class:`SettingError` for one of another format."""
    own = {option.name for option in form.options}
    given = {name: getattr(options, name) for name in _all_options() if getattr(options, name) is not None}
    for name in given:
        if name not in own:
            raise SettingError(
                f"--{name.replace('_', '-')}: is no option of --format {form.name}; it goes with "
                f"{', '.join(other.name for other in FORMATS.values() if name in {o.name for o in other.options})}"
            )
    return given


def _all_options() -> Dict[str, Any]:
    return {option.name: option for form in FORMATS.values() for option in form.options}


def add_commands(add: Callable[..., Any]) -> None:
    """The subparser; ``add(name, function, help)`` makes one."""
    parser = add("export", export, "write a recorded run as a file that runs elsewhere, with the proof that it does")
    parser.add_argument("directory", metavar="RUN", help="the run's directory")
    parser.add_argument("--format", default=DEFAULT_FORMAT, choices=tuple(FORMATS), help="(default: %(default)s)")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the file, with the proof written beside it as FILE.parity.txt, .parity.json, "
        ".golden.npz; of a format of several files, the directory",
    )
    parser.add_argument("--checkpoint", metavar="NAME", help="export this checkpoint (default: the newest)")
    parser.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="held-out examples to run the file on (default: 1000, or fewer for a large network)",
    )
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="where the run's data is now (default: where it was)")
    parser.add_argument("--json", action="store_true", help="print the proof as one line of JSON")
    # For the window, which runs exports as processes of their own: see qatviz.cli.followed.
    parser.add_argument("--progress", action="store_true", help=argparse.SUPPRESS)
    for option in _all_options().values():
        where = ", ".join(form.name for form in FORMATS.values() if option.name in {o.name for o in form.options})
        switch = "--" + option.name.replace("_", "-")
        text = f"{where}: {option.help[0].lower() + option.help[1:]}"
        if option.choices:
            parser.add_argument(switch, choices=option.choices, help=f"{text} (default: {option.default})")
        else:
            parser.add_argument(switch, action="store_const", const=True, help=text)
