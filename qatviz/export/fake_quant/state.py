"""State of a run in which some tensors may be left in float, for fake-quant and float exports."""

from typing import Optional

from qatviz.export.integers.frozen_state import Arrays, FrozenState, range_of_zeros
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid
from qatviz.settings import WEIGHTS


class PartlyQuantizedState(FrozenState):
    """State of a run as :class:`FrozenState`, except that tensors may be in float.

    Parameters
    ----------
    network, book, arrays, step
        See :class:`FrozenState`.
    quantized : bool
        False for everything in float, regardless of the settings.

    Raises
    ------
    ExportError
        If an array is missing, of another shape or not finite, or if activations are quantized whose ranges were never
        observed.
    """

    def __init__(
        self, network: Network, book: SettingsBook, arrays: Arrays, step: Optional[int] = None, quantized: bool = True
    ):
        self._quantized, self._step = quantized, step
        super().__init__(network, book, arrays, step)

    def is_quantized(self, tensor: str) -> bool:
        """Return whether a tensor is quantized in that state."""
        return self._quantized and self.book.of(tensor).is_active(self._step)

    def _is_rounded(self, tensor: str) -> bool:
        return self.is_quantized(tensor)

    def grid_in_use(self, tensor: str) -> Optional[AffineGrid]:
        """Return the grid of an activations tensor, None if it is in float."""
        return self.activation_grid(tensor) if self.is_quantized(tensor) else None

    @property
    def everything_quantized(self) -> bool:
        """True if no tensor is left in float."""
        return all(self.is_quantized(tensor.name) for tensor in self.plan.tensors)

    def _check_quantized(self, step: Optional[int]) -> None:
        grids = [
            self.activation_grid(tensor.name)
            for tensor in self.plan.tensors
            if tensor.kind != WEIGHTS and self.is_quantized(tensor.name)
        ]
        if grids and not any(grid.scale > 0 for grid in grids):
            raise range_of_zeros(f"network {self.network.name!r}: the ranges of all activations are 0 to 0", step)
