"""Choice of the scaling of pixels for a trained model, by its accuracy on held-out examples."""

from typing import Dict, Iterable, NamedTuple, Optional

import numpy as np

from qatviz.data import Dataset
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.scaling import SIGNED, UNIT, UNSCALED, scaling_of

#: Number of held-out examples, and the largest number of multiply-accumulates of all of them (some seconds).
_EXAMPLES, _MACS = 256, 2 * 10**10
#: Scalings that are compared first; the one before all others is kept unless another one is clearly better.
_SCALINGS = UNIT, SIGNED, UNSCALED
#: Standard errors by which another scaling must be better.
_CLEARLY = 3.0

Arrays = Dict[str, np.ndarray]


class ScalingChoice(NamedTuple):
    """Scaling of pixels for which a trained model is most accurate.

    Attributes
    ----------
    scaling : str
        Its text: a name, or the numbers of the scaling to mean 0 and deviation 1.
    accuracies : dict of str to float
        Fraction of right classes in float by scaling, 0..1.
    examples : int
        Number of held-out examples.
    """

    scaling: str
    accuracies: Dict[str, float]
    examples: int


def best_scaling(network: Network, parameters: Arrays, dataset: Dataset) -> Optional[ScalingChoice]:
    """Return the scaling for which a classifier with these parameters is most accurate in float.

    Another one than x / 255 is chosen only if it has more right classes by three standard errors of the difference, or
    not fewer and a smaller cross-entropy by as much. (A network without biases is as accurate for pixels of 0 to 255,
    only less certain.) The scaling to mean 0 and deviation 1 must be better than the best of all others by as much,
    because it lies between them. None if the examples are too few or the network is too large.

    Examples may have or lack a last axis of length 1 in comparison with the network's input.
    """
    from qatviz.export.proof.graph import EvaluationGraph  # it imports TensorFlow

    number = min(_EXAMPLES, len(dataset.x_test), _MACS // max(network.macs, 1))
    if number < 16:
        return None
    rows = np.unique(np.linspace(0, len(dataset.x_test) - 1, number).astype(np.int64))
    stored, labels = dataset.x_test[rows].astype(np.float32), dataset.y_test[rows]
    plan = quantization_plan(network)
    arrays = {**parameters, **live_state.initial_ranges(live_state.layout(plan))}
    standard = dataset.standard_scaling()
    right: Dict[str, np.ndarray] = {}
    likelihood: Dict[str, np.ndarray] = {}
    with EvaluationGraph(network, SettingsBook.from_preset(plan, DEFAULT_PRESET), arrays) as graph:
        for name in (*_SCALINGS, standard):
            fed = scaling_of(name).apply(stored).reshape((-1, *network.input_shape))
            logits = graph.logits(fed, quantized=False).astype(np.float64)
            if logits.shape[1] == 1:  # the logit of class 1 of two
                logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
            right[name] = (logits.argmax(axis=1) == labels).astype(np.float64)
            largest = logits.max(axis=1)
            total = largest + np.log(np.exp(logits - largest[:, np.newaxis]).sum(axis=1))
            likelihood[name] = logits[np.arange(len(labels)), labels] - total

    def better(names: Iterable[str], kept: str) -> str:
        """Return the best of these scalings if it is clearly better than the kept one, which is returned otherwise."""
        best = max(names, key=lambda name: (right[name].sum(), likelihood[name].sum()))
        is_clear = _is_clear(right[best] - right[kept]) or _is_clear(likelihood[best] - likelihood[kept])
        return best if is_clear else kept

    best = better(_SCALINGS, UNIT)
    best = better((best, standard), best)
    return ScalingChoice(best, {name: float(each.mean()) for name, each in right.items()}, len(rows))


def _is_clear(differences: np.ndarray) -> bool:
    """Return whether the mean of differences, one for each example, is above 0 by `_CLEARLY` standard errors."""
    return bool(differences.mean() > _CLEARLY * differences.std() / np.sqrt(len(differences)))
