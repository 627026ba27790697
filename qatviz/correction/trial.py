"""Trial of an equalization: the range ratios that weights would have after it, computed before it is offered."""

# Apart from equalization.py, because a correction of a run needs no trial.

from typing import Collection, Dict, Mapping

import numpy as np

from qatviz.analysis.channels import channel_ranges
from qatviz.correction.equalization import changed_units, equalized
from qatviz.correction.pairs import layer_pairs
from qatviz.network.folding import folded
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan


def equalized_ratios(
    network: Network, plan: QuantizationPlan, arrays: Mapping[str, np.ndarray], fixed: Collection[str] = ()
) -> Dict[str, float]:
    """Return the range ratio that each weight tensor would have after an equalization of all layers that allow it.

    Parameters
    ----------
    arrays : mapping of str to np.ndarray
        Parameters of the network, float32, by ``layer.parameter``.
    fixed : collection of str
        Parameters ``layer.parameter`` that must not change.

    Returns
    -------
    dict of str to float
        Range ratio by name of each weight tensor that would change.
    """
    pairs, _ = layer_pairs(network, plan, fixed)
    result, names = equalized(plan, pairs, arrays), changed_units(pairs)
    return {
        unit.weights: channel_ranges(plan.tensor(unit.weights), folded(plan, unit, result.arrays).weights).range_ratio
        for unit in plan.units
        if unit.name in names
    }
