"""Files made of a recorded run: ``qatviz report``, one of HTML; ``tensorboard``, event files; ``recipe``, settings."""

import argparse
import json
from typing import Any, Callable

from qatviz.analysis.sensitivity import WIDTHS
from qatviz.cli.messages import OK, print_output
from qatviz.cli.recorded_run import add_recorded_run
from qatviz.number_format import bytes_text, count
from qatviz.protocol.recipe import recipe_of, write_recipe
from qatviz.safe_text import shell_word
from qatviz.session.budget_request import BudgetRequest, RuleTexts, parse_budget
from qatviz.training.quiet import keep_tensorflow_quiet


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the commands; ``add(name, function, help)`` makes a parser."""
    parser = add("report", report, "write a recorded run as one self-contained HTML file, also while it trains")
    add_recorded_run(parser)
    parser.add_argument("--out", metavar="FILE", help="file to write (default: RUN/report.html)")
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="add which tensors tolerate few bits, estimated and measured on the newest checkpoint",
    )
    parser.add_argument(
        "--drift",
        action="store_true",
        help="add in which layers of the newest checkpoint the error arises, with feature maps of the one with the "
        "largest own error",
    )
    parser.add_argument(
        "--channels", action="store_true", help="add the channels of all weights of the newest checkpoint"
    )
    parser.add_argument(
        "--predictions",
        action="store_true",
        help="add what the newest checkpoint predicts for held-out examples in float and quantized",
    )
    parser.add_argument(
        "--budget",
        metavar="AMOUNT",
        help="add the bits of the weights within this budget, as `qatviz advise` chooses them: a size or a percentage",
    )
    parser.add_argument("--json", action="store_true", help="print the file's path and size as one line of JSON")
    parser = add("tensorboard", tensorboard, "write a recorded run as event files for TensorBoard")
    add_recorded_run(parser)
    parser.add_argument("--out", metavar="DIR", help="directory of the files (default: RUN/tensorboard)")
    parser = add("recipe", recipe, "print the settings of a recorded run as a recipe, for --recipe of other runs")
    add_recorded_run(parser)
    parser.add_argument("--checkpoint", metavar="NAME", help="settings of this checkpoint (default: the newest ones)")
    parser.add_argument("--with-run", action="store_true", help="include the settings of the run: learning rate, ...")
    parser.add_argument("--out", metavar="FILE", help="write it to this file")


def report(options: argparse.Namespace) -> int:
    """Write the report, and print its path.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    SettingError
        If no bits are within the budget.
    ExportError
        If the report can't be written.
    """
    from qatviz.session.report import write_recorded  # slow to import; no other command needs it

    keep_tensorflow_quiet()

    wanted = [name for name in ("sensitivity", "drift", "channels", "predictions") if getattr(options, name)]
    budget = None
    if options.budget is not None:
        budget = BudgetRequest(options.directory, rules=RuleTexts(WIDTHS), budget=parse_budget(options.budget))
    written = write_recorded(options.directory, options.out, wanted, budget=budget)
    if options.json:
        print_output(json.dumps({"file": str(written.path), "bytes": written.nbytes, "step": written.step}))
    else:
        print_output(f"{written.path}: the run up to step {written.step:,}, {bytes_text(written.nbytes)}")
    return OK


def tensorboard(options: argparse.Namespace) -> int:
    """Write the event files, and print how to show them.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If the event files can't be written.
    """
    from qatviz.session.tensorboard import write_recorded

    written = write_recorded(options.directory, options.out)
    print_output(
        f"{written.path}: scalars at {written.steps:,} steps, histograms of {written.snapshots:,} snapshots, "
        f"{bytes_text(written.bytes)}"
    )
    print_output(f"to show them: tensorboard --logdir {shell_word(str(written.path.parent))}")
    return OK


def recipe(options: argparse.Namespace) -> int:
    """Print the recipe, or write it to a file.

    Raises
    ------
    RecordError
        If there is no run or checkpoint, or its record is damaged.
    SettingError
        If the file can't be written.
    """
    from qatviz.session.checkpoints import settings_at
    from qatviz.telemetry.outcome import read_outcome
    from qatviz.telemetry.record.run_record import RunRecord

    if options.checkpoint is None:
        book = read_outcome(RunRecord.read(options.directory)).book
    else:
        book, _ = settings_at(options.directory, options.checkpoint)
    found = recipe_of(book, options.with_run)
    if options.out is None:
        print_output(found.to_json().rstrip("\n"))
    else:
        write_recipe(options.out, found)
        print_output(f"{options.out}: {count(len(found.rules), 'rule')}")
    return OK
