"""Estimate of a network on a chip: flash, RAM, multiplications and cycles, by layer."""

import math
from functools import lru_cache
from typing import Dict, List, NamedTuple, Tuple

from qatviz.analysis.chip.arena import Arena, arena
from qatviz.analysis.chip.graph import ChipGraph
from qatviz.analysis.chip.targets import Target
from qatviz.analysis.chip.work import Work
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.settings import WEIGHTS

#: Bits of activations for which kernels were measured.
_MEASURED_BITS = 8
_MS = 1000.0
#: Measures of layers, keys of :data:`qatviz.measures.MEASURES`.
CHIP_MEASURES = ("cycles", "chip_ms", "buffers")


class LayerCost(NamedTuple):
    """Cost of a layer.

    Attributes
    ----------
    layer : str
    operations : tuple of str
        TFLite's names of its operations.
    macs : int
        Multiplications for one example.
    cycles : float
        NaN if the kernels were not measured for its codes.
    ram : int
        Largest number of bytes of buffers that are in use while it runs.
    """

    layer: str
    operations: Tuple[str, ...]
    macs: int
    cycles: float
    ram: int


class ChipEstimate(NamedTuple):
    """Network on a target.

    Attributes
    ----------
    target : Target
    graph : ChipGraph
    arena : Arena
    layers : tuple of LayerCost
        In the order in which they run.
    """

    target: Target
    graph: ChipGraph
    arena: Arena
    layers: Tuple[LayerCost, ...]

    @property
    def flash(self) -> int:
        """Bytes of the stored network, without the program."""
        return self.graph.flash.total

    @property
    def ram(self) -> int:
        """Bytes of the arena, without the program's stack and the rest of the firmware."""
        return self.arena.nbytes

    @property
    def macs(self) -> int:
        """Multiplications for one example."""
        return sum(layer.macs for layer in self.layers)

    @property
    def cycles(self) -> float:
        """Clock cycles for one example; NaN if the kernels were not measured for its codes."""
        return sum(layer.cycles for layer in self.layers)

    @property
    def seconds(self) -> float:
        """Time for one example."""
        return self.target.seconds(self.cycles)

    @property
    def is_lower_bound(self) -> bool:
        """True for a network that is smaller than all measured ones: costs of each call, which are not known, count."""
        return self.macs < self.target.least_macs

    @property
    def peak_layer(self) -> str:
        """Layer that runs while most bytes of buffers are in use."""
        return self.graph.operations[self.arena.peak].layer if self.arena.peak >= 0 else ""

    def layer(self, name: str) -> "LayerCost":
        """Return the cost of a layer; zeros for one without operations of its own."""
        return self._by_name.get(name, LayerCost(name, (), 0, 0.0, 0))

    def measure(self, tensor: QuantizedTensor, plan: QuantizationPlan, key: str) -> float:
        """Return ``cycles``, ``chip_ms`` or ``buffers`` of a tensor's layer; NaN if another row has them.

        A layer with weights has them in the row of the weights, any other in that of its activations.
        """
        is_row = tensor.kind == WEIGHTS or f"{tensor.layer}.{WEIGHTS}" not in plan
        layer = self.layer(tensor.layer)
        if not is_row or not layer.operations:
            return math.nan
        if key == "chip_ms":
            return _MS * self.target.seconds(layer.cycles)
        return layer.cycles if key == "cycles" else float(layer.ram)

    @property
    def _by_name(self) -> Dict[str, LayerCost]:
        return _costs_by_name(self.layers)


@lru_cache(maxsize=8)
def _costs_by_name(layers: Tuple[LayerCost, ...]) -> Dict[str, LayerCost]:
    return {layer.layer: layer for layer in layers}


def estimate(graph: ChipGraph, target: Target) -> ChipEstimate:
    """Return the estimate for a target. May be called on any thread."""
    found = arena(graph, target.scratch)
    costs = target.costs
    is_measured = graph.activation_bits <= _MEASURED_BITS
    work: Dict[str, Work] = {}
    kinds: Dict[str, List[str]] = {}
    ram: Dict[str, int] = {}
    for operation, in_use in zip(graph.operations, found.in_use):
        layer = operation.layer
        work[layer] = work.get(layer, Work()).plus(operation.work)
        kinds.setdefault(layer, []).append(operation.kind)
        ram[layer] = max(ram.get(layer, 0), in_use)
    layers = tuple(
        LayerCost(
            layer,
            tuple(kinds[layer]),
            work[layer].macs,
            float(sum(number * cost for number, cost in zip(work[layer], costs))) if is_measured else math.nan,
            ram[layer],
        )
        for layer in work
    )
    return ChipEstimate(target, graph, found, layers)
