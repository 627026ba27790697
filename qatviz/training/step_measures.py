"""Computation of the measures of training steps from fetched samples, in NumPy, for many steps at a time.

To keep training steps fast, they fetch samples only; all further arithmetic is done here, on the telemetry thread.
"""

from typing import NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.snapshots import STEP_MEASURES
from qatviz.quant.live_state import layout
from qatviz.quant.measures import sqnr_db
from qatviz.settings import WEIGHTS

#: Number of values of each tensor from which a training step's measures are computed, evenly spaced over its elements.
STEP_SAMPLE = 128


class RawMeasures(NamedTuple):
    """Arrays fetched by one training step, and the settings in effect.

    There are ``G`` groups, ``W`` weight tensors with a total of ``C`` channels, and ``T`` tensors. ``grid`` f32 ``[4,
    G]`` and ``channel_grid`` f32 ``[4, C]`` have the rows scale, zero point, minimum, maximum; ``channel_grid`` applies
    where ``per_channel`` (bool ``[W]``) is set. ``samples`` f32 ``[T * STEP_SAMPLE]`` are values of each tensor before
    quantization, padded with zeros. ``enabled`` is bool ``[G]``.
    """

    grid: np.ndarray
    channel_grid: np.ndarray
    samples: np.ndarray
    per_channel: np.ndarray
    enabled: np.ndarray


def sample_stride(size: int) -> int:
    """Return the distance between sampled elements: the smallest odd one for which STEP_SAMPLE values span the tensor.

    It is odd so that the sample does not repeat the same channels, whose number is mostly even.
    """
    return -(-size // STEP_SAMPLE) | 1


def sample_size(size: int) -> int:
    """Return the number of values in the sample of a tensor with ``size`` elements."""
    return min(STEP_SAMPLE, -(-size // sample_stride(size)))


class StepDecoder:
    """Decoder of :class:`RawMeasures` into the rows of ``STEP_MEASURES``.

    ``batch_size`` multiplies the number of elements of activations.
    """

    def __init__(self, plan: QuantizationPlan, batch_size: int):
        self._layout = layout(plan)
        self._group_of = np.array(self._layout.group_of)
        self._weights = np.array(self._layout.weights, int)
        self._starts = np.array([channels.start for channels in self._layout.channels], int)
        self._owner = np.repeat(np.arange(len(self._starts)), [c.stop - c.start for c in self._layout.channels])
        sizes = [element_count(t.shape) * (1 if t.kind == WEIGHTS else batch_size) for t in plan.tensors]
        self._sizes = np.array([sample_size(size) for size in sizes], np.float64)
        groups = len(self._layout.leaders)
        # Index of the channel's grid for each value of the sample; channel grids follow the grids of the groups.
        self._by_channel = np.zeros((len(plan.tensors), STEP_SAMPLE), int)
        for group, channels in zip(self._layout.weights, self._layout.channels):
            for index in plan.groups[group]:
                elements = np.arange(STEP_SAMPLE) * sample_stride(sizes[index])
                self._by_channel[index] = groups + channels.start + elements % (channels.stop - channels.start)

    def __call__(self, raw: Sequence[RawMeasures]) -> np.ndarray:
        """Return the measures of ``n`` steps, float32 ``[n, len(STEP_MEASURES), T]``."""
        parts, start = [], 0
        for stop in range(1, len(raw) + 1):  # every change of settings creates new arrays
            if stop == len(raw) or raw[stop].enabled is not raw[start].enabled:
                parts.append(self._decode(raw[start:stop]))
                start = stop
        return np.concatenate(parts)

    def _decode(self, raw: Sequence[RawMeasures]) -> np.ndarray:
        """Return the measures of steps that ran with the same settings."""
        per_channel, enabled = raw[0].per_channel, raw[0].enabled
        grid, channel_grid = np.stack([r.grid for r in raw]), np.stack([r.channel_grid for r in raw])
        samples = np.stack([r.samples for r in raw])
        squares, nonzero = self._sums(samples, np.concatenate([grid, channel_grid], axis=2), per_channel, enabled)
        if per_channel.any():
            grid[:, :, self._weights] = np.where(per_channel, self._coarsest(channel_grid), grid[:, :, self._weights])
        scale, zero_point, low, high = np.moveaxis(grid[:, :, self._group_of], 1, 0)
        squares, share = squares / self._sizes, nonzero / self._sizes
        signal, mse, mse_clipping, mse_rounding = squares
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(scale > 0, np.sqrt(mse) / scale, 0.0)
        rows = {
            "scale": scale,
            "zero_point": zero_point,
            "range_min": low,
            "range_max": high,
            "mse": mse,
            "mse_clipping": mse_clipping,
            "mse_rounding": mse_rounding,
            "sqnr_db": sqnr_db(signal, mse),
            "rmse_over_scale": relative,
            "clipped": share[0],
            "flushed": share[1],
        }
        return np.stack([rows[name] for name in STEP_MEASURES], axis=1).astype(np.float32)

    def _sums(
        self, x: np.ndarray, grids: np.ndarray, per_channel: np.ndarray, enabled: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return sums of squares, float32 ``[4, n, T]``, and numbers of values, ``[2, n, T]``.

        The squares are those of the values, the error, its clipping part and its rounding part; the numbers are those
        of clipped values and of values rounded to zero.
        """
        x = x.reshape(len(x), -1, STEP_SAMPLE)
        index = self._group_of[:, None]
        if per_channel.any():
            by_channel = np.zeros(len(self._layout.leaders), bool)
            by_channel[self._weights] = per_channel
            index = np.where(by_channel[self._group_of][:, None], self._by_channel, index)
        scale, low, high = (grids[:, row][:, index] for row in (0, 2, 3))
        inside = np.minimum(np.maximum(x, low), high)
        # The same arithmetic as the kernel's; for a scale of 0, low = high = 0.
        steps = np.floor((inside - low) / np.where(scale > 0, scale, np.float32(1)) + np.float32(0.5))
        values = steps * scale + low
        on = enabled[self._group_of][:, None]
        if not on.all():
            inside, values = np.where(on, inside, x), np.where(on, values, x)
        squares = [np.einsum("nts,nts->nt", part, part) for part in (x, values - x, inside - x, values - inside)]
        counts = [np.count_nonzero(flags, axis=2) for flags in (inside != x, (values == 0) & (x != 0))]
        return np.array(squares), np.array(counts)

    def _coarsest(self, channels: np.ndarray) -> np.ndarray:
        """Return the grid of each weight tensor's channel with the largest scale, ``[n, 4, W]``."""
        scale = channels[:, 0]
        largest = np.maximum.reduceat(scale, self._starts, axis=1)
        is_largest = scale == largest[:, self._owner]
        rows = [
            np.maximum.reduceat(np.where(is_largest, row, -np.inf), self._starts, axis=1)
            for row in np.moveaxis(channels, 1, 0)
        ]
        return np.stack(rows, axis=1)
