"""Parser of the command line: commands, options and help."""

import argparse
import functools
from typing import Any, List, NoReturn

from qatviz import __version__
from qatviz.cli import (
    ab,
    advise,
    chip,
    compare,
    drift,
    evaluate,
    export,
    listing,
    predictions,
    reports,
    runs,
    sensitivity,
    serve,
    show,
    sweep,
    train,
    train_options,
    window,
    worker,
)
from qatviz.cli.messages import print_output
from qatviz.cli.recorded_run import add_recorded_run
from qatviz.errors import QatvizError, did_you_mean

_EXIT_CODES = """\
exit codes:
  0  done; also after Ctrl-C, SIGTERM or the end of the terminal (SIGHUP), which
     stop a run cleanly and save it
  1  it failed, or training had to stop (the loss was not finite)
  2  invalid call: an option, a file, a run in use
  A second Ctrl-C quits at once and ends the process by its signal."""

_EXAMPLES = (
    """\
examples:
  qatviz                                    open the window: the default network trains
  qatviz window --network dscnn --preset int4
  qatviz train --network dscnn --preset int4 --out runs/a
  qatviz show runs/a                        error measures of each tensor
  qatviz train --resume runs/a --steps 4000 continue: after Ctrl-C, after kill
                                            -9, or for longer
  qatviz networks lenet                     its layers
  qatviz data path/to/images                contents of a data set

"""
    + _EXIT_CODES
)


class UsageError(QatvizError):
    """Error of a command line that can't be parsed."""


class _Parser(argparse.ArgumentParser):
    """Parser that raises errors as exceptions, so that all errors are printed in the same way."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        print_output(message.rstrip("\n"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Formatter that keeps the line breaks of examples."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34)


def parse(argv: List[str]) -> argparse.Namespace:
    """Return the options in ``argv``; their ``command`` is the function that executes them.

    Raises
    ------
    QatvizError
        Error with the unknown word, and the closest known one.
    SystemExit
        After ``--help`` and ``--version``.
    """
    parser = _Parser(
        prog="qatviz",
        formatter_class=_Formatter,
        allow_abbrev=False,
        epilog=_EXAMPLES,
        description="See and steer quantization-aware training while it runs.",
    )
    parser.add_argument("--version", action="version", version="qatviz " + __version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command_name", parser_class=_Parser)
    commands.required = True
    _add_train(commands)
    _add_show(commands)
    _add_listings(commands)
    window.add_commands(functools.partial(_command, commands))
    reports.add_commands(functools.partial(_command, commands))
    export.add_commands(functools.partial(_command, commands))
    evaluate.add_commands(functools.partial(_command, commands))
    runs.add_commands(functools.partial(_command, commands))
    compare.add_commands(functools.partial(_command, commands))
    ab.add_commands(functools.partial(_command, commands))
    sweep.add_commands(functools.partial(_command, commands))
    sensitivity.add_commands(functools.partial(_command, commands))
    predictions.add_commands(functools.partial(_command, commands))
    advise.add_commands(functools.partial(_command, commands))
    chip.add_commands(functools.partial(_command, commands))
    drift.add_commands(functools.partial(_command, commands))
    worker.add_commands(functools.partial(_command, commands))
    serve.add_commands(functools.partial(_command, commands))
    word = argv[0].partition("=")[0] if argv else ""
    if word in commands.choices["train"]._option_string_actions and word not in parser._option_string_actions:
        given = " ".join(argv)
        raise UsageError(
            f"{word} is an option of a command, which comes first: 'window {given}' for a run in the window, 'train "
            f"{given}' for one in the terminal"
        )
    if argv and argv[0] not in commands.choices and argv[0] not in parser._option_string_actions:
        raise UsageError(
            f"there is no command {argv[0]!r}; there are "
            f"{', '.join(commands.choices)}.{did_you_mean(argv[0], commands.choices)}"
        )
    arguments, unknown = parser.parse_known_args(argv)
    if getattr(arguments, "passes_train_options", False):
        arguments.passed, arguments.train_options = unknown, parse(["train", *unknown])
    elif getattr(arguments, "takes_train_options", False):
        arguments.train_options = parse(["train", *argv[1:]])
    elif unknown:
        word = unknown[0].partition("=")[0]
        options = commands.choices[arguments.command_name]._option_string_actions
        raise UsageError(
            f"{arguments.command_name}: {word!r} is unknown.{did_you_mean(word, options)} (see qatviz "
            f"{arguments.command_name} --help)"
        )
    return arguments


def _command(commands: Any, name: str, function: Any, summary: str, **more: Any) -> _Parser:
    parser: _Parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=_Formatter,
        allow_abbrev=False,
        **more,
    )
    parser.set_defaults(command=function)
    return parser


def _add_train(commands: Any) -> None:
    parser = _command(
        commands,
        "train",
        train.train,
        "train with quantization, and show progress",
        epilog=train_options.examples() + _EXIT_CODES,
    )
    train_options.add_options(parser)


def _add_show(commands: Any) -> None:
    parser = _command(commands, "show", show.show, "print measures and events of a recorded run, also while it trains")
    add_recorded_run(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def _add_listings(commands: Any) -> None:
    parser = _command(
        commands, "networks", listing.networks, "list the networks that come with qatviz, or the layers of one"
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument(
        "--input-shape", default="28x28x1", metavar="HxWxC", help="shape of one example (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="number of classes (default: %(default)s)")
    _json(parser)
    parser = _command(commands, "data", listing.data, "describe a data set")
    parser.add_argument("source", nargs="?", metavar="NAME_OR_PATH", help="(default: list named data sets and formats)")
    train_options.add_reading(parser)
    augmentation = parser.add_argument_group("augmentation")
    augmentation.add_argument(
        "--augment",
        metavar="FILE.png",
        help="write a picture of some examples, and below of the same after augmentation",
    )
    augmentation.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the run whose first step it shows (default: 0)"
    )
    train_options.add_augmentation(augmentation)
    _json(parser)
    parser = _command(
        commands, "store", listing.store, "store a data set in files from which training reads only the batches in use"
    )
    parser.add_argument("source", metavar="NAME_OR_PATH", help="data set, as for train --data")
    parser.add_argument("out", metavar="DIRECTORY", help="new directory, for train --data DIRECTORY")
    train_options.add_reading(parser)
    parser = _command(commands, "settings", listing.settings, "describe all settings of quantizers and of runs")
    _json(parser)
    parser = _command(commands, "presets", listing.presets, "list the presets and their settings")
    _json(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead")
