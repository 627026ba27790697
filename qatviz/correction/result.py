"""Result of a correction."""

# Apart from training/correction_jobs.py, because that module imports TensorFlow.

from typing import Dict, NamedTuple, Tuple

import numpy as np


class Correction(NamedTuple):
    """Result of a correction.

    Attributes
    ----------
    arrays : dict of str to np.ndarray
        All arrays of the state, as in a checkpoint.
    notes : tuple of str
        Sentences for the user: what was changed, by how much, and which layers were left out.
    weights : tuple of str
        Names of the weight tensors whose held ranges no longer fit.
    activations : tuple of str
        Names of the activation tensors whose ranges no longer fit.
    """

    arrays: Dict[str, np.ndarray]
    notes: Tuple[str, ...]
    weights: Tuple[str, ...] = ()
    activations: Tuple[str, ...] = ()
