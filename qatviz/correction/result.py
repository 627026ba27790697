"""Result of a correction."""

# Without TensorFlow, which the computation of most corrections needs.

from typing import Dict, NamedTuple, Tuple

import numpy as np


class Correction(NamedTuple):
    """Result of a correction.

    Attributes
    ----------
    arrays : dict of str to np.ndarray
        All arrays of the state.
    notes : tuple of str
        What it did.
    weights : tuple of str
        Weight tensors whose held ranges no longer fit.
    activations : tuple of str
        Activations tensors whose ranges no longer fit.
    """

    arrays: Dict[str, np.ndarray]
    notes: Tuple[str, ...]
    weights: Tuple[str, ...] = ()
    activations: Tuple[str, ...] = ()
