"""What can be typed: commands, options, help. Settings of the run get their options from where they are declared."""

import argparse
import functools
import textwrap
from typing import Any, List, NoReturn

from qatviz import __version__
from qatviz.cli import export, listing, report, show, tensorboard, train, window
from qatviz.data import NAMED_DATA
from qatviz.data.targets import TASK_HELP
from qatviz.errors import QatvizError, did_you_mean
from qatviz.metric import TASKS
from qatviz.network.zoo import NETWORKS
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.session import launch
from qatviz.settings import OPTIMIZERS, RUN_SETTINGS, Setting

_EXIT_CODES = """\
exit codes:
  0  done; also after Ctrl-C or SIGTERM, which stop a run cleanly and keep all
  1  it failed, or training had to stop (the loss was not finite)
  2  something was wrong with the call: an option, a file, a run in use
  A second Ctrl-C quits at once and ends the process by its signal."""

_EXAMPLES = (
    """\
examples:
  qatviz                                    open the window: the default network trains
  qatviz window --network dscnn --preset int4
  qatviz train --network dscnn --preset int4 --out runs/a
  qatviz show runs/a                        what quantization did to each tensor
  qatviz train --resume runs/a --steps 4000 go on: after Ctrl-C, after kill -9,
                                            or for longer
  qatviz networks lenet                     its layers
  qatviz data path/to/images                what is in a data set

"""
    + _EXIT_CODES
)

_TRAIN_EXAMPLES = (
    """\
examples:
  qatviz train --steps 2000 --preset tflite-int8 --out runs/a
  qatviz train --weights num_bits=4,per_channel=on --activations num_bits=8 \\
      --set '500:conv1.weights.num_bits=3' \\
      --set '800:*.weights.symmetric=off' --out runs/b
  qatviz train --resume runs/b --steps 4000 --set run.learning_rate=1e-4
  qatviz train --fork runs/b@before-00000500 --set conv1.weights.num_bits=2 \\
      --out runs/c
  qatviz train --network resnet8 --data path/to/images --json --quiet
  qatviz train --model mine.h5 --data mine.npz --quant-delay 500 --out runs/d

settings:
  --set [STEP:]PATH=VALUE[,PATH=VALUE] changes settings before the step numbered
  STEP (counting from 0), without STEP at once. PATH is TENSOR.SETTING or
  run.SETTING; TENSOR is LAYER.weights, LAYER.activations or a LAYER, with * and
  ?. `qatviz settings` explains all settings, `qatviz networks NAME` lists the
  tensors.

going on:
  A run with --out is kept in that directory. --resume goes on from its newest
  checkpoint that can be read and makes again the changes that came after it;
  --checkpoint goes back to another one. --fork starts a second run from a
  checkpoint. Both keep network, data, batch size, optimizer and seed. Settings
  given with them take effect at once; --steps, and changes asked for at later
  steps, are kept: another --resume goes on with them.

presets:
{presets}

"""
    + _EXIT_CODES
)


class UsageError(QatvizError):
    """The command line says something that is not understood."""


class _Parser(argparse.ArgumentParser):
    """Reports errors as exceptions, so that all of them look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps examples as they are, and tells defaults."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34)


def parse(argv: List[str]) -> argparse.Namespace:
    """What ``argv`` asks for; ``command`` of the result carries it out.

    Raises
    ------
    QatvizError
        Naming what is not understood, with what is near to it.
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
    tensorboard.add_command(functools.partial(_command, commands))
    report.add_command(functools.partial(_command, commands))
    export.add_commands(functools.partial(_command, commands))
    if argv and argv[0] not in commands.choices and argv[0] not in parser._option_string_actions:
        raise UsageError(
            f"there is no command {argv[0]!r}; there are "
            f"{', '.join(commands.choices)}.{did_you_mean(argv[0], commands.choices)}"
        )
    arguments, unknown = parser.parse_known_args(argv)
    if getattr(arguments, "passes_on", False):
        arguments.arguments = argv[1:]
    elif unknown:
        word = unknown[0].partition("=")[0]
        options = commands.choices[arguments.command_name]._option_string_actions
        raise UsageError(
            f"{arguments.command_name}: {word!r} is not understood.{did_you_mean(word, options)} (see qatviz "
            f"{arguments.command_name} --help)"
        )
    return arguments


