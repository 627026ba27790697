"""``qatviz ab``: train two settings on the same batches from one checkpoint, and print the difference."""

import argparse
import json
from typing import Any, Callable

from qatviz.cli.messages import FAILED, OK, print_output
from qatviz.cli.sweep import (
    SHOWN,
    add_options,
    check_plan,
    check_train_options,
    parse_seeds,
    sweep_directory,
    train_runs,
)
from qatviz.cli.tables import ascii_text, runs_table
from qatviz.cli.train_options import parse_fork
from qatviz.errors import SettingError
from qatviz.presentation.comparison import effect_text
from qatviz.session.sweep import open_plan
from qatviz.session.trials import ab_plan, fork_point, read_trial

EXAMPLES = """\
examples:
  qatviz ab --fork runs/a --b '*.weights.num_bits=4' --steps 3000
  qatviz ab --fork runs/a@step-00001000 --a '*.weights.num_bits=4' \\
      --b '*.weights.num_bits=4,*.weights.per_channel=on' --seeds 0,1,2 --steps 3000
  qatviz ab --out runs/trial                continue it

All other options are those of qatviz train, for both sides; --steps is the total number of steps. Without --a, side A
has the settings of the checkpoint. Both sides get the same batches, so that the losses of each step can be compared.
"""
#: Number of sides, which train at the same time.
_SIDES = 2


def ab(options: argparse.Namespace) -> int:
    """Train both sides, and print their results and the difference of their losses.

    Raises
    ------
    SettingError
        If an option is not allowed, or the directory has another sweep.
    RecordError
        If there is no such run or checkpoint, or a record can't be read.
    """
    check_train_options(options)
    plan = None
    if options.fork is not None:
        seeds = parse_seeds(options.seeds)
        plan = ab_plan(fork_point(*parse_fork(options.fork)), options.a, options.b, seeds, options.passed)
        check_plan(plan)
    elif options.a or options.b or options.passed or options.seeds is not None:
        raise SettingError(
            "the run is missing: expected --fork RUN[@CHECKPOINT]; a trial continues with --out DIR alone"
        )
    directory = sweep_directory(options.out, "ab")
    plan = open_plan(directory, plan)
    if len(plan.sides) != _SIDES:
        raise SettingError(f"{directory}: has a sweep without the sides A and B: continue it with qatviz sweep")
    if train_runs(directory, plan, options.processes):
        return FAILED
    trial = read_trial(directory, plan)
    if options.json:
        print_output(json.dumps(trial.to_dict(), allow_nan=False))
        return OK
    print_output(runs_table([run.summary for run in trial.comparison.runs], SHOWN))
    if trial.effect is not None:
        print_output(ascii_text(effect_text(trial.effect, "loss", "B", "A")))
    return OK


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add(
        "ab", ab, "train two settings on the same batches from one checkpoint, and compare them", epilog=EXAMPLES
    )
    parser.set_defaults(passes_train_options=True)
    parser.add_argument(
        "--fork", metavar="RUN[@CHECKPOINT]", help="run and checkpoint to start from (default: the newest)"
    )
    for side in ("a", "b"):
        parser.add_argument(
            f"--{side}",
            action="append",
            default=[],
            metavar="[STEP:]PATH=VALUE,...",
            help=f"settings of side {side.upper()}, as --set of qatviz train; may be repeated",
        )
    add_options(parser, _SIDES)
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the losses of each step")
