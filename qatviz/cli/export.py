"""``qatviz export``: export a recorded run for another runtime, with a proof that it computes the same outputs."""

import argparse
import contextlib
import json
from typing import Any, Callable, Dict

from qatviz.cli.export_sizes import print_sizes
from qatviz.cli.followed import Followed, followed
from qatviz.cli.messages import FAILED, OK, print_message, print_notice, print_output, print_problem
from qatviz.cli.recorded_run import add_checkpoint_and_data, add_recorded_run
from qatviz.errors import SettingError, require_tensorflow
from qatviz.export.formats import FORMATS, Format
from qatviz.export.proof.files import proof_record
from qatviz.memory import exit_on_native_shortage
from qatviz.option_names import option_name
from qatviz.session.export import export, source_of
from qatviz.session.record_requests import DEFAULT_FORMAT, ExportRequest, RecordedStateRequest
from qatviz.tensorflow_presence import EXPORTING
from qatviz.training.quiet import keep_tensorflow_quiet


def export_run(options: argparse.Namespace) -> int:
    """Write the files and print the proof; return the exit code, which is a failure if an operation is wrong.

    Errors are those of :mod:`qatviz.session.export`.
    """
    if options.dry_run:
        return _print_sizes(options)
    if options.out is None:
        raise SettingError("--out is missing: expected the path of the export; --dry-run writes none")
    require_tensorflow(EXPORTING)  # before the data is read
    options.format = options.format or DEFAULT_FORMAT
    with followed() if options.progress else contextlib.nullcontext(Followed()) as follower:
        given = format_options(options, FORMATS[options.format])
        keep_tensorflow_quiet()
        exit_on_native_shortage(FAILED)
        request = ExportRequest(
            options.directory, options.checkpoint, options.data, options.format, options.out, given, options.verify
        )
        source = source_of(request, request.examples, print_notice)
        print_message("exporting checkpoint {checkpoint} (step {step}) and running it ...".format(**source.metadata))
        written = export(request, source, follower.progress, print_notice)
        record = dict(proof_record(written.report, source.book), files=[str(path) for path in written.paths])
        if options.progress:
            follower.finish(dict(record, text=written.report.to_text()))
        elif options.json:
            print_output(json.dumps(record, allow_nan=False))
        else:
            print_output(written.report.to_text())
            print_output("written: " + ", ".join(str(path) for path in written.paths))
    for fault in written.report.faults:
        print_problem(f"error: {fault}")
    return FAILED if written.report.faults else OK


def _print_sizes(options: argparse.Namespace) -> int:
    """Print sizes in the given format, or in all formats with their default options."""
    formats = list(FORMATS.values()) if options.format is None else [FORMATS[options.format]]
    given = {} if options.format is None else format_options(options, formats[0])
    ignored = [] if options.format else [name for name in _all_options() if getattr(options, name) is not None]
    if ignored:
        raise SettingError(f"{option_name(ignored[0])}: is an option of a format: expected --format, too")
    keep_tensorflow_quiet()
    request = RecordedStateRequest(options.directory, options.checkpoint, options.data)
    return print_sizes(source_of(request, notify=print_notice), formats, given, options.json)


def format_options(options: argparse.Namespace, form: Format) -> Dict[str, Any]:
    """Return the options of a format that are on the command line; raise a `SettingError` for one of another format."""
    own = {option.name for option in form.options}
    given = {name: getattr(options, name) for name in _all_options() if getattr(options, name) is not None}
    for name in given:
        if name not in own:
            raise SettingError(
                f"{option_name(name)}: is not an option of --format {form.name}; it applies to "
                f"{', '.join(other.name for other in FORMATS.values() if name in {o.name for o in other.options})}"
            )
    return given


def _all_options() -> Dict[str, Any]:
    return {option.name: option for form in FORMATS.values() for option in form.options}


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add("export", export_run, "export a recorded run for another runtime, with a proof of its outputs")
    add_recorded_run(parser)
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help=f"(default: {DEFAULT_FORMAT}; with --dry-run, all formats)"
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="the file, required without --dry-run; the proof is written to FILE.parity.txt, .parity.json and "
        ".golden.npz; for a format of several files, the directory",
    )
    add_checkpoint_and_data(parser)
    parser.add_argument(
        option_name("examples"),
        type=int,
        metavar="N",
        help="held-out examples to run the file on (default: 1000, or fewer for a large network)",
    )
    parser.add_argument(
        option_name("dry_run"),
        action="store_true",
        help="write nothing; print the size that the export would have, with and without packing of 4-bit weights",
    )
    parser.add_argument("--json", action="store_true", help="print the proof, or the sizes, as one line of JSON")
    # For the window, which runs exports as separate processes: see qatviz.cli.followed.
    parser.add_argument("--progress", action="store_true", help=argparse.SUPPRESS)
    add_format_options(parser)


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all formats."""
    for option in _all_options().values():
        where = ", ".join(form.name for form in FORMATS.values() if option.name in {o.name for o in form.options})
        switch = option_name(option.name)
        text = f"{where}: {option.help[0].lower() + option.help[1:]}"
        if option.choices:
            parser.add_argument(switch, choices=option.choices, help=f"{text} (default: {option.default})")
        else:
            parser.add_argument(switch, action="store_const", const=True, help=text)
