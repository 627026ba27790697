"""``qatviz runs``, ``label`` and ``delete``: list the recorded runs of a folder, name them, move them to the trash."""

import argparse
import json
from typing import Any, Callable, List

from qatviz.cli.messages import OK, print_output, print_problem
from qatviz.cli.recorded_run import add_recorded_run
from qatviz.cli.tables import runs_table
from qatviz.errors import RecordError
from qatviz.number_format import count
from qatviz.presentation.run_table import BY_KEY, matches, sorted_runs
from qatviz.safe_text import one_line
from qatviz.session.catalogue import delete_run, read_catalogue
from qatviz.session.folders import RUNS_VARIABLE
from qatviz.telemetry.record.labels import RunLabels, check_is_run, read_labels, write_labels
from qatviz.telemetry.record.own_files import DAMAGED_LABELS_FILE

#: Columns in the terminal; ``--json`` has all.
SHOWN = ("name", "network", "data", "float", "quantized", "size", "steps", "state", "date", "tags", "parent")
_DEFAULT_SORT = "date"


def runs(options: argparse.Namespace) -> int:
    """List the recorded runs of a folder.

    Raises
    ------
    RecordError
        If the folder can't be read.
    SettingError
        If there is neither a folder nor a home directory.
    """
    found = read_catalogue(options.folder)
    chosen = [run for run in found.runs if matches(run, " ".join(options.search))]
    descending = BY_KEY[options.sort].largest_first != options.reverse
    chosen = sorted_runs(chosen, options.sort, descending)
    if options.json:
        print_output(json.dumps([run.to_dict() for run in chosen], allow_nan=False))
        return OK
    for run in chosen:
        if run.error:
            print_problem(run.error)
    if chosen:
        print_output(runs_table(chosen, SHOWN))
    of_all = "" if len(chosen) == len(found.runs) else f" of {len(found.runs):,}"
    more = f"; {count(found.omitted, 'older run')} not listed" if found.omitted else ""
    print_output(f"{found.folder}: {count(len(chosen), 'run')}{of_all}{more}")
    return OK


def label(options: argparse.Namespace) -> int:
    """Change name, notes and tags of a run; print them.

    Raises
    ------
    RecordError
        If there is no run, or its labels can't be read or written.
    SettingError
        If a label is not allowed.
    """
    check_is_run(options.directory)
    changes = (options.name, options.notes, options.add_tag, options.remove_tag) != (None, None, [], [])
    old = _present_labels(options.directory, changes)
    tags = [tag for tag in (*old.tags, *options.add_tag) if tag not in options.remove_tag]
    labels = RunLabels(
        old.name if options.name is None else options.name,
        old.notes if options.notes is None else options.notes,
        tuple(tags),
    )
    if changes:
        labels = write_labels(options.directory, labels)
    lines: List[str] = [f"name: {labels.name}", f"tags: {', '.join(labels.tags)}", f"notes: {labels.notes}"]
    print_output("\n".join(line.rstrip() for line in lines))
    return OK


def _present_labels(directory: str, changes: bool) -> RunLabels:
    """Return the labels of a run; empty ones if their file is damaged and ``changes`` replace it.

    Raises
    ------
    RecordError
        If the file is damaged, and nothing replaces it.
    """
    try:
        return read_labels(directory)
    except RecordError as error:
        if not changes:
            raise RecordError(f"{error}; --name, --notes or --add-tag writes new labels and keeps this file") from error
        print_problem(f"{error}; kept as {DAMAGED_LABELS_FILE}, new labels are written")
        return RunLabels()


def delete(options: argparse.Namespace) -> int:
    """Move runs to the trash.

    Raises
    ------
    RecordError
        For the first one that is no run, is being written, or can't be moved.
    """
    from qatviz.app.trash import move_to_trash  # loads Qt

    for directory in options.directories:
        delete_run(directory, move_to_trash)
        print_output(f"{one_line(directory)}: moved to the trash")
    return OK


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the commands; ``add(name, function, help)`` makes a parser."""
    parser = add("runs", runs, "list the recorded runs of a folder, with their results")
    parser.add_argument("search", nargs="*", metavar="WORD", help="list runs with these words; #WORD is a tag")
    parser.add_argument(
        "--folder", metavar="DIR", help=f"folder of runs (default: {RUNS_VARIABLE}, else that of the window)"
    )
    parser.add_argument("--sort", default=_DEFAULT_SORT, choices=tuple(BY_KEY), help="(default: %(default)s)")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument("--json", action="store_true", help="print JSON instead, with all values")
    parser = add("label", label, "show or change the name, the notes and the tags of a recorded run")
    add_recorded_run(parser)
    parser.add_argument("--name", metavar="TEXT", help="name of the run; empty: that of its directory")
    parser.add_argument("--notes", metavar="TEXT", help="notes on the run")
    parser.add_argument("--add-tag", action="append", default=[], metavar="TAG", help="may be repeated")
    parser.add_argument("--remove-tag", action="append", default=[], metavar="TAG", help="may be repeated")
    parser = add("delete", delete, "move recorded runs to the trash")
    parser.add_argument("directories", nargs="+", metavar="RUN", help="directory of a run")
