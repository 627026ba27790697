"""AdaRound: learn for each weight of a layer whether it is rounded up or down, so that the output changes least.

A weight ``w`` with scale ``s`` is rounded to the code ``clip(floor(w / s) + h(V), n, p)``, with the rectified sigmoid::

    h(V) = clip(sigmoid(V) (zeta - gamma) + gamma, 0, 1),  zeta = 1.1, gamma = -0.1

V starts where ``h(V)`` is the fraction of ``w / s``, so that nothing is rounded at first. Adam then minimizes::

    mean over rows |f(W x + b) - f(W~ x~ + b)|^2 + lambda sum(1 - |2 h(V) - 1|^beta)

``x`` are inputs of the layer in float, ``x~`` those in the quantized network, in which the layers before are rounded
already, and ``f`` is the fused activation. The second term, which begins after the first fifth of the iterations,
drives h(V) to 0 or 1, with beta from 20 to 2. Gradients::

    dL/dW~ = x~^T dL/dy~,  dL/dh = s dL/dW~ inside of n .. p,  dh/dV = (zeta - gamma) sigmoid(V) (1 - sigmoid(V))
    inside of 0 .. 1, d/dh of the second term = -2 lambda beta sign(2 h - 1) |2 h - 1|^(beta - 1)

Afterwards, weights are set to the values of their codes (:func:`rounded_weights`), not just past the tie to the learned
code: in the middle of a rounding interval, no small update of QAT undoes the rounding. The smallest and the largest
weight of a scale stay as they are, because they may define it.

Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization" (arXiv:2004.10568); lambda,
beta and the first fifth as in AIMET. AIMET's learning rate is 1e-3, for 10,000 iterations; here it is ten times as
large, for a tenth of the iterations.
"""

from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

import numpy as np

ZETA, GAMMA = 1.1, -0.1
#: Weight of the regularization; fraction of the iterations without it; first and last beta; learning rate of Adam.
LAMBDA, WARM_UP, BETAS, LEARNING_RATE = 0.01, 0.2, (20.0, 2.0), 1e-2
#: Number of rows of each iteration.
BATCH_ROWS = 512
_ADAM = (0.9, 0.999, 1e-8)
#: V with which h(V) is 1.
_CERTAIN = 10.0


