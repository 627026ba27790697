"""Inputs of the quantizer tests: arrays float32 ``[n, CHANNELS]``, and ranges with values on their edges."""

import numpy as np
from kernel_oracle import CHANNELS, kernel_range, nudged_range

ROWS = 256
#: Ranges (low, high) to be tested on their edges and midpoints.
EDGE_RANGES = [(-1.0, 1.0), (-0.3, 2.7), (0.0, 5.0), (-3.0, -0.01), (-1e-30, 2e-30), (-1e30, 3e29)]
_MAX_POINTS = 33
_UPSTREAM = np.linspace(0.5, 2, 997, dtype=np.float32) * np.resize(np.float32([1, -1]), 997)


def arrays():
    """Return name and array of every kind of content, reproducibly."""
    random = np.random.RandomState(20)
    normal = random.randn(ROWS, CHANNELS).astype(np.float32)
    uneven = normal * np.float32([1, 0.1, 3, 0.5])
    outlier = normal.copy()
    outlier[7, 1] = 100
    return {
        "normal": normal,
        "uneven": uneven,
        "offset": uneven + np.float32(1.5),
        "positive": np.abs(uneven),
        "negative": -np.abs(uneven),
        "outlier": outlier,
        "constant": np.full_like(normal, 0.7),
        "negative constant": np.full_like(normal, -3),
        "zero": np.zeros_like(normal),
        "a channel of zeros": normal * np.float32([1, 0, 2, 1]),
        "1e-30": normal * np.float32(1e-30),
        "1e-20": normal * np.float32(1e-20),
        "1e30": normal * np.float32(1e30),
        "channels far apart": normal * np.float32([1e-30, 1, 1e30, 1e-10]),
        "one row": normal[:1],
    }


def upstream(x):
    """Return an upstream gradient for ``x``: of both signs, never 0, never equal twice in a row."""
    return np.resize(_UPSTREAM, x.shape)


def edge_ranges(setting):
    """Return the :data:`EDGE_RANGES` in the shape that the setting requires; per channel, one for each channel."""
    for index, (low, high) in enumerate(EDGE_RANGES):
        if setting.per_channel:
            lows, highs = zip(*(EDGE_RANGES[(index + offset) % len(EDGE_RANGES)] for offset in range(CHANNELS)))
            yield np.float32(lows), np.float32(highs)
        else:
            yield np.float32(low), np.float32(high)


def edge_points(low, high, setting):
    """Values on the edges of the grid of a range: its ends, its codes, the midpoints between them, each with its two
    neighbours in float32, the ends of the range itself, both zeros, and values far outside."""
    minimum, maximum, scale = nudged_range(*kernel_range(low, high, setting), setting)
    steps = 2**setting.num_bits - 1 - int(setting.narrow_range)
    chosen = np.unique(np.linspace(0, steps, min(steps + 1, _MAX_POINTS)).astype(int)).astype(np.float32)[:, None]
    chosen = np.tile(chosen, [1, CHANNELS])
    on_codes = minimum + chosen * scale
    midpoints = minimum + (chosen + np.float32(0.5)) * scale
    ends = np.stack([np.broadcast_to(end, [CHANNELS]) for end in (minimum, maximum, low, high)])
    sharp = np.concatenate([on_codes, midpoints, ends]).astype(np.float32)
    zeros = np.zeros([1, CHANNELS], np.float32)
    far = np.float32(3) * (ends[1:2] - ends[:1])
    points = np.concatenate(
        [
            sharp,
            np.nextafter(sharp, np.float32(np.inf)),
            np.nextafter(sharp, np.float32(-np.inf)),
            zeros,
            -zeros,
            far,
            -far,
        ]
    )
    # TensorFlow's threads flush denormals to 0, NumPy does not.
    return np.where(np.abs(points) < np.finfo(np.float32).tiny, np.float32(0), points).astype(np.float32)
