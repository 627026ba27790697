"""Drift of a quantized network from the network in float, layer by layer: own and inherited errors.

Each layer is computed four times on the same examples: as a layer ``F`` in float and as a layer ``Q`` with its own
quantizers, from the inputs ``x`` that it has in the network in float, and from the inputs ``x'`` that it has in the
quantized network. Errors are differences from ``F(x)``:

- own: ``Q(x) - F(x)``, what its quantizers add,
- inherited: ``F(x') - F(x)``, what it makes of the errors of its inputs,
- total: ``Q(x') - F(x)``, with biases and codes as exported.

Where the own and the inherited error are independent, their powers add up to that of the total error.
"""

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.measures import MEASURES
from qatviz.number_format import finite

#: Parts of the error, in the order of :func:`error_sums`.
OWN, INHERITED, TOTAL = PARTS = ("own", "inherited", "total")
#: Numbers in :func:`error_sums`: the signal's, and two for each part.
NUM_SUMS = 1 + 2 * len(PARTS)
_SQNR = MEASURES["sqnr_db"].thresholds
#: SQNR in dB below which a layer counts as drifted.
DRIFTED_DB = 0.0 if _SQNR is None else _SQNR.warning


class PartError(NamedTuple):
    """One part of a layer's error.

    Attributes
    ----------
    power : float
        Mean square of the error over that of the layer's output in float.
    cosine : float
        Cosine of the angle between the outputs in float with and without this error; NaN where one is all zeros.
    """

    power: float
    cosine: float

    @property
    def sqnr_db(self) -> float:
        """Signal-to-quantization-noise ratio in dB; infinite without an error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(-10.0 * np.log10(np.float64(self.power)))

    def to_dict(self) -> Dict[str, Optional[float]]:
        """Return a JSON-able form; numbers that are not finite become None."""
        return {"sqnr_db": finite(self.sqnr_db), "cosine": finite(self.cosine)}


class LayerDrift(NamedTuple):
    """Errors of one layer's output, or of an input of the network.

    Attributes
    ----------
    layer, kind : str
        Name; kind of the layer, such as "Conv2D".
    own, inherited, total : PartError
    """

    layer: str
    kind: str
    own: PartError
    inherited: PartError
    total: PartError

    @property
    def own_fraction(self) -> float:
        """Fraction of the own error in the sum of the powers of own and inherited error, 0..1; NaN without errors."""
        both = self.own.power + self.inherited.power
        return self.own.power / both if both > 0 else float("nan")

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        parts = {name: getattr(self, name).to_dict() for name in PARTS}
        return {"layer": self.layer, "kind": self.kind, **parts, "own_fraction": finite(self.own_fraction)}


class DriftStart(NamedTuple):
    """Conclusion from the measured errors: where the drift comes from.

    Attributes
    ----------
    first : LayerDrift or None
        First layer whose total SQNR is below :data:`DRIFTED_DB`; None if no layer's is.
    largest : LayerDrift or None
        Layer with the largest own error, of those up to ``first`` if the error of ``first`` is mostly inherited; None
        if no layer has an error of its own.
    worst : LayerDrift or None
        Layer with the lowest total SQNR; None if no layer has an error.
    """

    first: Optional[LayerDrift]
    largest: Optional[LayerDrift]
    worst: Optional[LayerDrift]

    @property
    def is_own(self) -> bool:
        """True if ``first`` starts the drift: at least half of its error is its own."""
        return self.first is not None and self.first.own_fraction >= 0.5

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form: names of layers."""
        names = {name: None if layer is None else layer.layer for name, layer in self._asdict().items()}
        return {**names, "is_own": self.is_own}


