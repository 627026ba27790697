"""Grids and folded parameters of a state of a run, in NumPy, as its quantized evaluation graph computes them.

Counterpart of :mod:`qatviz.quant.live` and :mod:`qatviz.training.lowering.batch_norm`, which compute them in the graph.
"""

from dataclasses import replace
from typing import Dict, Optional

import numpy as np

from qatviz.errors import Advice, ExportError, refused
from qatviz.export.limits import left_in_float
from qatviz.network.activations import fixed_range
from qatviz.network.folding import Folded, folded
from qatviz.network.graph import WITH_WEIGHTS, Network
from qatviz.network.inputs import input_text
from qatviz.network.plan import Unit
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.quant.affine import AffineGrid, choose_grid
from qatviz.quant.int16_kernels import NARROW_BITS
from qatviz.quant.oscillation import FROZEN_LEVELS, NO_LEVEL, sizes
from qatviz.quant.ranges import min_max_range
from qatviz.quant.weight_maps import mapped
from qatviz.settings import WEIGHTS

Arrays = Dict[str, np.ndarray]

_AFTER_FIRST_STEP = Advice("after the first step of training")


def settings_state(layout: live_state.Layout, book: SettingsBook, step: Optional[int]) -> Arrays:
    """Return the arrays of the settings after ``step`` training steps; None if all delays of quantization are over."""
    steps_done = max(s.quant_delay for s in book.quantizers) if step is None else step
    return live_state.settings_arrays(layout, book.quantizers, book.run, steps_done)


