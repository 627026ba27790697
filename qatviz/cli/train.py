"""``qatviz train``: a run from its options to its result."""

import argparse
import json
from typing import Optional

from qatviz.cli.messages import FAILED, OK, complain, say
from qatviz.cli.progress import progress_for
from qatviz.cli.tables import score_table, tensor_table
from qatviz.cli.watch import Watch
from qatviz.session.launch import prepare
from qatviz.telemetry.outcome import Outcome
from qatviz.training.handle import Run
from qatviz.training.quiet import keep_tensorflow_quiet


def train(options: argparse.Namespace) -> int:
    """Train as ``options`` say; the exit code.

    Raises
    ------
    QatvizError
        If something is wrong with them.
    """
    keep_tensorflow_quiet()
    launch = prepare(options)
    run = Run(launch.spec, launch.record, recall=False)  # curves are not drawn here
    spec, outcome = launch.spec, launch.outcome
    first = spec.start.step if spec.start else 0
    watch = Watch(run, outcome, progress_for(options.quiet, spec.network.name, first, spec.steps))
    watch.follow()
    directory = options.resume or options.out
    code = _tell_end(watch, outcome, directory)
    if options.json:
        print(json.dumps(dict(outcome.to_dict(), out=directory), allow_nan=False), flush=True)
    elif not options.quiet and outcome.snapshot is not None:
        _print_result(outcome)
    return code


def _tell_end(watch: Watch, outcome: Outcome, directory: Optional[str]) -> int:
    """Say what went wrong and what can be done; the exit code. ``directory`` is where the run is kept, if it is."""
    code, resume = OK, f"qatviz train --resume {directory}"
    if watch.failed is not None:
        hint = ""
        if not watch.failed.explained:
            say(watch.failed.traceback.rstrip())
            hint = " (the traceback is above)"
            hint += f"; {resume} goes on from the last checkpoint" if directory else ""
        complain(f"error: training failed after step {watch.failed.step}: {watch.failed.message}{hint}")
        code = FAILED
    if watch.non_finite is not None:
        rate = outcome.book.run.learning_rate
        hint = f": {resume} --learning-rate {rate / 10:g}" if directory else ""
        complain(
            f"error: {watch.non_finite.what}: training has stopped with the last good state, that after step "
            f"{watch.non_finite.restored_step}. A lower learning rate "
            f"may help (it is {rate:g}){hint}"
        )
        code = FAILED
    if watch.record_failed is not None:
        complain(f"error: not all of the run was kept: {watch.record_failed.message}")
        code = FAILED
    if watch.stopped_by:
        kept = "it was not recorded (--out DIR keeps a run)"
        if directory:
            kept = f"everything is kept: {resume} goes on"
        complain(f"{watch.stopped_by}: stopped after step {outcome.step}; {kept}")
    return code


def _print_result(outcome: Outcome) -> None:
    print(tensor_table(outcome.tensors()))
    if outcome.evaluations:
        print(f"\n{outcome.metric.title} on held-out data\n{score_table(outcome.metric, outcome.evaluations[-1:])}")
    rate = outcome.to_dict()["steps_per_second"]
    print(
        "\n{} steps in {:.1f} s of training{}".format(
            outcome.step, outcome.seconds, f", {rate:.1f} a second" if rate else ""
        )
    )