@dataclass(frozen=True)
class Drift:
    """Drift of one state of a run.

    Attributes
    ----------
    layers : tuple of LayerDrift
        Inputs of the network and layers with quantizers of their own, in the order of computation.
    divergence : float
        :func:`qatviz.analysis.sensitivity.divergence` of the outputs from those in float, weighted over outputs.
    step : int
        Number of training steps complete.
    examples : int
        Number of held-out examples.
    example : int or None
        Index of the held-out example, if it is a single one.
    """

    layers: Tuple[LayerDrift, ...]
    divergence: float
    step: int
    examples: int
    example: Optional[int] = None

    def layer(self, name: str) -> Optional[LayerDrift]:
        """Return the errors of a layer; None if it has no quantizers of its own."""
        return next((layer for layer in self.layers if layer.layer == name), None)

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        return {
            "step": self.step,
            "examples": self.examples,
            "example": self.example,
            "divergence": finite(self.divergence),
            "start": drift_start(self).to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True)
class FeatureMaps:
    """Output of one layer for one example, in float and quantized.

    Attributes
    ----------
    layer : str
    example : int
        Index of the held-out example.
    in_float, quantized : np.ndarray
        float32 in the shape of the layer's output.
    step : int
        Number of training steps complete.
    """

    layer: str
    example: int
    in_float: np.ndarray
    quantized: np.ndarray
    step: int

    def __post_init__(self) -> None:
        for array in (self.in_float, self.quantized):
            array.setflags(write=False)


class DriftQuestion(NamedTuple):
    """What is computed.

    Attributes
    ----------
    example : int or None
        Index of one held-out example; None for the first ``examples``.
    examples : int
    layer : str
        Layer whose feature maps are wanted; empty for none.
    shown_example : int
        Index of the held-out example of the feature maps.
    """

    example: Optional[int] = None
    examples: int = 256
    layer: str = ""
    shown_example: int = 0


class RunDrift(NamedTuple):
    """Drift of one state of a run: name of the state, drift, and feature maps if they were requested."""

    checkpoint: str
    drift: Drift
    maps: Optional[FeatureMaps] = None

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form, without feature maps; numbers that are not finite become None."""
        return {"checkpoint": self.checkpoint, **self.drift.to_dict()}


def error_sums(in_float: np.ndarray, own: np.ndarray, inherited: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the sums from which errors are computed, float64 ``[NUM_SUMS]``; sums over examples add up.

    The parameters are the outputs ``F(x)``, ``Q(x)``, ``F(x')`` and ``Q(x')``, float, of one shape. The sums are that
    of the squares of ``F(x)``; then for each part those of its squares, and of its products with ``F(x)``.
    """
    signal = np.asarray(in_float, np.float64).ravel()
    errors = [np.asarray(output, np.float64).ravel() - signal for output in (own, inherited, total)]
    return np.array([signal @ signal, *(number for error in errors for number in (error @ error, signal @ error))])


def layer_drift(layer: str, kind: str, sums: np.ndarray) -> LayerDrift:
    """Return the errors of a layer from its :func:`error_sums`."""
    signal = float(sums[0])
    parts = [_part(signal, float(square), float(product)) for square, product in np.reshape(sums[1:], (-1, 2))]
    return LayerDrift(layer, kind, *parts)


def _part(signal: float, square: float, product: float) -> PartError:
    if square == 0:
        return PartError(0.0, 1.0 if signal > 0 else float("nan"))
    length = np.sqrt(max(signal, 0.0) * max(signal + 2 * product + square, 0.0))
    cosine = (signal + product) / length if length > 0 else float("nan")
    return PartError(square / signal if signal > 0 else float("inf"), float(np.clip(cosine, -1.0, 1.0)))


def drift_start(drift: Drift) -> DriftStart:
    """Return where the drift comes from, looked up in the measured errors."""
    known = [layer for layer in drift.layers if layer.total.power > 0]  # not NaN either
    first = next((layer for layer in known if layer.total.sqnr_db < DRIFTED_DB), None)
    worst = max(known, key=lambda layer: layer.total.power, default=None)
    causes = drift.layers
    if first is not None and not first.own_fraction >= 0.5:
        causes = drift.layers[: drift.layers.index(first) + 1]
    own = [layer for layer in causes if layer.own.power > 0]
    largest = max(own, key=lambda layer: layer.own.power) if own else None
    return DriftStart(first, largest, worst)