def _command(commands: Any, name: str, function: Any, summary: str, **more: Any) -> _Parser:
    parser = commands.add_parser(
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
    presets = "\n".join(
        textwrap.fill(f"{name:<12} {preset.description}", 79, initial_indent="  ", subsequent_indent=" " * 15)
        for name, preset in PRESETS.items()
    )
    parser = _command(
        commands,
        "train",
        train.train,
        "train with quantization, and watch",
        epilog=_TRAIN_EXAMPLES.format(presets=presets),
    )
    what = parser.add_argument_group("what is trained")
    what.add_argument("--network", metavar="NAME", help=f"{', '.join(NETWORKS)} (default: {launch.NETWORK})")
    what.add_argument(
        "--model",
        metavar="PATH",
        help="instead: a Keras model, .h5, .json (an architecture), or "
        "script.py:function, which is run and needs --allow-code",
    )
    what.add_argument("--model-weights", metavar="PATH", help="with a .json: its weights, .h5")
    what.add_argument(
        "--allow-code",
        action="store_true",
        help="run the code in the model's file, with your rights: only for a file that you trust",
    )
    what.add_argument("--from-scratch", action="store_true", help="leave the model's weights out")
    what.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(named.name for named in NAMED_DATA)}, or a file or directory (default: {launch.DATA})",
    )
    _add_task(what)
    what.add_argument(
        "--validation-fraction",
        type=float,
        metavar="SHARE",
        help=f"share that is held out where the data has no test part (default: {launch.VALIDATION_FRACTION:g})",
    )
    what.add_argument(
        "--steps",
        type=_steps,
        metavar="N",
        help=f"steps in all; inf: until stopped (default: {launch.default('steps')})",
    )
    what.add_argument(
        "--batch-size", type=int, metavar="N", help=f"examples a step (default: {launch.default('batch_size')})"
    )
    what.add_argument(
        "--optimizer", metavar="NAME", help=f"{', '.join(OPTIMIZERS)} (default: {launch.default('optimizer')})"
    )
    what.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"decides initial weights, batches and dropout (default: {launch.default('seed')})",
    )
    quantization = parser.add_argument_group("quantization")
    quantization.add_argument("--preset", metavar="NAME", help=f"{', '.join(PRESETS)} (default: {DEFAULT_PRESET})")
    quantization.add_argument(
        "--quant-delay",
        type=int,
        metavar="N",
        help="train N steps in float before quantization begins: fine-tuning (default: 0)",
    )
    for kind in ("weights", "activations"):
        quantization.add_argument(
            "--" + kind, action="append", default=[], metavar="NAME=VALUE,...", help=f"settings of all {kind}"
        )
    quantization.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[STEP:]PATH=VALUE,...",
        help="change settings at a step; may be repeated",
    )
    run = parser.add_argument_group("settings of the run")
    for setting in RUN_SETTINGS.values():
        _add_setting(run, setting)
    _add_keeping(parser)
    where = parser.add_argument_group("where it runs")
    where.add_argument(
        "--session-target",
        default="",
        metavar="URL",
        help="TensorFlow server to run on, such as grpc://host:2222 (default: in this process)",
    )
    where.add_argument(
        "--device", default="", metavar="NAME", help="such as /cpu:0 or /gpu:0 (default: TensorFlow's choice)"
    )
    where.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads TensorFlow may use (default: one a core)"
    )


def _add_task(group: Any) -> None:
    group.add_argument(
        "--task", choices=TASKS, help=f"what there is to learn (default: as the data says, else {TASK_HELP})"
    )


def _add_keeping(parser: argparse.ArgumentParser) -> None:
    kept = parser.add_argument_group("record and output")
    kept.add_argument("--out", metavar="DIR", help="keep the run in this directory (default: it is not kept)")
    kept.add_argument("--resume", metavar="DIR", help="go on with the run in this directory")
    kept.add_argument("--fork", metavar="DIR[@CHECKPOINT]", help="start a second run from a checkpoint of that run")
    kept.add_argument("--checkpoint", metavar="NAME", help="with --resume: go on from this checkpoint, not the newest")
    kept.add_argument("--json", action="store_true", help="print the result as one line of JSON, the last on stdout")
    kept.add_argument("--quiet", action="store_true", help="no progress and no table; errors are still told")


def _add_setting(group: Any, setting: Setting) -> None:
    """An option from a declaration; its text is checked where all other values are."""
    option = "--" + setting.name.replace("_", "-")
    default = {True: "on", False: "off"}[setting.default] if setting.type is bool else f"{setting.default:g}"
    text = f"{setting.help.rstrip('.')}; {setting.allowed()} (default: {default})"
    group.add_argument(
        option,
        metavar="on|off" if setting.type is bool else "X",
        help=text.replace("%", "%%"),
        type=lambda value: setting.parse(value, option),
    )


def _steps(text: str) -> Any:
    """A number of steps, or ``inf``; a ValueError tells argparse that it is neither."""
    return launch.UNTIL_STOPPED if text == "inf" else int(text)


_steps.__name__ = "number of steps"  # argparse's messages name the type by it


def _add_show(commands: Any) -> None:
    parser = _command(commands, "show", show.show, "tell what happened in a recorded run, also while it goes on")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def _add_listings(commands: Any) -> None:
    parser = _command(
        commands, "networks", listing.networks, "list the networks that come with qatviz, or the layers of one"
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument(
        "--input-shape", default="28x28x1", metavar="HxWxC", help="of one example (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="number of classes (default: %(default)s)")
    _json(parser)
    parser = _command(commands, "data", listing.data, "tell what is in a data set, and whether it can be used")
    parser.add_argument("source", nargs="?", metavar="NAME_OR_PATH", help="without it: list what can be read")
    _add_task(parser)
    _json(parser)
    parser = _command(commands, "settings", listing.settings, "explain all settings of quantizers and of the run")
    _json(parser)
    parser = _command(commands, "presets", listing.presets, "list the presets and what they set")
    _json(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead")
