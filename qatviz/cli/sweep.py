"""``qatviz sweep``: train all combinations of settings and seeds in several processes."""

import argparse
import os
from typing import Any, Callable, Optional, Tuple

from qatviz.cli.messages import FAILED, OK, print_message, print_output, print_problem
from qatviz.cli.tables import runs_table
from qatviz.cli.train_options import request_of
from qatviz.errors import SettingError
from qatviz.number_format import count
from qatviz.safe_text import shell_argument
from qatviz.session.catalogue import read_catalogue
from qatviz.session.changes import check_values
from qatviz.session.folders import new_run_directory
from qatviz.session.sweep import SweepPlan, open_plan, parse_variation, run_sweep, runs_of
from qatviz.session.sweep_request import TRAINING, Report

EXAMPLES = """\
examples:
  qatviz sweep --vary '*.weights.num_bits=8,4,3' --seeds 0,1,2 --steps 2000 --out runs/bits
  qatviz sweep --fork runs/a --vary '*.weights.num_bits=4,3' --vary run.learning_rate=1e-3,1e-4 \\
      --steps 3000 --processes 2 --out runs/from-a
  qatviz sweep --out runs/from-a            continue it

All other options are those of qatviz train, for every run; --fork RUN[@CHECKPOINT] starts all from one
checkpoint. Finished runs are skipped, interrupted ones are resumed. qatviz compare compares the runs.
"""
#: Columns of the table of results.
SHOWN = ("name", "float", "quantized", "loss", "size", "steps", "state")


def sweep(options: argparse.Namespace) -> int:
    """Train the runs of a sweep, and print their results.

    Raises
    ------
    SettingError
        If an option is not allowed, or the directory has another sweep.
    """
    check_train_options(options)
    plan: Optional[SweepPlan] = None
    if options.vary or options.seeds is not None or options.passed:
        plan = SweepPlan(tuple(options.passed), tuple(map(parse_variation, options.vary)), parse_seeds(options.seeds))
    directory = sweep_directory(options.out, "sweep")
    if plan is not None:
        check_plan(plan)
    plan = open_plan(directory, plan)
    if options.dry_run:
        print_output("\n".join(" ".join(map(shell_argument, (run.name, *run.arguments))) for run in runs_of(plan)))
        return OK
    failed = train_runs(directory, plan, options.processes)
    print_output(runs_table(sorted(read_catalogue(directory).runs, key=lambda run: run.name), SHOWN))
    return FAILED if failed else OK


def train_runs(directory: str, plan: SweepPlan, processes: int) -> int:
    """Train the runs of a sweep with messages on their progress; return the number of those that failed."""
    print_message(f"{count(len(runs_of(plan)), 'run')} in {directory}")
    failed = run_sweep(directory, plan, processes, _print)
    if failed:
        print_problem(f"error: {count(failed, 'run')} failed: the reasons are in the .log files in {directory}")
    return failed


def check_plan(plan: SweepPlan) -> None:
    """Report options that are not allowed before any run starts."""
    from qatviz.cli.parser import parse  # imports this module

    for run in runs_of(plan):
        request = request_of(parse(["train", *plan.arguments, *run.arguments, "--out", run.name]))
        request.check()
        check_values(request.changes)


def check_train_options(options: argparse.Namespace) -> None:
    """Refuse options of ``qatviz train`` that are of one run."""
    given = options.train_options
    if given.resume:
        raise SettingError("--resume is of one run: a sweep continues with --out DIR alone")
    if given.seed is not None and options.seeds is not None:
        raise SettingError("--seed and --seeds: expected one of them")


def parse_seeds(text: Optional[str]) -> Tuple[int, ...]:
    """Return the seeds in ``N,N,...``; none for None."""
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise SettingError.of_field("seeds", f"is {text!r}: expected distinct whole numbers separated by commas")
    return tuple(map(int, words))


def sweep_directory(out: Optional[str], kind: str) -> str:
    """Return the absolute path of the directory of a sweep: that of ``--out``, else a new one in the folder of runs."""
    return os.path.abspath(os.path.expanduser(out or new_run_directory(kind)))


def _print(report: Report) -> None:
    if report.event == TRAINING:
        return
    more = f": {report.message}" if report.message else ""
    print_message(f"[{report.done}/{report.total}] {report.run.name} {report.event}{more}")


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "sweep", sweep, "train all combinations of settings and seeds, resumable, in several processes", epilog=EXAMPLES
    )
    parser.set_defaults(passes_train_options=True)
    parser.add_argument(
        "--vary", action="append", default=[], metavar="PATH=VALUE,...", help="values of a setting, or of preset"
    )
    add_options(parser, 1)
    parser.add_argument("--dry-run", action="store_true", help="print the runs and their options, and train none")


def add_options(parser: argparse.ArgumentParser, processes: int) -> None:
    """Declare the options of all commands that train several runs."""
    parser.add_argument("--seeds", metavar="N,N,...", help="seeds with which each combination is trained")
    parser.add_argument(
        "--processes", type=int, default=processes, metavar="N", help="runs at a time (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="DIR", help="directory of the runs (default: a new one in the runs folder)")
