"""Functions that a model spells as several layers: ``relu6(x + 3) / 6``, ``x * sigmoid(x)``, ``max(min(x, 4), -1)``.

Each becomes a single layer, which computes the same: quantized, it is one table instead of a chain of roundings.
"""

from collections import Counter
from typing import Any, Dict, List, Optional

from qatviz.network.keras_import.config import LayerSpec, ModelSpec
from qatviz.network.keras_import.records import Path

#: Kind of the layer that a function becomes; Keras has no layer for it. Its settings are those of an Activation.
FUNCTION = "ActivationFunction"
_SIXTH = 1 / 6
_TOLERANCE = 1e-6


def with_functions(spec: ModelSpec) -> ModelSpec:
    """Return a model with one layer, of the kind `FUNCTION`, in the place of the layers that spell a function.

    It has the path of the last of them. Layers whose output is used elsewhere, too, are kept.
    """
    graph = _Graph(spec)
    for layer in spec.layers:
        graph.replace(layer.path)
    return spec._replace(layers=tuple(graph.layers.values()))


class _Graph:
    """Layers of a model by path, and the number of uses of each output."""

    def __init__(self, spec: ModelSpec):
        self.layers: Dict[Path, LayerSpec] = {layer.path: layer for layer in spec.layers}
        self._uses = Counter(path for layer in spec.layers for path in layer.inputs)
        self._uses.update(spec.outputs)

    def replace(self, path: Path) -> None:
        """Replace a layer and those before it, if they spell a function."""
        layer = self.layers[path]
        if layer.kind == "Rescaling":
            self._replace_scaled(layer)
        elif _is_function(layer, "clip"):
            self._replace_ends(layer)
        elif _is_function(layer, "rsqrt"):
            self._replace_root(layer)
        elif layer.kind == "Multiply" and len(layer.inputs) == 2:
            for source, gate in (layer.inputs, layer.inputs[::-1]):
                inner = self._inner(gate)
                if inner is not None and inner.inputs == (source,):
                    if _is_function(inner, "hard_sigmoid") and abs(inner.config["slope"] - _SIXTH) < _TOLERANCE:
                        self._merge(layer, [inner], source, {"function": "hard_swish"})
                    elif inner.kind == "Activation" and inner.config.get("activation") == "sigmoid":
                        self._merge(layer, [inner], source, {"function": "swish"})
                    return

    def _replace_scaled(self, layer: LayerSpec) -> None:
        """Replace ``relu6(x + 3) / 6`` and ``x * relu6(x + 3) / 6``."""
        if not _is_scaling(layer, _SIXTH, 0):
            return
        inner = self._inner(layer.inputs[0])
        if inner is None:
            return
        if inner.kind == "Multiply" and len(inner.inputs) == 2:
            for source, gate in (inner.inputs, inner.inputs[::-1]):
                chain = self._shifted_relu6(gate)
                if chain and chain[-1].inputs == (source,):
                    self._merge(layer, [inner, *chain], source, {"function": "hard_swish"})
                    return
        chain = self._shifted_relu6(layer.inputs[0])
        if chain:
            settings = {"function": "hard_sigmoid", "slope": float(layer.config["scale"])}
            self._merge(layer, chain, chain[-1].inputs[0], settings)

    def _replace_ends(self, layer: LayerSpec) -> None:
        """Replace a clip at one end of a clip at the other, as in TensorFlow 1.15's clip_by_value."""
        inner = self._inner(layer.inputs[0])
        if inner is None or not _is_function(inner, "clip"):
            return
        ends = [{key: spec.config[key] for key in ("threshold", "maximum")} for spec in (layer, inner)]
        given = [{key: end for key, end in own.items() if end is not None} for own in ends]
        both = {**given[0], **given[1]}
        if len(both) == len(given[0]) + len(given[1]) == 2 and both["threshold"] <= both["maximum"]:
            self._merge(layer, [inner], inner.inputs[0], {"function": "clip", **both})

    def _replace_root(self, layer: LayerSpec) -> None:
        """Replace ``rsqrt(max(x, number) + number)``, of which either part may be missing."""
        settings, merged = {"threshold": 0.0, "offset": 0.0}, []
        inner = self._inner(layer.inputs[0])
        if inner is not None and inner.kind == "Rescaling" and _is_scaling(inner, 1, inner.config.get("offset", 0)):
            settings["offset"] = float(inner.config.get("offset", 0))
            merged.append(inner)
            inner = self._inner(inner.inputs[0])
        if inner is not None and _is_function(inner, "clip") and inner.config["maximum"] is None:
            settings["threshold"] = inner.config["threshold"]
            merged.append(inner)
        if merged and settings["offset"] >= 0:
            self._merge(layer, merged, merged[-1].inputs[0], {"function": "rsqrt", **settings})

    def _shifted_relu6(self, path: Path) -> List[LayerSpec]:
        """Return the two layers of ``relu6(x + 3)``, the last one first; none if there is something else."""
        rectifier = self._inner(path)
        if rectifier is None or not _is_relu6(rectifier):
            return []
        shift = self._inner(rectifier.inputs[0])
        return [rectifier, shift] if shift is not None and _is_scaling(shift, 1, 3) else []

    def _inner(self, path: Path) -> Optional[LayerSpec]:
        """Return a layer whose output is used once; None for other layers, and for the model's input."""
        return self.layers.get(path) if self._uses[path] == 1 else None

    def _merge(self, last: LayerSpec, merged: List[LayerSpec], source: Path, settings: Dict[str, Any]) -> None:
        for layer in [last, *merged]:
            self._uses.subtract(layer.inputs)
        for layer in merged:
            del self.layers[layer.path]
        config = {key: last.config[key] for key in ("name", "dtype", "trainable") if key in last.config}
        self._uses[source] += 1
        self.layers[last.path] = last._replace(
            kind=FUNCTION, config={**config, **settings, "merged": True}, inputs=(source,)
        )


def _is_function(layer: LayerSpec, name: str) -> bool:
    return layer.kind == FUNCTION and layer.config["function"] == name


def _is_scaling(layer: LayerSpec, scale: float, offset: float) -> bool:
    """Return whether a layer computes ``x * scale + offset``."""
    if layer.kind != "Rescaling":
        return False
    given = layer.config.get("scale", 1), layer.config.get("offset", 0)
    return all(
        isinstance(found, (int, float)) and abs(found - wanted) < _TOLERANCE
        for found, wanted in zip(given, (scale, offset))
    )


def _is_relu6(layer: LayerSpec) -> bool:
    if _is_function(layer, "clip"):
        return (layer.config["threshold"], layer.config["maximum"]) == (0, 6)
    if layer.kind == "Activation":
        return layer.config.get("activation") == "relu6"
    settings = ("negative_slope", "threshold")
    return (
        layer.kind == "ReLU"
        and layer.config.get("max_value") == 6
        and not any(layer.config.get(key) for key in settings)
    )
