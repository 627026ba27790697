"""Loss and metric of each output of a new run, from those of its request."""

# A separate module, because begin.py would be too long with it.

from typing import Any, Dict, Sequence

from qatviz.errors import SettingError
from qatviz.heads import LOSS, METRIC, chosen_heads
from qatviz.losses import AUTOMATIC, BINARY_CROSS_ENTROPY
from qatviz.session.request import NewRunRequest


def learned(request: NewRunRequest, names: Sequence[str], is_logit: Sequence[bool]) -> Dict[str, Any]:
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
        For an output that does not exist, and a loss or a metric for all of several outputs.
    """
    if len(names) == 1:
        choices = dict(next(iter(request.heads.values()), {}))
        chosen_heads(request.heads, names)  # raises an error for an output that does not exist
        loss, metric = choices.get(LOSS, request.loss), choices.get(METRIC, request.metric)
        return {"loss": BINARY_CROSS_ENTROPY if is_logit[0] and loss == AUTOMATIC else loss, "metric_name": metric}
    heads = chosen_heads(request.heads, names)
    heads = tuple(
        head._replace(loss=BINARY_CROSS_ENTROPY) if logit and head.loss == AUTOMATIC else head
        for head, logit in zip(heads, is_logit)
    )
    stated = {name: getattr(request, name) for name in (LOSS, METRIC)}
    for name, value in stated.items():
        if value != AUTOMATIC:
            outputs = ", ".join(map(repr, names))
            raise SettingError.of_field(
                name, f"is {value!r}, but the network has the outputs {outputs}: state it for each"
            )
    return {"heads": heads}
