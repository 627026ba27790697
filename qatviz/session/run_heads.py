"""Heads of a new run: the loss and metric of each output, from those that its request states."""

from typing import Any, Dict, Sequence

from qatviz.data import Dataset
from qatviz.errors import DataError, SettingError
from qatviz.heads import CLASS_WEIGHTS, LOSS, METRIC, TASK, Choices, chosen_heads, output_named, stated_tasks
from qatviz.losses import AUTOMATIC, BINARY_CROSS_ENTROPY
from qatviz.session.request import NewRunRequest


def check_tasks(choices: Choices, dataset: Dataset) -> None:
    """Raise an error unless the outputs have the tasks that are stated for them.

    Data is read before the outputs are known: a task that is stated by index is that of the data's order then, which
    can differ from that of the outputs if its targets have names.
    """
    names = [head.output for head in dataset.heads]
    for key, task in stated_tasks(choices).items():
        output = output_named(key, names)
        if output is not None and dataset.heads[names.index(output)].task != task:
            raise DataError(
                f"the task {task!r} is stated for the output {key}, but {dataset.name} has its targets in another "
                f"order: state it for {output!r}",
                TASK,
            )


def head_fields(request: NewRunRequest, names: Sequence[str], is_logit: Sequence[bool]) -> Dict[str, Any]:
    """Return the fields of a run's spec for the losses and metrics of its outputs.

    Parameters
    ----------
    request : NewRunRequest
    names : sequence of str
        Names of the outputs.
    is_logit : sequence of bool
        True for each output whose loss is binary cross-entropy if none is stated.

    Raises
    ------
    SettingError
        For an output that does not exist, and a loss, a metric or class weights for all of several outputs.
    """
    if len(names) == 1:
        choices = dict(next(iter(request.heads.values()), {}))
        chosen_heads(request.heads, names)  # raises an error for an output that does not exist
        loss, metric = choices.get(LOSS, request.loss), choices.get(METRIC, request.metric)
        return {
            "loss": BINARY_CROSS_ENTROPY if is_logit[0] and loss == AUTOMATIC else loss,
            "metric_name": metric,
            "class_weights": choices.get(CLASS_WEIGHTS, request.class_weights),
        }
    heads = chosen_heads(request.heads, names)
    heads = tuple(
        head._replace(loss=BINARY_CROSS_ENTROPY) if logit and head.loss == AUTOMATIC else head
        for head, logit in zip(heads, is_logit)
    )
    for name, unstated in ((LOSS, AUTOMATIC), (METRIC, AUTOMATIC), (CLASS_WEIGHTS, "")):
        value = getattr(request, name)
        if value != unstated:
            outputs = ", ".join(map(repr, names))
            raise SettingError.of_field(
                name, f"is {value!r}, but the network has the outputs {outputs}: state it for each"
            )
    return {"heads": heads}
