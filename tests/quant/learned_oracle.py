"""Gradients of learned ranges in NumPy, value by value, from the equations of the papers."""

import numpy as np

from qatviz.quant import affine


def _parts(x, grid):
    """Return code minus zero point, ``v = x / s``, and whether values are below and above the representable range."""
    x, scale = np.asarray(x, np.float64), np.float64(grid.scale)
    codes = affine.quantize(np.float32(x), grid).astype(np.float64) - grid.zero_point
    return codes, x / scale, np.float32(x) < grid.minimum, np.float32(x) > grid.maximum


def balance(number, grid):
    """Return LSQ's factor 1 / sqrt(N * Qp)."""
    return 1 / np.sqrt(number * max(float(grid.bounds[1] - grid.zero_point), 1.0))


def lsq(x, gradient, grid):
    """Return the gradient of the scale (Esser et al. 2020, equation 3), without its factor."""
    codes, v, below, above = _parts(x, grid)
    low, high = grid.bounds[0] - grid.zero_point, grid.bounds[1] - grid.zero_point
    return float((gradient * np.where(below, low, np.where(above, high, codes - v))).sum())


def tqt(x, gradient, grid):
    """Return the gradient of the base-2 logarithm of the threshold (Jain et al. 2020, equation 8)."""
    return float(np.log(2) * grid.scale * lsq(x, gradient, grid))


def lsq_plus(x, gradient, grid):
    """Return the gradients of scale and offset (Bhalgat et al. 2020, equations 4 and 5), without their factor.

    There, the grid starts at the offset: its codes are 0 to ``levels``.
    """
    codes, v, below, above = _parts(x, grid)
    levels = grid.bounds[1] - grid.bounds[0]
    of_scale = gradient * np.where(below, 0, np.where(above, levels, codes - v))
    return float(of_scale.sum()), float((gradient * (below | above)).sum())


def pact(x, gradient, grid):
    """Return the gradients of the upper and the lower end of a clip (Choi et al. 2018, equation 3), without decay."""
    _, _, below, above = _parts(x, grid)
    return float((gradient * above).sum()), float((gradient * below).sum())
