"""Tensors at the ends of a network, which low-bit presets quantize with more bits (Esser et al. 2020, section 3)."""

# A separate module: presets are declared without networks, and the plan knows no presets.

from typing import FrozenSet

from qatviz.network.graph import WITH_WEIGHTS
from qatviz.network.layers import Softmax
from qatviz.network.plan import INPUT_KIND, QuantizationPlan


def end_tensors(plan: QuantizationPlan) -> FrozenSet[str]:
    """Return the tensors of inputs, and of each last layer with weights: inputs, weights, and all outputs from it on.

    Tensors that share the grid of one of them are included.
    """
    consumed = {name for unit in plan.units for name in unit.inputs}
    by_output = {unit.output: unit for unit in plan.units}
    names = {tensor.name for tensor in plan.tensors if tensor.op_kind == INPUT_KIND}
    pending = [unit for unit in plan.units if unit.output not in consumed]
    while pending:
        unit = pending.pop()
        if not isinstance(unit.op, Softmax):
            names.add(plan.grid_of(unit.output))
        if isinstance(unit.op, WITH_WEIGHTS):
            names.add(unit.weights)
            names.update(map(plan.grid_of, unit.inputs))
        else:
            pending.extend(by_output[name] for name in unit.inputs if name in by_output)
    groups = {plan.tensor(name).group for name in names if name in plan}
    return frozenset(tensor.name for tensor in plan.tensors if tensor.group in groups)
