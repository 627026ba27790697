"""From the numbers that ride a training step to its measures, in NumPy, for many steps at a time.

What a step fetches is what costs the step least; all arithmetic that can wait is done here, on the telemetry thread.
"""

from typing import NamedTuple, Sequence

import numpy as np

from qatviz.network.layers import element_count
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.live_state import layout
from qatviz.quant.measures import sqnr_db
from qatviz.settings import WEIGHTS
from qatviz.telemetry.snapshots import STEP_MEASURES

#: Values of each tensor that the measures of a training step look at, evenly spaced over its elements.
STEP_SAMPLE = 256


class RawMeasures(NamedTuple):
    """What one step fetches (``G`` groups, ``C`` channels of all weights, ``T`` tensors).

    ``grid`` f32 ``[4, G]`` and ``channel_grid`` f32 ``[4, C]`` have the rows scale, zero point, minimum, maximum;
    ``channel_grid`` counts where ``per_channel`` (bool ``[W]``) is set. ``squares`` and ``nonzero`` f32 ``[5, T]`` are sums
    over a sample of each tensor, of the squares and of what is not 0, of: the float values, the error, its clipping part, its
    rounding part, the quantized values.
    """

    grid: np.ndarray
    channel_grid: np.ndarray
    squares: np.ndarray
    nonzero: np.ndarray
    per_channel: np.ndarray


def sample_stride(size: int) -> int:
    """Every how many elements the sample takes one: the largest number that yields STEP_SAMPLE values, made odd, so that the
    sample does not see the same channels again and again (channel counts are mostly even)."""
    stride = max(1, (size - 1) // (STEP_SAMPLE - 1))
    return stride - 1 if stride % 2 == 0 else stride


def sample_size(size: int) -> int:
    """How many values the sample of a tensor of ``size`` elements has."""
    return min(STEP_SAMPLE, -(-size // sample_stride(size)))


class StepDecoder:
    """Turns :class:`RawMeasures` of a plan's tensors into the rows of ``STEP_MEASURES``.

    ``batch_size`` multiplies the elements of activations.
    """

    def __init__(self, plan: QuantizationPlan, batch_size: int):
        self._place = layout(plan)
        self._group_of = np.array(self._place.group_of)
        self._weights = np.array(self._place.weights, int)
        self._starts = np.array([channels.start for channels in self._place.channels], int)
        self._owner = np.repeat(np.arange(len(self._starts)), [c.stop - c.start for c in self._place.channels])
        sizes = [element_count(t.shape) * (1 if t.kind == WEIGHTS else batch_size) for t in plan.tensors]
        self._sizes = np.array([sample_size(size) for size in sizes], np.float64)

    def __call__(self, raw: Sequence[RawMeasures]) -> np.ndarray:
        """float32 ``[n, len(STEP_MEASURES), T]``."""
        grid = np.stack([r.grid for r in raw])
        per_channel = np.stack([r.per_channel for r in raw])
        if per_channel.any():
            coarsest = self._coarsest(np.stack([r.channel_grid for r in raw]))
            whole = grid[:, :, self._weights]
            grid[:, :, self._weights] = np.where(per_channel[:, None], coarsest, whole)
        scale, zero_point, low, high = np.moveaxis(grid[:, :, self._group_of], 1, 0)
        squares = np.stack([r.squares for r in raw]) / self._sizes
        share = np.stack([r.nonzero for r in raw]) / self._sizes
        mse = squares[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(scale > 0, np.sqrt(mse) / scale, 0.0)
        rows = {
            "scale": scale, "zero_point": zero_point, "range_min": low, "range_max": high, "mse": mse,
            "mse_clipping": squares[:, 2], "mse_rounding": squares[:, 3], "sqnr_db": sqnr_db(squares[:, 0], mse),
            "rmse_over_scale": relative, "clipped": share[:, 2],
            # 0 is exact on every grid, so a value that became nonzero was nonzero.
            "flushed": share[:, 0] - share[:, 4],
        }
        return np.stack([rows[name] for name in STEP_MEASURES], axis=1).astype(np.float32)

    def _coarsest(self, channels: np.ndarray) -> np.ndarray:
        """``[n, 4, W]``: the grid of each weight tensor's channel of the largest scale."""
        scale = channels[:, 0]
        largest = np.maximum.reduceat(scale, self._starts, axis=1)
        is_largest = scale == largest[:, self._owner]
        rows = [np.maximum.reduceat(np.where(is_largest, row, -np.inf), self._starts, axis=1)
                for row in np.moveaxis(channels, 1, 0)]
        return np.stack(rows, axis=1)
