"""Options of ``qatviz train``, and their conversion to a request."""

import argparse
import os
import textwrap
from typing import Any, Callable, Dict, Iterable, Optional, Tuple, Union

from qatviz.augmentation_settings import AUGMENTATION_SETTINGS
from qatviz.class_weights import parse_class_weights
from qatviz.cli.correction_options import add_corrections, corrections_help
from qatviz.cli.device_options import add_device
from qatviz.data import NAMED_DATA
from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import QatvizError, SettingError, did_you_mean
from qatviz.heads import CHOICES, CLASS_WEIGHTS, LOSS_WEIGHT, TASK, stated_tasks
from qatviz.losses import AUTOMATIC, LOSS_CHOICES
from qatviz.metric import METRIC_CHOICES
from qatviz.network.model_formats import MODEL_FORMATS, WEIGHTS_FORMATS
from qatviz.network.zoo import NETWORKS
from qatviz.option_names import option_name
from qatviz.own_functions import FORM
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.protocol.settings_book import parse_assignment
from qatviz.scaling import SCALING_FORM, SCALING_HELP, SCALINGS, STANDARD, STANDARD_HELP, check_wanted_scaling
from qatviz.session.changes import CHANGES, parse_change, recipe_changes
from qatviz.session.request import (
    DEFAULT_DATA,
    DEFAULT_NETWORK,
    DEFAULT_VALIDATION_FRACTION,
    FOLD_FORWARD_HELP,
    FOLD_FORWARD_OPTION,
    ForkRequest,
    NewRunRequest,
    ResumeRequest,
)
from qatviz.session.request_json import NO_LIMIT
from qatviz.setting_declaration import Setting
from qatviz.settings import (
    KINDS,
    OPTIMIZERS,
    QUANTIZER_SETTINGS,
    RUN_SETTINGS,
    RunSettings,
    quantizer_setting,
    run_settings_for,
    setting_text,
)
from qatviz.start_settings import START_SETTINGS
from qatviz.task import TASK_HELP, TASKS, check_task

#: Options that can't change in a continued run, by the name of their field of a request.
_FIXED = (
    "network",
    "model",
    "model_weights",
    "from_scratch",
    "fold_forward",
    "teacher_model",
    "quant_delay",
    "batch_size",
    "optimizer",
    "loss",
    "loss_weight",
    "class_weights",
    "metric",
    "seed",
    "validation_fraction",
    "task",
    "scaling",
)
_NO_LIMIT = "inf"
_FROM_SCRATCH_HELP = "start with random weights instead of the model's"
_METAVARS = {bool: "on|off", int: "N", float: "X", str: "TEXT"}

EXAMPLES = """\
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
  --set [STEP:]PATH=VALUE[,PATH=VALUE] changes settings before the training step
  numbered STEP (counting from 0), without STEP at once. PATH is TENSOR.SETTING
  or run.SETTING; TENSOR is LAYER.weights, LAYER.activations or a LAYER, with *
  and ?. `qatviz settings` describes all settings, `qatviz networks NAME` lists
  the tensors.

{corrections}

resume and fork:
  A run with --out is recorded in that directory. --resume continues from its
  newest readable checkpoint and repeats the later changes of settings;
  --checkpoint selects another one. --fork starts a second run from a
  checkpoint. Both keep network, data, batch size, optimizer, loss and seed.
  Settings given with them take effect at once; --steps and changes at later
  steps are recorded: another --resume follows them.

presets:
{presets}

"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``qatviz train``."""
    inputs = parser.add_argument_group("network and data")
    _add_network_and_data(inputs)
    _add_learning(inputs)
    _add_quantization(parser.add_argument_group("quantization"))
    run = parser.add_argument_group("settings of the run")
    for setting in RUN_SETTINGS.values():
        _add_setting(run, setting)
    _add_record_and_output(parser.add_argument_group("record and output"))
    add_device(parser.add_argument_group("device"))


