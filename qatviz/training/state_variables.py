"""State of a run in a graph beside that of the run: parameters, ranges and settings, in variables of its own."""

from typing import Mapping

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.training.lowering.layers import Parameters
from qatviz.training.variables import Loader, StateVariable


class StateVariables:
    """Variables for the arrays of a state that evaluations read.

    Parameters
    ----------
    spec : RunSpec
    keeps_frozen : bool
        True if frozen weights have their frozen levels; False if all weights are rounded as they are, because the graph
        is also for weights other than those that were frozen.

    Attributes
    ----------
    values : dict of str to tf.Tensor
        Values by the names of :mod:`qatviz.quant.live_state`, and of the parameters.
    """

    def __init__(self, spec: RunSpec, keeps_frozen: bool):
        self._positions = live_state.layout(spec.plan)
        self._optional = live_state.untracked(self._positions) if keeps_frozen else {}
        arrays = {
            **live_state.initial_ranges(self._positions),
            **live_state.settings_arrays(self._positions, spec.book.quantizers, spec.book.run, 0),
            **{name: array for name, array in self._optional.items() if name == FROZEN_LEVELS},
        }
        kinds = {
            name: (array.dtype, array.shape) for name, array in arrays.items() if name not in live_state.TRAINING_ONLY
        }
        parameters = {name: (np.float32, shape) for name, shape in spec.network.all_parameter_shapes().items()}
        kinds.update(parameters)
        variables = {name: StateVariable(name, dtype, shape) for name, (dtype, shape) in kinds.items()}
        self._load, self._load_parameters = Loader(variables, sorted(variables)), Loader(variables, sorted(parameters))
        self.values: Parameters = {name: variable.read() for name, variable in variables.items()}

    def load(self, session: tf.Session, arrays: Mapping[str, np.ndarray], book: SettingsBook, step: int) -> None:
        """Set the state to that of a checkpoint's arrays, under the settings ``book`` after ``step`` steps."""
        settings = live_state.settings_arrays(self._positions, book.quantizers, book.run, step)
        self._load(session, {**self._optional, **arrays, **settings})

    def load_parameters(self, session: tf.Session, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the parameters alone."""
        self._load_parameters(session, arrays)
