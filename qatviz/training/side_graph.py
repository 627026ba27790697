"""Graph beside that of a run, with a session and variables of its own."""

from typing import Dict, Mapping

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.training.building import quick_building
from qatviz.training.session import open_session
from qatviz.training.variables import StateVariable


class SideGraph:
    """Base class of the graphs that compute on states of a run; each is used by one thread at a time.

    Its session is in this process, wherever that of the run is: sessions on a server share variables by their names.

    Parameters
    ----------
    spec : RunSpec
    """

    def __init__(self, spec: RunSpec):
        self._spec, self._positions = spec, live_state.layout(spec.plan)
        self._graph = tf.Graph()
        with self._graph.as_default(), quick_building():
            self._build()
        self._graph.finalize()
        self._session = open_session(self._graph, spec.placement.local)

    def close(self) -> None:
        """Release the session."""
        self._session.close()

    def _build(self) -> None:
        """Add the operations to the default graph."""
        raise NotImplementedError

    def _parameters(self) -> Dict[str, StateVariable]:
        """Return new variables for the parameters of the network, float32."""
        shapes = self._spec.network.all_parameter_shapes()
        return {name: StateVariable(name, np.float32, shape) for name, shape in shapes.items()}

    def _quantization(self, more: Mapping[str, np.ndarray]) -> Dict[str, StateVariable]:
        """Return new variables for ranges, for settings except those that only training reads, and for ``more``.

        ``more`` has arrays by name, with the shapes and dtypes of further variables.
        """
        spec = self._spec
        arrays = {**live_state.initial_ranges(self._positions), **self._settings(spec.book, 0), **more}
        kept = {name: array for name, array in arrays.items() if name not in live_state.TRAINING_ONLY}
        return {name: StateVariable(name, array.dtype, array.shape) for name, array in kept.items()}

    def _settings(self, book: SettingsBook, step: int) -> Dict[str, np.ndarray]:
        """Return the arrays for the settings ``book`` after ``step`` training steps."""
        return live_state.settings_arrays(self._positions, book.quantizers, book.run, step)