def _add_network_and_data(group: Any) -> None:
    add_network(group)
    group.add_argument(
        "--model", metavar="PATH", help=f"instead of a network: {MODEL_FORMATS}, which requires --allow-code"
    )
    group.add_argument("--model-weights", metavar="PATH", help=f"weights for a .json model: {WEIGHTS_FORMATS}")
    group.add_argument(
        "--teacher-model",
        metavar="PATH",
        help="trained Keras model in one of these forms, whose outputs training imitates besides the labels: --teacher",
    )
    group.add_argument(
        "--allow-code",
        action="store_true",
        help="run the Python code of the model's file, or of a loss or metric, with your permissions; only for files "
        "that you trust",
    )
    for option, text in (("--from-scratch", _FROM_SCRATCH_HELP), (FOLD_FORWARD_OPTION, FOLD_FORWARD_HELP)):
        group.add_argument(option, action="store_const", const=True, help=text)
    add_data(group)
    group.add_argument(
        "--validation-fraction",
        type=float,
        metavar="X",
        help="fraction of the examples that is held out if the data has no part to hold out (default: "
        f"{DEFAULT_VALIDATION_FRACTION:g})",
    )


def _add_learning(group: Any) -> None:
    """Declare what is fixed at the start of a run: number of steps, batch size, optimizer, loss, metric, seed."""
    add_steps(group)
    _add_setting(group, START_SETTINGS["batch_size"])
    group.add_argument(
        "--optimizer", metavar="NAME", help=f"{', '.join(OPTIMIZERS)} (default: {START_SETTINGS['optimizer'].default})"
    )
    group.add_argument(
        "--loss",
        action="append",
        metavar="[OUTPUT=]NAME",
        help=f"{', '.join(LOSS_CHOICES)}, or {FORM} with --allow-code (default: {AUTOMATIC}: by the task); "
        "with OUTPUT, the name or index of one of several outputs; may be repeated",
    )
    group.add_argument(
        "--loss-weight",
        action="append",
        metavar="OUTPUT=X",
        help="factor of an output's loss in the sum of all; may be repeated (default: 1)",
    )
    class_weights = START_SETTINGS["class_weights"]
    group.add_argument(
        option_name(CLASS_WEIGHTS),
        action="append",
        metavar="[OUTPUT=]TEXT",
        help=f"{class_weights.help.rstrip('.')}; {class_weights.allowed()} (default: none)",
    )
    group.add_argument(
        "--metric",
        action="append",
        metavar="[OUTPUT=]NAME",
        help=f"metric on held-out data: {', '.join(METRIC_CHOICES)}, or {FORM} with --allow-code (default: {AUTOMATIC}"
        ": by the task); with OUTPUT, the name or index of one of several outputs; may be repeated",
    )
    _add_setting(group, START_SETTINGS["seed"])


def _add_quantization(group: Any) -> None:
    add_preset(group)
    group.add_argument(
        "--quant-delay",
        type=_typed(QUANTIZER_SETTINGS["quant_delay"]),
        metavar="N",
        help="training steps in float before quantization starts, for fine-tuning (default: 0)",
    )
    for kind in KINDS:
        group.add_argument(
            "--" + kind, action="append", default=[], metavar="NAME=VALUE,...", help=f"settings of all {kind}"
        )
    add_recipe(group)
    group.add_argument(
        option_name(CHANGES),
        action="append",
        default=[],
        metavar="[STEP:]PATH=VALUE,...",
        help="change settings at a training step; may be repeated",
    )
    add_corrections(group)


def _add_record_and_output(group: Any) -> None:
    group.add_argument("--out", metavar="DIR", help="record the run in this directory (default: it is not recorded)")
    group.add_argument("--resume", metavar="RUN", help="resume the run in this directory")
    group.add_argument("--fork", metavar="RUN[@CHECKPOINT]", help="start a second run from a checkpoint of that run")
    group.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="with --resume: checkpoint to continue from; best: that of the best evaluation (default: the newest)",
    )
    group.add_argument("--json", action="store_true", help="print the result as one line of JSON, the last on stdout")
    group.add_argument(
        "--quiet", action="store_true", help="print no progress, notes and table; errors and warnings are still printed"
    )


def examples() -> str:
    """Return the examples and explanations after the options in ``qatviz train --help``."""
    presets = "\n".join(
        textwrap.fill(f"{name:<12} {preset.description}", 79, initial_indent="  ", subsequent_indent=" " * 15)
        for name, preset in PRESETS.items()
    )
    return EXAMPLES.format(presets=presets, corrections=corrections_help())


def add_network(group: Any) -> None:
    """Declare ``--network``."""
    group.add_argument("--network", metavar="NAME", help=f"{', '.join(NETWORKS)} (default: {DEFAULT_NETWORK})")


def add_data(group: Any) -> None:
    """Declare ``--data`` and the options that state what the data is."""
    group.add_argument(
        "--data",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(named.name for named in NAMED_DATA)}, or a file or folder; `qatviz data` lists the formats "
        f"(default: {DEFAULT_DATA})",
    )
    add_reading(group)


