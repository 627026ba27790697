"""Corrections of the network: their names and texts, and their progress, which is not recorded."""

from dataclasses import MISSING, fields
from typing import Any, Dict, NamedTuple, Optional, Tuple, Type, cast

from qatviz.errors import SettingError, did_you_mean
from qatviz.protocol.commands import (
    AdaRound,
    Command,
    CorrectBias,
    CorrectionCommand,
    EqualizeLayers,
    ReestimateBatchNorm,
)

#: Option of a new run or a fork that replaces each ReLU6, which prevents an equalization; refusals name it.
RELU6_OPTION = "--replace-relu6"
RELU6_HELP = "use ReLU in place of each ReLU6, with which layers can't be equalized"


class CorrectionProgress(NamedTuple):
    """Progress of a correction, for the present readers of a run.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    command : str
        Name of the command's class.
    fraction : float or None
        Fraction that is done, 0 to 1; None when the correction has ended, which the reply to the command also reports.
    """

    step: int
    command: str
    fraction: Optional[float]


class CorrectionKind(NamedTuple):
    """Texts of a kind of correction.

    Attributes
    ----------
    command : type
    name : str
        Name on the command line.
    label : str
        Text of its action in the window.
    done : str
        Text for a correction that was made: ``layers equalized``.
    short : str
        Label of its marker.
    help : str
        Description of its effect in one sentence.
    """

    command: Type[Command]
    name: str
    label: str
    done: str
    short: str
    help: str


#: All corrections by the name of their command's class.
CORRECTION_KINDS: Dict[str, CorrectionKind] = {
    kind.command.__name__: kind
    for kind in (
        CorrectionKind(
            ReestimateBatchNorm,
            "reestimate-batch-norm",
            "Re-estimate batch norm",
            "batch norm re-estimated",
            "batch norm",
            "Measure mean and variance of each batch norm anew over recent batches, as the network is quantized now: "
            "moving averages lag behind, and do not include the rounding of weights.",
        ),
        CorrectionKind(
            EqualizeLayers,
            "equalize-layers",
            "Equalize layers",
            "layers equalized",
            "equalized",
            "Move scale from wide channels of a layer into the weights of the next one, so that one scale fits all "
            "channels; the network in float stays the same.",
        ),
        CorrectionKind(
            CorrectBias,
            "correct-bias",
            "Correct biases",
            "biases corrected",
            "biases",
            "Subtract the mean error that quantization causes in each layer's output from its bias, measured on recent "
            "batches.",
        ),
        CorrectionKind(
            AdaRound,
            "adaround",
            "Learn rounding (AdaRound)",
            "rounding learned (AdaRound)",
            "AdaRound",
            "Learn for each weight whether to round it up or down, so that each layer's output stays close to float; "
            "training then continues from the rounded weights.",
        ),
    )
}
_BY_NAME = {kind.name: kind for kind in CORRECTION_KINDS.values()}


def kind_of(command: Command) -> Optional[CorrectionKind]:
    """Return the kind of a correction; None for other commands."""
    return CORRECTION_KINDS.get(type(command).__name__)


def parse_correction(text: str) -> CorrectionCommand:
    """Return the correction written as ``NAME[,FIELD=VALUE]``: ``adaround,iterations=2000``.

    Names of layers are separated by "+": ``equalize-layers,layers=conv1+conv2``.

    Raises
    ------
    SettingError
        If there is no such correction or field, or a value is not allowed.
    """
    name, *rest = text.strip().split(",")
    kind = _BY_NAME.get(name)
    if kind is None:
        hint = did_you_mean(name, _BY_NAME)
        raise SettingError(f"there is no correction {name!r}: expected one of {', '.join(_BY_NAME)}.{hint}".rstrip("."))
    known = {f.name: f for f in fields(kind.command)}
    values: Dict[str, Any] = {}
    for pair in rest:
        field_name, equals, value = pair.partition("=")
        if not equals or field_name not in known:
            raise SettingError(f"{name}: {pair!r}: expected {' or '.join(f'{one}=VALUE' for one in known)}")
        values[field_name] = _value(f"{name}: {field_name}", value, known[field_name].default)
    return cast(CorrectionCommand, kind.command(**values))


def correction_text(command: Command) -> str:
    """Return a correction in the form that :func:`parse_correction` parses; values that are defaults are omitted."""
    kind = kind_of(command)
    assert kind is not None, "only corrections have this form"
    given = [
        (f.name, getattr(command, f.name))
        for f in fields(command)
        if f.default is MISSING or getattr(command, f.name) != f.default
    ]
    return ",".join([kind.name, *(f"{name}={_text(value)}" for name, value in given)])


def _value(where: str, text: str, default: Any) -> Any:
    """Return the value of a field from its text: names if its default is a tuple, else a whole number."""
    if isinstance(default, tuple):
        return tuple(filter(None, text.split("+")))
    try:
        return int(text)
    except ValueError as error:
        raise SettingError(f"{where} is {text!r}: expected a whole number of at least 1") from error


def _text(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def names_of_corrections() -> Tuple[str, ...]:
    """Return the names of all corrections on the command line."""
    return tuple(_BY_NAME)
