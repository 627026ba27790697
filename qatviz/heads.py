"""Heads: the loss of each of several outputs of a network, the weights in that loss, and the metric of the output."""

import math
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from qatviz.class_weights import class_weights_text, parse_class_weights
from qatviz.errors import SettingError
from qatviz.losses import AUTOMATIC, LOSS_CHOICES
from qatviz.metric import METRIC_CHOICES
from qatviz.name_lookup import by_name, index_of
from qatviz.own_functions import FORM, is_function
from qatviz.task import check_task

#: Names of what can be chosen for an output, as in options and keywords.
LOSS, LOSS_WEIGHT, METRIC, TASK, CLASS_WEIGHTS = "loss", "loss_weight", "metric", "task", "class_weights"
CHOICES = (LOSS, LOSS_WEIGHT, METRIC, TASK, CLASS_WEIGHTS)
#: Chosen values by name or index of an output, then by a name of `CHOICES`.
Choices = Mapping[str, Mapping[str, Any]]


class Head(NamedTuple):
    """Loss and metric of one output of a network.

    Attributes
    ----------
    output : str
        Name of the output, see :attr:`qatviz.network.graph.Network.output_names`.
    loss : str
        A name of :data:`qatviz.losses.LOSS_CHOICES`, or a function ``path.py:function``.
    weight : float
        Factor of its loss in the loss of the run, at least 0.
    metric : str
        A name of :data:`qatviz.metric.METRIC_CHOICES`, or a function.
    class_weights : str
        Weights of its classes in its loss, in the form of :func:`qatviz.class_weights.parse_class_weights`.
    """

    output: str
    loss: str = AUTOMATIC
    weight: float = 1.0
    metric: str = AUTOMATIC
    class_weights: str = ""

    def to_dict(self) -> Dict[str, Any]:
        """Return the fields by name, JSON-able; without class weights if there are none."""
        row = dict(self._asdict())
        if not self.class_weights:
            del row[CLASS_WEIGHTS]
        return row


def heads_from(rows: Any) -> Tuple[Head, ...]:
    """Return the heads in a list of dicts, each with entries of :meth:`Head.to_dict`; other entries are ignored.

    Raises
    ------
    SettingError
        If the form or a value is not allowed.
    """
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        raise SettingError(f"heads are {rows!r}: expected a list with an object for each output")
    heads = []
    for row in rows:
        if not isinstance(row.get("output"), str):
            raise SettingError(f"the output of a head is {row.get('output')!r}: expected a name")
        head = Head(**{name: row[name] for name in Head._fields if name in row})
        for name, value in (
            (LOSS, head.loss),
            (LOSS_WEIGHT, head.weight),
            (METRIC, head.metric),
            (CLASS_WEIGHTS, head.class_weights),
        ):
            check_choice(name, value)
        heads.append(head)
    return tuple(heads)


def check_choice(name: str, value: Any) -> None:
    """Raise an error unless ``value`` can be chosen for an output as its ``name``, one of `CHOICES`.

    Raises
    ------
    SettingError
        With the field ``name``.
    DataError
        If a task is not allowed.
    """
    if name == TASK:
        check_task(value)
    elif name == LOSS_WEIGHT:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value < math.inf:
            raise SettingError.of_field(name, f"is {value!r}: expected a number of at least 0")
    elif name == CLASS_WEIGHTS:
        if not isinstance(value, str):
            raise SettingError.of_field(name, f"is {value!r}: expected text")
        parse_class_weights(value)
    else:
        known = {LOSS: LOSS_CHOICES, METRIC: METRIC_CHOICES}[name]
        if not isinstance(value, str) or (value not in known and not is_function(value)):
            raise SettingError.of_field(name, f"is {value!r}: expected one of {', '.join(known)}, or {FORM}")


def check_choices(choices: Mapping[Any, Any]) -> None:
    """Raise an error of :func:`check_choice`, or another `SettingError`, unless these are :data:`Choices`."""
    for output, chosen in choices.items():
        if not isinstance(output, str) or not isinstance(chosen, Mapping) or set(chosen) - set(CHOICES):
            raise SettingError(f"heads are {choices!r}: expected {', '.join(CHOICES)} by name or index of an output")
        for name, value in chosen.items():
            check_choice(name, value)


def by_output(values: Union[Mapping[Any, Any], Sequence[Any]]) -> Dict[str, Any]:
    """Return values by name or index of an output, without those that are None.

    A sequence has the values in the order of the outputs.

    >>> by_output({"digit": 0.5}), by_output(["mse", None])
    ({'digit': 0.5}, {'0': 'mse'})
    """
    return {name: value for name, value in by_name(values).items() if value is not None}


def class_weights_by_output(value: Any) -> Optional[Dict[str, str]]:
    """Return the texts of weights of classes by name or index of an output; None if they are those of one output.

    >>> class_weights_by_output({"kind": {"cat": 2.0}, "real": "balanced"}), class_weights_by_output({"cat": 2.0})
    ({'kind': 'cat=2.0', 'real': 'balanced'}, None)
    """
    if isinstance(value, Mapping) and not any(isinstance(each, (str, Mapping)) for each in value.values()):
        return None
    if not isinstance(value, (Mapping, list, tuple)):
        return None
    return {output: class_weights_text(each) for output, each in by_output(value).items()}


def chosen_heads(choices: Choices, outputs: Sequence[str]) -> Tuple[Head, ...]:
    """Return the heads of a network's outputs, with what was chosen for some of them; the rest has the defaults.

    Parameters
    ----------
    choices : Choices
    outputs : sequence of str
        Names of the outputs.

    Raises
    ------
    SettingError
        If there is no such output; the field is the name of what was chosen for it.
    """
    found: Dict[str, Dict[str, Any]] = {name: {} for name in outputs}
    for key, chosen in choices.items():
        for name, value in chosen.items():
            output = output_named(key, outputs)
            if output is None:
                known = ", ".join(map(repr, outputs))
                raise SettingError.of_field(name, f"is stated for the output {key!r}: expected one of {known}")
            found[output][name] = value
    return tuple(
        Head(
            name,
            chosen.get(LOSS, AUTOMATIC),
            float(chosen.get(LOSS_WEIGHT, 1.0)),
            chosen.get(METRIC, AUTOMATIC),
            chosen.get(CLASS_WEIGHTS, ""),
        )
        for name, chosen in found.items()
    )


def stated_tasks(choices: Choices) -> Dict[str, str]:
    """Return the tasks that are chosen, by name or index of an output."""
    return {key: chosen[TASK] for key, chosen in choices.items() if TASK in chosen}


def output_named(key: str, outputs: Sequence[str]) -> Optional[str]:
    """Return the output of this name or, if there is none, with this index; None without either."""
    index = index_of(key, outputs)
    return None if index is None else outputs[index]