def add_reading(group: Any) -> None:
    """Declare the options that state what the data is and how it is read."""
    add_task(group)
    add_scaling(group)
    for setting in DATA_OPTIONS.values():
        _add_setting(group, setting)


def add_augmentation(group: Any) -> None:
    """Declare the settings of augmentation."""
    for name in AUGMENTATION_SETTINGS:
        _add_setting(group, RUN_SETTINGS[name])


def augmentation_of(options: argparse.Namespace) -> RunSettings:
    """Return the settings of a run with the stated ones of augmentation."""
    return RunSettings(**_given(options, AUGMENTATION_SETTINGS))


def data_options_of(options: argparse.Namespace) -> DataOptions:
    """Return the options that decide how data is read."""
    return DataOptions(**_given(options, DATA_OPTIONS))


def add_preset(group: Any) -> None:
    """Declare ``--preset``."""
    group.add_argument("--preset", metavar="NAME", help=f"{', '.join(PRESETS)} (default: {DEFAULT_PRESET})")


def add_steps(group: Any) -> None:
    """Declare ``--steps``."""
    _add_setting(group, START_SETTINGS["steps"], _parse_steps, f"; {_NO_LIMIT}: no limit")


def add_recipe(group: Any) -> None:
    """Declare ``--recipe``."""
    group.add_argument(
        "--recipe",
        metavar="FILE",
        help="settings by tensor, in a file of `qatviz recipe` or the .parity.json of an export; --set comes after",
    )


def add_task(group: Any) -> None:
    """Declare ``--task``."""
    group.add_argument(
        "--task",
        action="append",
        type=_task,
        metavar=f"[OUTPUT=]{{{','.join(TASKS)}}}",
        help=f"task (default: that of the data, else {TASK_HELP}); with OUTPUT, of one of several outputs; may be "
        "repeated",
    )


