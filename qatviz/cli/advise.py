"""``qatviz advise``: bits of a recorded run's weights within a budget."""

import argparse
import json
from typing import Any, Callable, Tuple

from qatviz.analysis.sensitivity import WIDTHS
from qatviz.cli.chip import add_target_options
from qatviz.cli.export import add_format_options, format_options
from qatviz.cli.messages import FAILED, OK, Activities, print_notice, print_output
from qatviz.cli.recorded_run import add_checkpoint_and_data, add_recorded_run
from qatviz.cli.tables import table
from qatviz.cli.train import train_request
from qatviz.cli.train_options import add_steps
from qatviz.errors import SettingError
from qatviz.export.formats import FORMATS
from qatviz.export.progress import Progress
from qatviz.memory import exit_on_native_shortage
from qatviz.presentation.budget_texts import TENSOR_HEADS
from qatviz.presentation.export_sizes import WeightStorage
from qatviz.protocol.recipe import write_recipe
from qatviz.session.budget import BudgetAdvice, advise
from qatviz.session.budget_request import (
    BUDGET_FORM,
    LOSS_FORM,
    BudgetRequest,
    RuleTexts,
    parse_budget,
    parse_loss,
)
from qatviz.session.changes import recipe_changes
from qatviz.session.request import ResumeRequest
from qatviz.settings import QUANTIZER_SETTINGS
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.quiet import keep_tensorflow_quiet

#: Bits to choose from by default: those that have sensitivities.
DEFAULT_BITS = ",".join(map(str, WIDTHS))
EXAMPLES = """\
examples:
  qatviz advise runs/a --budget '60 kB'
  qatviz advise runs/a --budget 50% --bits 4,8 --fixed conv1.weights=8
  qatviz advise runs/a --max-loss 1% --recipe bits.json
  qatviz advise runs/a --budget '5 ms' --chip cortex-m7
  qatviz train --fork runs/a --recipe bits.json --steps 4000 --out runs/b

Bits are chosen for the weights, so that the sum of their sensitivities is the
least possible within the budget; what is predicted is then measured on held-out
data. Without --apply, the run and its record do not change.
"""


def advise_run(options: argparse.Namespace) -> int:
    """Print the bits, their reasons and their effect; return the exit code.

    Errors are those of :func:`qatviz.session.budget.advise`, and with ``--apply`` those of ``qatviz train --resume``.
    """
    if (options.budget is None) == (options.max_loss is None):
        raise SettingError("--budget and --max-loss: expected one of them")
    if options.apply and options.steps is None:
        reader = RunRecord.read(options.directory)
        steps = reader.plan().steps
        if steps is not None and reader.last_step >= steps:
            raise SettingError(f"--apply: the run has done all its {steps:,} steps: expected --steps with more")
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    request = BudgetRequest(
        options.directory,
        options.checkpoint,
        options.data,
        RuleTexts(
            options.bits,
            tuple(options.fixed),
            tuple(options.lowest),
            tuple(options.highest),
            tuple(options.together),
        ),
        None if options.budget is None else parse_budget(options.budget),
        None if options.max_loss is None else parse_loss(options.max_loss),
        options.format,
        format_options(options, FORMATS[options.format]),
        options.chip,
        options.kernels,
        options.clock,
        options.with_activations,
    )
    advice = advise(request, print_notice, Progress(Activities().at))
    print_output(json.dumps(advice.to_dict(), allow_nan=False) if options.json else _text(advice))
    if options.recipe is not None:  # after the result, which an error must not lose
        write_recipe(options.recipe, advice.recipe)
    if not options.apply:
        return OK
    resumed = ResumeRequest(
        directory=options.directory,
        checkpoint=options.checkpoint,
        data=options.data,
        steps=options.steps,
        changes=recipe_changes(advice.recipe),
    )
    return train_request(resumed, quiet=options.json)


def _text(advice: BudgetAdvice) -> str:
    """Return the tensors with their reasons, and the effect on size, predicted loss and metric, as tables."""
    found = advice.table
    parts = [found.state, table(TENSOR_HEADS, found.tensors, (0, 3)), "", found.measured]
    return "\n".join([*parts, table(found.effect_heads, found.effect)])


def _bits(text: str) -> Tuple[int, ...]:
    setting = QUANTIZER_SETTINGS["num_bits"]
    return tuple(setting.parse(part, "--bits") for part in text.split(","))


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add("advise", advise_run, "choose the bits of a recorded run's weights within a budget", epilog=EXAMPLES)
    add_recorded_run(parser)
    parser.add_argument("--budget", metavar="AMOUNT", help=f"largest cost: {BUDGET_FORM}".replace("%", "%%"))
    parser.add_argument("--max-loss", metavar="AMOUNT", help=f"largest loss: {LOSS_FORM}".replace("%", "%%"))
    parser.add_argument(
        "--bits",
        type=_bits,
        default=DEFAULT_BITS,
        metavar="N,N,...",
        help="numbers of bits to choose from (default: %(default)s)",
    )
    for name, text in (
        ("fixed", "number of bits of these weights"),
        ("lowest", "smallest number of bits of these weights"),
        ("highest", "largest number of bits of these weights"),
    ):
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="PATTERN=BITS", help=f"{text}; may be repeated"
        )
    parser.add_argument(
        "--together",
        action="append",
        default=[],
        metavar="PATTERN,...",
        help="weights with the same number of bits; may be repeated",
    )
    parser.add_argument(
        "--with-activations",
        action="store_true",
        help="choose the bits of activations, too: the budget is the size of the codes of weights and activations",
    )
    parser.add_argument(
        "--format",
        choices=tuple(form.name for form in FORMATS.values() if form.weights is WeightStorage.CODES),
        default=BudgetRequest.format,
        help="export format whose size counts, and which has to support the bits (default: %(default)s)",
    )
    add_format_options(parser)
    add_target_options(parser)
    add_checkpoint_and_data(parser)
    parser.add_argument("--recipe", metavar="FILE", help="write the bits to this file, for `qatviz train --recipe`")
    parser.add_argument("--apply", action="store_true", help="resume the run with these bits")
    add_steps(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")