class FrozenState:
    """State of a run that can be converted to integers.

    Parameters
    ----------
    network : Network
    book : SettingsBook
        The settings in that state.
    arrays : dict of str to np.ndarray
        Parameters, statistics and ranges, as ``TrainingGraph.read_state`` returns them and checkpoints contain them.
    step : int, optional
        Number of training steps done; without it, delays of quantization count as over.

    Raises
    ------
    ExportError
        If an array is missing, of another shape or not finite, if a tensor is left in float, or if no ranges were
        observed.
    """

    def __init__(self, network: Network, book: SettingsBook, arrays: Arrays, step: Optional[int] = None):
        self.network, self.plan, self.book, self._step = network, book.plan, book, step
        self._arrays, self._layout = arrays, live_state.layout(book.plan)
        self._state = settings_state(self._layout, book, step)
        self._check_arrays()
        self._check_quantized(step)
        owners = [unit for unit in self.plan.units if unit.owns_weights]
        self._trained = {unit.name: self._mapped(unit, folded(self.plan, unit, arrays)) for unit in owners}
        self._folded = {unit.name: self._with_frozen(unit, self._trained[unit.name]) for unit in owners}

    @property
    def has_wide_activations(self) -> bool:
        """True if the settings of any activations have more than 8 bits."""
        names = [tensor.name for tensor in self.plan.tensors if self.plan.has_outputs(tensor.name)]
        return any(self.book.of(name).num_bits > NARROW_BITS for name in names)

    def activation_grid(self, tensor: str) -> AffineGrid:
        """Return the grid of activations, with scale 0 if all their values have been 0.

        ``tensor`` is that of :meth:`.QuantizationPlan.grid_of`: the weights of an Embedding are those of its output.
        """
        if self.plan.tensor(tensor).kind == WEIGHTS:
            unit = next(unit for unit in self.plan.units if unit.weights == tensor)
            grid = self.weight_grid(unit)
            return replace(grid, scale=grid.scale.reshape(()), zero_point=grid.zero_point.reshape(()))
        group = self._layout.group_of[self.plan.index(tensor)]
        function = self.plan.tensor(tensor).fixed_range
        if function:
            s = self.book.of(tensor)
            return self._grid(tensor, *np.float32(fixed_range(function, s.num_bits, s.symmetric)))
        row = self._layout.activations.index(group)
        return self._grid(tensor, self._arrays["range_min"][row], self._arrays["range_max"][row])

    def folded(self, unit: Unit) -> Folded:
        """Return the weights of a unit before they are rounded, and its bias.

        Quantized weights are those after their map; frozen ones are the values of their levels.
        """
        return self._folded[unit.op.owner]

    def weight_grid(self, unit: Unit) -> AffineGrid:
        """Return the grid of a unit's weights, with scale ``[]`` or ``[out]``, which is 0 where all weights are 0."""
        name = unit.weights
        row = self._layout.weights.index(self._layout.group_of[self.plan.index(name)])
        channels = self._layout.channels[row]
        per_channel = self._state["per_channel"][row]
        if self._state["hold"][row]:
            rows = channels if per_channel else row
            held = "held_channel_{}" if per_channel else "held_{}"
            return self._grid(name, *(self._arrays[held.format(end)][rows] for end in ("min", "max")))
        columns = channels.stop - channels.start if per_channel else 1
        low, high = min_max_range(self._trained[unit.op.owner].weights.reshape(-1, columns))
        return self._grid(name, *((low, high) if per_channel else (low[0], high[0])))

    def is_quantized(self, tensor: str) -> bool:
        """Return whether a tensor is quantized in that state."""
        return self.book.of(tensor).is_active(self._step)

    def _mapped(self, unit: Unit, own: Folded) -> Folded:
        if not self.is_quantized(unit.weights):
            return own
        return own._replace(weights=mapped(own.weights, self.book.of(unit.weights), len(own.bias)))

    def _with_frozen(self, unit: Unit, trained: Folded) -> Folded:
        """Return weights that are rounded to the levels at which oscillating ones are frozen."""
        if not isinstance(unit.op, WITH_WEIGHTS):
            return trained
        row = self._layout.weights.index(self._layout.group_of[self.plan.index(unit.weights)])
        if FROZEN_LEVELS not in self._arrays or not self._state["freezes"][row] or not self.is_quantized(unit.weights):
            return trained
        counts = sizes([self._layout.leaders[group] for group in self._layout.weights])
        levels = np.split(self._arrays[FROZEN_LEVELS], np.cumsum(counts)[:-1])[row]
        rows = levels.reshape(-1, self.plan.tensor(unit.weights).num_channels)
        values = (rows.astype(np.float32) * self.weight_grid(unit).scale).reshape(trained.weights.shape)
        return trained._replace(
            weights=np.where(levels.reshape(values.shape) == NO_LEVEL, trained.weights, values).astype(np.float32)
        )

    def _grid(self, tensor: str, low: np.ndarray, high: np.ndarray) -> AffineGrid:
        s = self.book.of(tensor).on_grid()
        return choose_grid(low, high, s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def _check_arrays(self) -> None:
        expected = {
            name: (shape, f"layer {name.rpartition('.')[0]!r}")
            for name, shape in self.network.all_parameter_shapes().items()
        }
        expected.update(
            (name, (value.shape, f"network {self.network.name!r}"))
            for name, value in live_state.initial_ranges(self._layout).items()
        )
        for name, (shape, owner) in expected.items():
            found = self._arrays.get(name)
            if found is None or found.shape != tuple(shape) or found.dtype != np.float32:
                described = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise ExportError(f"{owner}: the state has {described} for {name}; expected: float32 {tuple(shape)}")
            if not np.isfinite(found).all():
                raise refused(
                    f"{owner}: {name} has {np.count_nonzero(~np.isfinite(found))} values that are not finite",
                    Advice("with a state from before they appeared"),
                )

    def _check_quantized(self, step: Optional[int]) -> None:
        refusals = left_in_float(self.book, step)
        if refusals:
            raise ExportError.refused(*refusals)
        for name in self.network.input_names:
            if name not in self.network.id_counts and not self.activation_grid(name + ".activations").scale > 0:
                raise range_of_zeros(f"{input_text(name)}: its range is 0 to 0", step)


def range_of_zeros(where: str, step: Optional[int]) -> ExportError:
    """Return the refusal of a range from 0 to 0, such as "input: its range is 0 to 0", after ``step`` steps."""
    if step:
        smallest = f"{np.finfo(np.float32).tiny:.2g}"  # TensorFlow flushes smaller numbers to 0
        why = f"because all values so far were 0, or so small that their scale is below {smallest}"
        return refused(f"{where}, {why}", Advice("after training on other values"))
    return refused(f"{where}, so no values have been observed yet", _AFTER_FIRST_STEP)