def _task(text: str) -> str:
    try:
        check_task(text.rpartition("=")[2])
    except QatvizError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def tasks_of(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the stated tasks as keyword arguments: ``task``, and ``tasks`` by output."""
    fields = by_output(_given(options, (TASK,)))
    found = {"task": fields[TASK]} if TASK in fields else {}
    return {**found, "tasks": stated_tasks(fields["heads"])} if "heads" in fields else found


def add_scaling(group: Any) -> None:
    """Declare ``--scaling``."""
    meanings = "; ".join(f"{name}: {scaling.help}" for name, scaling in SCALINGS.items())
    group.add_argument(
        "--scaling",
        type=_scaling,
        metavar=f"{{{','.join((*SCALINGS, STANDARD))},MEAN/DEVIATION}}",
        help=f"scaling of the examples. {meanings}; {STANDARD}: {STANDARD_HELP}; or these numbers, one or several "
        f"separated by commas; of several inputs, {SCALING_FORM} (default: {SCALING_HELP})",
    )


def _scaling(text: str) -> str:
    try:
        return check_wanted_scaling(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def request_of(options: argparse.Namespace) -> Union[NewRunRequest, ResumeRequest, ForkRequest]:
    """Return the request for the options of ``qatviz train``.

    Raises
    ------
    SettingError
        If options exclude each other, or a value is not allowed.
    """
    if options.resume and (options.fork or options.out):
        other = "--fork" if options.fork else "--out"
        raise SettingError(f"--resume continues in the run's own directory: omit {other}")
    if options.checkpoint and not options.resume:
        raise SettingError("--checkpoint requires --resume; for a fork, use --fork RUN@CHECKPOINT")
    shared: Dict[str, Any] = {
        "weights": parse_kind(options.weights, "weights"),
        "activations": parse_kind(options.activations, "activations"),
        "changes": (*recipe_changes(options.recipe), *map(parse_change, options.set)),
        "corrections": tuple(options.at),
        "replace_relu6": options.replace_relu6,
        "session_target": options.session_target,
        "device": options.device,
        "threads": options.threads,
        "workers": options.workers,
        "replicas": options.replicas,
        "towers": options.towers,
        "tower_moments": options.tower_moments,
        "elastic": options.elastic,
        **_given(options, ("data", "steps", "preset")),
    }
    run = _given(options, RUN_SETTINGS)
    if options.resume or options.fork:
        for name in _given(options, (*_FIXED, *DATA_OPTIONS)):
            if name == "seed" and options.fork:
                continue
            raise SettingError(f"{option_name(name)}: can't change in a continued run: omit it, or start a new run")
    if options.resume:
        return ResumeRequest(
            directory=options.resume,
            checkpoint=options.checkpoint,
            run=run,
            allow_code=options.allow_code,
            **shared,
        )
    if options.fork:
        directory, checkpoint = parse_fork(options.fork)
        return ForkRequest(
            directory=directory,
            checkpoint=checkpoint,
            run=run,
            out=options.out,
            seed=options.seed,
            allow_code=options.allow_code,
            **shared,
        )
    if options.model is not None:
        if options.network is not None:
            raise SettingError("--network and --model: expected one of them")
        shared["network"] = None
    return NewRunRequest(
        run=run_settings_for(options.optimizer, run),
        data_options=data_options_of(options),
        allow_code=options.allow_code,
        out=options.out,
        **shared,
        **by_output(_given(options, _FIXED)),
    )


def parse_fork(text: str) -> Tuple[str, Optional[str]]:
    """Return directory and checkpoint of ``RUN[@CHECKPOINT]``; None for the newest one."""
    directory, _, checkpoint = text.partition("@")
    if os.path.exists(text):  # a directory may have an @ in its name
        directory, checkpoint = text, ""
    return directory, checkpoint or None


def by_output(given: Dict[str, Any]) -> Dict[str, Any]:
    """Return the fields of a request for options, of which some may be stated by output: ``--loss box=mse``."""
    fields = {name: value for name, value in given.items() if name not in CHOICES}
    heads: Dict[str, Dict[str, Any]] = {}
    for name in CHOICES:
        for text in given.get(name, ()):
            output, equals, value = text.rpartition("=")
            if name == CLASS_WEIGHTS:
                output, equals, value = _class_weights(text)
            if equals and output:
                heads.setdefault(output, {})[name] = _number(text, value) if name == LOSS_WEIGHT else value
            elif name == LOSS_WEIGHT or equals:
                raise SettingError(f"{option_name(name)} {text!r}: expected OUTPUT=VALUE")
            else:
                fields[name] = text
    return {**fields, "heads": heads} if heads else fields


def _class_weights(text: str) -> Tuple[str, str, str]:
    """Return the parts of ``OUTPUT=WEIGHTS``, as str.partition does; of weights without an output, "", "" and these."""
    output, equals, value = text.partition("=")
    try:
        parse_class_weights(value)
    except SettingError:  # a number: the weight of a class
        return "", "", text
    return (output, equals, value) if value else ("", "", text)


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise SettingError(f"{option_name(LOSS_WEIGHT)} {text!r}: expected a number") from error


def parse_kind(texts: Iterable[str], kind: str) -> Dict[str, Any]:
    """Return the settings of all tensors of ``kind`` in ``NAME=VALUE[,NAME=VALUE]``; the last value of a name counts.

    Raises
    ------
    SettingError
    """
    values = {}
    for text in texts:
        for name, value in map(parse_assignment, text.split(",")):
            path = f"--{kind} {name}"
            try:
                setting = quantizer_setting(name, kind, path)
            except SettingError as error:
                known = [known for known, setting in QUANTIZER_SETTINGS.items() if kind in setting.kinds]
                raise SettingError(f"{error}.{did_you_mean(name, known)}") from error
            values[name] = setting.parse(value, path, kind)
    return values


def _given(options: argparse.Namespace, names: Iterable[str]) -> Dict[str, Any]:
    """Return the values of those options that are on the command line."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _add_setting(group: Any, setting: Setting, parse: Any = None, more: str = "") -> None:
    """Add the option of a declared setting, whose errors name the option."""
    default = setting_text(setting.default) or "none"
    text = f"{setting.help.rstrip('.')}; {setting.allowed()}{more} (default: {default})"
    group.add_argument(
        option_name(setting.name),
        metavar=_METAVARS[setting.type],
        help=text.replace("%", "%%"),
        type=parse or _typed(setting),
    )


def _typed(setting: Setting) -> Callable[[str], Any]:
    return lambda text: setting.parse(text, option_name(setting.name))


def _parse_steps(text: str) -> float:
    if text.strip() == _NO_LIMIT:
        return NO_LIMIT
    try:
        steps: int = _typed(START_SETTINGS["steps"])(text)
    except SettingError as error:
        raise SettingError(f"{error}, or {_NO_LIMIT} for no limit") from error
    return steps
