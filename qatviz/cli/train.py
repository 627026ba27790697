"""``qatviz train``: train a run in the terminal and print its result."""

import argparse
import json
from functools import partial
from typing import Optional, Union, cast

from qatviz.cli.messages import FAILED, OK, print_message, print_notice, print_output, print_problem
from qatviz.cli.tables import further_table, heads_table, score_table, tensor_table
from qatviz.cli.train_options import request_of
from qatviz.memory import exit_on_native_shortage
from qatviz.number_format import count, percent_text
from qatviz.presentation.evaluation_time import NOTABLE, fraction_of_time
from qatviz.presentation.event_texts import non_finite_text
from qatviz.presentation.score_texts import metric_title
from qatviz.protocol.events import FurtherScores
from qatviz.safe_text import shell_word
from qatviz.session.prepare import prepare
from qatviz.session.progress import progress_for
from qatviz.session.request import ForkRequest, NewRunRequest, ResumeRequest
from qatviz.session.watch import Watch
from qatviz.telemetry.outcome import Outcome
from qatviz.training.handle import Run
from qatviz.training.quiet import keep_tensorflow_quiet


def train(options: argparse.Namespace) -> int:
    """Train the requested run, and return the exit code.

    Raises
    ------
    QatvizError
        If an option is not allowed, or network and data do not match.
    """
    return train_request(request_of(options), options.quiet, options.json)


def train_request(
    request: Union[NewRunRequest, ResumeRequest, ForkRequest], quiet: bool = False, as_json: bool = False
) -> int:
    """Train a requested run, show its progress, print its result and return the exit code.

    Raises
    ------
    QatvizError
        If a field of the request is not allowed, or network and data do not match.
    """
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    prepared = prepare(request, notify=partial(print_notice, quiet=quiet))
    spec = cast(Run, prepared.run).spec
    outcome = prepared.outcome or Outcome(spec.book, spec.metric)
    first = spec.start.step if spec.start else 0
    watch = Watch(prepared.run, outcome, progress_for(quiet, spec.network.name, first, spec.steps))
    watch.follow()
    directory = request.directory if isinstance(request, ResumeRequest) else request.out
    code = _print_end(watch, outcome, directory)
    if as_json:
        print_output(json.dumps(dict(outcome.to_dict(), out=directory), allow_nan=False))
    elif not quiet and outcome.snapshot is not None:
        _print_result(outcome)
    return code


def _print_end(watch: Watch, outcome: Outcome, directory: Optional[str]) -> int:
    """Print errors with remedies, and return the exit code; ``directory`` is None if the run is not recorded."""
    code, resume = OK, f"qatviz train --resume {shell_word(directory or '')}"
    if watch.failed is not None:
        hint = ""
        if not watch.failed.explained:
            print_message(watch.failed.traceback.rstrip())
            hint = " (the traceback is above)"
            hint += f"; {resume} continues from the last checkpoint" if directory else ""
        print_problem(f"error: training failed after step {watch.failed.step}: {watch.failed.message}{hint}")
        code = FAILED
    if watch.non_finite is not None:
        rate = outcome.book.run.learning_rate
        hint = f": {resume} --learning-rate {rate / 10:g}" if directory else ""
        print_problem(
            f"error: {non_finite_text(watch.non_finite)}: training has stopped with the last good state, after "
            f"step {watch.non_finite.restored_step}. A lower learning rate may help (it is {rate:g}){hint}"
        )
        code = FAILED
    if watch.record_failed is not None:
        print_problem(f"error: not all of the run was recorded: {watch.record_failed.message}")
        code = FAILED
    if watch.stopped_by:
        kept = "it was not recorded (--out DIR records a run)"
        if directory and watch.record_failed is None:
            kept = f"it is recorded: {resume} continues"
        elif directory:
            kept = f"not all of it was recorded: {resume} continues from its newest checkpoint"
        print_problem(f"{watch.stopped_by}: stopped after step {outcome.step}; {kept}")
    return code


def _print_result(outcome: Outcome) -> None:
    print_output(tensor_table(outcome.tensors()))
    if outcome.losses:
        first = FurtherScores(outcome.output, outcome.metric.name, outcome.evaluations[-1])
        scored = (first, *outcome.further)
        print_output(f"\nheld-out data\n{heads_table(scored, outcome.losses, outcome.held_out_loss)}")
    elif outcome.evaluations:
        print_output(
            f"\n{metric_title(outcome.metric.name, outcome.output)} on held-out data\n"
            f"{score_table(outcome.metric, outcome.evaluations[-1:])}"
            + (f"\n\nfurther metrics\n{further_table(outcome.further)}" if outcome.further else "")
        )
    rate, evaluation_s = outcome.steps_per_second, sum(outcome.evaluation_seconds)
    text = f"{count(outcome.step, 'step')} in {outcome.seconds:.1f} s of training"
    text += f", {rate:.1f} per second" if rate else ""
    fraction = fraction_of_time(evaluation_s, outcome.seconds)
    if fraction >= NOTABLE:
        number = count(len(outcome.evaluation_seconds), "evaluation")
        text += f"\n{number} took {evaluation_s:.1f} s more, {percent_text(fraction)} of the time"
    print_output("\n" + text)
