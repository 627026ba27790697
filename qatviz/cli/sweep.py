"""``qatviz sweep``: train all combinations of settings and seeds in several processes."""

import argparse
import os
import time
from typing import Any, Callable, List, Optional, Tuple

from qatviz.cli.messages import FAILED, OK, print_message, print_output, print_problem
from qatviz.cli.tables import table
from qatviz.cli.train_options import request_of
from qatviz.errors import SettingError
from qatviz.number_format import count, plain
from qatviz.presentation.run_table import BY_KEY, cell_text
from qatviz.safe_text import shell_argument
from qatviz.session.catalogue import read_catalogue
from qatviz.session.changes import check_values
from qatviz.session.folders import runs_folder
from qatviz.session.sweep import Report, SweepPlan, open_plan, parse_variation, run_sweep, runs_of

EXAMPLES = """\
examples:
  qatviz sweep --vary '*.weights.num_bits=8,4,3' --seeds 0,1,2 --steps 2000 --out runs/bits
  qatviz sweep --fork runs/a --vary '*.weights.num_bits=4,3' --vary run.learning_rate=1e-3,1e-4 \\
      --steps 3000 --processes 2 --out runs/from-a
  qatviz sweep --out runs/from-a            continue it

All other options are those of qatviz train, for every run; --fork RUN[@CHECKPOINT] starts all from one
checkpoint. Finished runs are skipped, interrupted ones are resumed. qatviz compare compares the runs.
"""
_SHOWN = ("name", "float", "quantized", "loss", "size", "steps", "state")


def sweep(options: argparse.Namespace) -> int:
    """Train the runs of a sweep, and print their results.

    Raises
    ------
    SettingError
        If an option is not allowed, or the directory has another sweep.
    """
    given = options.train_options
    if given.resume:
        raise SettingError("--resume is of one run: a sweep continues with --out DIR alone")
    if given.seed is not None and options.seeds is not None:
        raise SettingError("--seed and --seeds: expected one of them")
    plan: Optional[SweepPlan] = None
    if options.vary or options.seeds is not None or options.passed:
        plan = SweepPlan(tuple(options.passed), tuple(map(parse_variation, options.vary)), _seeds(options.seeds))
    directory = os.path.abspath(os.path.expanduser(options.out or _default_directory()))
    if plan is not None:
        _check(plan)
    plan = open_plan(directory, plan)
    runs = runs_of(plan)
    print_message(f"{count(len(runs), 'run')} in {directory}")
    if options.dry_run:
        print_output("\n".join(" ".join(map(shell_argument, (run.name, *run.arguments))) for run in runs))
        return OK
    failed = run_sweep(directory, plan, options.processes, _print)
    print_output(_results(directory))
    if failed:
        print_problem(f"error: {count(failed, 'run')} failed: the reasons are in the .log files in {directory}")
    return FAILED if failed else OK


def _check(plan: SweepPlan) -> None:
    """Report options that are not allowed before any run starts."""
    from qatviz.cli.parser import parse  # imports this module

    for run in runs_of(plan):
        request = request_of(parse(["train", *plan.arguments, *run.arguments, "--out", run.name]))
        request.check()
        check_values(request.changes)


def _seeds(text: Optional[str]) -> Tuple[int, ...]:
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise SettingError.of_field("seeds", f"is {text!r}: expected distinct whole numbers separated by commas")
    return tuple(map(int, words))


def _default_directory() -> str:
    return os.path.join(runs_folder(), time.strftime("%Y%m%d-%H%M%S-sweep"))


def _print(report: Report) -> None:
    more = f": {report.message}" if report.message else ""
    print_message(f"[{report.done}/{report.total}] {report.run.name} {report.event}{more}")


def _results(directory: str) -> str:
    columns = [BY_KEY[key] for key in _SHOWN]
    runs = sorted(read_catalogue(directory).runs, key=lambda run: run.name)
    rows: List[List[str]] = [[plain(cell_text(column, run)) for column in columns] for run in runs]
    left = [index for index, column in enumerate(columns) if column.is_left]
    return table([column.title.lower() for column in columns], rows, left)


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "sweep", sweep, "train all combinations of settings and seeds, resumable, in several processes", epilog=EXAMPLES
    )
    parser.set_defaults(passes_train_options=True)
    parser.add_argument(
        "--vary", action="append", default=[], metavar="PATH=VALUE,...", help="values of a setting, or of preset"
    )
    parser.add_argument("--seeds", metavar="N,N,...", help="seeds with which each combination is trained")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="runs at a time (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", help="directory of the sweep (default: a new one in the runs folder)")
    parser.add_argument("--dry-run", action="store_true", help="print the runs and their options, and train none")