@dataclass(frozen=True)
class Rounding:
    """Weights of a layer whose rounding is learned: a matrix, or one for each channel of a depthwise convolution.

    Attributes
    ----------
    weights : np.ndarray
        float32 ``[inputs, outputs]``, or ``[inputs, channels, outputs]`` of a depthwise convolution.
    scale : np.ndarray
        float32, broadcastable to ``weights``; positive.
    low, high : np.ndarray
        Smallest and largest code less the zero point, broadcastable to ``weights``.
    is_kept : np.ndarray
        bool, shape of ``weights``: weights whose rounding is not learned; their code is the nearest.
    bias : np.ndarray
        float32 ``[outputs]``; of a depthwise convolution, ``[channels * outputs]``.
    clip : (float, float) or None
        Range of the fused activation: ``(0, inf)`` for ReLU, ``(0, 6)`` for ReLU6.
    """

    weights: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_kept: np.ndarray
    bias: np.ndarray
    clip: Optional[Tuple[float, float]] = None

    @property
    def nearest(self) -> np.ndarray:
        """Codes by rounding to the nearest, less the zero point, float32 in the shape of :attr:`weights`."""
        return np.clip(np.floor(self.weights / self.scale + np.float32(0.5)), self.low, self.high)

    def output(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the layer's output, before its activation, float32 ``[n, outputs]``.

        ``rows`` are ``[n, inputs]`` or, of a depthwise convolution, ``[n, inputs, channels]``; the output then is
        ``[n, channels * outputs]``.
        """
        if weights.ndim == 2:
            return np.asarray(rows @ weights + self.bias)
        products = np.einsum("nic,ico->nco", rows, weights)
        return np.asarray(products.reshape(len(rows), -1) + self.bias)

    def activated(self, output: np.ndarray) -> np.ndarray:
        """Return ``output`` after the fused activation, in the same shape and dtype."""
        return output if self.clip is None else np.clip(output, *self.clip)

    def error(self, rows: np.ndarray, target: np.ndarray, codes: np.ndarray) -> float:
        """Return the mean over ``rows`` of the squared error of the activated output, summed over channels.

        ``target`` is the output in float before the activation, float32 ``[n, outputs]``, and ``codes`` are float32 in
        the shape of :attr:`weights`.
        """
        found = self.activated(self.output(rows, codes * self.scale)) - self.activated(target)
        return float(np.mean(np.sum(np.square(found, dtype=np.float64), axis=1)))


def rectified_sigmoid(v: np.ndarray) -> np.ndarray:
    """Return ``h(V)``, float32 in the shape of ``v``: the fraction by which each weight is rounded up."""
    return np.clip(_sigmoid(v) * np.float32(ZETA - GAMMA) + np.float32(GAMMA), 0, 1)


def beta_at(iteration: int, iterations: int) -> Optional[float]:
    """Return beta of an iteration, counted from 0, with a cosine schedule; None while there is no regularization."""
    begin = WARM_UP * iterations
    if iteration < begin:
        return None
    done = (iteration - begin) / max(iterations - begin, 1)
    return float(BETAS[1] + 0.5 * (BETAS[0] - BETAS[1]) * (1 + np.cos(done * np.pi)))


def loss_and_gradient(
    problem: Rounding, v: np.ndarray, rows: np.ndarray, target: np.ndarray, beta: Optional[float]
) -> Tuple[float, np.ndarray]:
    """Return the loss of the module's docstring, and its gradient with respect to V, float32 in the shape of V.

    Parameters
    ----------
    v : np.ndarray
        float32, shape of ``problem.weights``.
    rows : np.ndarray
        Inputs in the quantized network, as in :meth:`Rounding.output`.
    target : np.ndarray
        Outputs in float, before the activation, float32 ``[n, outputs]``.
    beta : float or None
        Exponent of the regularization; None without it.
    """
    floors, h, sigmoid = np.floor(problem.weights / problem.scale), rectified_sigmoid(v), _sigmoid(v)
    codes = floors + h
    is_inside = (codes >= problem.low) & (codes <= problem.high)
    output = problem.output(rows, np.clip(codes, problem.low, problem.high) * problem.scale)
    error = problem.activated(output) - problem.activated(target)
    loss = float(np.mean(np.sum(np.square(error, dtype=np.float64), axis=1)))
    slope = error * np.float32(2 / len(rows))
    if problem.clip is not None:
        slope = np.where((output > problem.clip[0]) & (output < problem.clip[1]), slope, np.float32(0))
    if v.ndim == 2:
        of_weights = rows.T @ slope
    else:
        of_weights = np.einsum("nic,nco->ico", rows, slope.reshape(len(rows), v.shape[1], v.shape[2]))
    of_h = np.where(is_inside, of_weights * problem.scale, np.float32(0))
    if beta is not None:
        distance = 2 * h - 1
        loss += LAMBDA * float(np.sum(1 - np.abs(distance, dtype=np.float64) ** beta))
        of_h = of_h - np.float32(2 * LAMBDA * beta) * np.sign(distance) * np.abs(distance) ** np.float32(beta - 1)
    is_free = (h > 0) & (h < 1) & ~problem.is_kept
    return loss, np.where(is_free, of_h * np.float32(ZETA - GAMMA) * sigmoid * (1 - sigmoid), np.float32(0))


class LearnedRounding:
    """Optimization of the rounding of one layer, iteration by iteration.

    Parameters
    ----------
    problem : Rounding
    rows : np.ndarray
        Inputs in the quantized network, as in :meth:`Rounding.output`.
    target : np.ndarray
        Outputs in float, before the activation, float32 ``[n, outputs]``.
    iterations : int
        Number of updates of V.
    random : np.random.RandomState
        Determines the rows of each iteration.

    Attributes
    ----------
    codes : np.ndarray
        After all iterations: codes less the zero point, float32, of the learned rounding, or of the nearest if that
        has the smaller error.
    errors : (float, float)
        :meth:`Rounding.error` of the nearest and of the learned rounding.
    """

    def __init__(
        self, problem: Rounding, rows: np.ndarray, target: np.ndarray, iterations: int, random: np.random.RandomState
    ):
        self._problem, self._rows, self._target = problem, rows, target
        self._iterations, self._random = iterations, random
        fraction = problem.weights / problem.scale - np.floor(problem.weights / problem.scale)
        sigmoid = (fraction - np.float32(GAMMA)) / np.float32(ZETA - GAMMA)
        v = np.log(sigmoid / (1 - sigmoid)).astype(np.float32)
        self.v = np.where(problem.is_kept, np.where(fraction >= 0.5, _CERTAIN, -_CERTAIN), v).astype(np.float32)
        self.codes = problem.nearest
        error = problem.error(rows, target, self.codes)
        self.errors = error, error

    def run(self) -> Iterator[int]:
        """Run all iterations; after each one, yield the number of those that are done."""
        first = second = np.zeros_like(self.v)
        decay1, decay2, epsilon = _ADAM
        for iteration in range(self._iterations):
            chosen = self._random.randint(0, len(self._rows), min(BATCH_ROWS, len(self._rows)))
            beta = beta_at(iteration, self._iterations)
            _, gradient = loss_and_gradient(self._problem, self.v, self._rows[chosen], self._target[chosen], beta)
            first = np.float32(decay1) * first + np.float32(1 - decay1) * gradient
            second = np.float32(decay2) * second + np.float32(1 - decay2) * np.square(gradient)
            rate = LEARNING_RATE * np.sqrt(1 - decay2 ** (iteration + 1)) / (1 - decay1 ** (iteration + 1))
            self.v = self.v - np.float32(rate) * first / (np.sqrt(second) + np.float32(epsilon))
            yield iteration + 1
        self._finish()

    def _finish(self) -> None:
        """Set the codes to the learned ones if their error is smaller."""
        problem, nearest = self._problem, self.codes
        up = rectified_sigmoid(self.v) >= 0.5
        learned = np.clip(np.floor(problem.weights / problem.scale) + up, problem.low, problem.high)
        learned = np.where(problem.is_kept, nearest, learned).astype(np.float32)
        self.errors = self.errors[0], problem.error(self._rows, self._target, learned)
        if self.errors[1] < self.errors[0]:
            self.codes = learned


def rounded_weights(problem: Rounding, codes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the weights for ``codes``, float32: the values of the codes, clipped to the range of the weights.

    Weights that are kept stay as they are. ``low`` and ``high``, the ends of the range, broadcast against the weights.
    """
    values = np.clip(codes * problem.scale, low, high).astype(np.float32)
    return np.where(problem.is_kept, problem.weights, values)


def code_limits(
    low: np.ndarray, high: np.ndarray, scale: np.ndarray, bounds: Tuple[np.ndarray, np.ndarray]
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the codes of the smallest and the largest weight of each scale, less the zero point, float32.

    Learned codes stay between them, because the value of a code beyond them would widen the grid.

    Parameters
    ----------
    low, high : np.ndarray
        The smallest and the largest weight of each scale, float32.
    scale : np.ndarray
        float32, positive.
    bounds : (np.ndarray, np.ndarray)
        Edge codes of the grid, less the zero point, float32.
    """
    ends = [np.floor(end / scale + np.float32(0.5)) for end in (low, high)]
    return np.clip(ends[0], *bounds), np.clip(ends[1], *bounds)


def _sigmoid(v: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-v)))
