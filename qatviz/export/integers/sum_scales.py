"""Scales of the outputs of Adds, moved as the evaluation graph moves them (:mod:`qatviz.quant.tie_safe_sums`)."""

from typing import Callable, Dict, Optional

import numpy as np

from qatviz.network.layers import Add
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.affine import AffineGrid
from qatviz.quant.tie_safe_sums import agreeing_sum_scale


def moved_sum_scales(
    plan: QuantizationPlan, grid_in_use: Callable[[str], Optional[AffineGrid]]
) -> Dict[str, np.float32]:
    """By quantizer, of Adds whose quantizer is on and that of both inputs.

    ``grid_in_use`` gives the grid of an activations tensor, None where that is in float.
    """
    moved: Dict[str, np.float32] = {}
    for unit in plan.units:
        if isinstance(unit.op, Add) and not plan.shares_grid(plan.grid_of(unit.output)):
            names, output = [plan.grid_of(name) for name in unit.inputs], grid_in_use(plan.grid_of(unit.output))
            grids = [grid_in_use(name) for name in names]
            if output is not None and all(grid is not None for grid in grids):
                moved[plan.grid_of(unit.output)] = agreeing_sum_scale(
                    [moved.get(name, grid.scale) for name, grid in zip(names, grids)],
                    [int(grid.zero_point) for grid in grids],
                    [2 ** (grid.num_bits - 1) for grid in grids],
                    output.scale,
                    2 ** (output.num_bits - 1),
                )
    return moved
