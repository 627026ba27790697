"""Axis of a plot of a measure or metric."""

# Apart from the measures, because these know the settings, whose declarations know the metrics.

import math
from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class MeasureAxis:
    """Axis of a plot of a measure.

    Attributes
    ----------
    factor : float
        Conversion factor from the stored to the plotted unit.
    unit : str
        Plotted unit.
    can_log, is_log : bool
        True if a logarithmic axis is possible; if it is the default.
    limits : (float, float)
        Outermost ends of the axis, in the plotted unit.
    least_span : float
        Smallest extent of the axis, in the plotted unit, so that noise does not fill it.
    settles : bool
        True if the axis is scaled to the later values, so that small differences between them are visible; early values
        far from them can be outside.
    """

    factor: float = 1.0
    unit: str = ""
    can_log: bool = False
    is_log: bool = False
    limits: Tuple[float, float] = (-math.inf, math.inf)
    least_span: float = 0.0
    settles: bool = False
