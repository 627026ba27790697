"""Writer of the file that aimet-torch loads: encodings by module instead of by tensor.

``QuantizationSimModel.load_encodings`` of aimet-torch reads no version of the other file, which is in terms of an ONNX
graph. It expects the second file of AIMET's own export, ``<name>_torch.encodings``. In it, activations belong to
modules, which have the names of the layers here; weights are ``<module>.weight``. Its quantizers ignore ``scale`` and
compute it in float32 as ``(max - min) / (2**bits - 1)``.
"""

import json
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.encodings.format import stored_scales, to_json
from qatviz.export.encodings.limits import DICTIONARIES
from qatviz.export.encodings.tensors import EncodedTensor
from qatviz.network.plan import INPUT_KIND, QuantizationPlan
from qatviz.quant.affine import code_bounds

#: Suffix that replaces that of the other file, as in AIMET's own exports.
SUFFIX = "_torch.encodings"
#: Units in the last place by which the end of a range may be moved so that its scale is exact.
_NUDGES = (0, 1, -1, 2, -2, 3, -3, 4, -4)


def files_of(tensors: Sequence[EncodedTensor], plan: QuantizationPlan, version: str) -> Tuple[bytes, Dict[str, bytes]]:
    """Return the content of the file by tensors, and of the one beside it by its suffix."""
    return to_json(tensors, version), {SUFFIX: to_torch_json(tensors, plan)}


def to_torch_json(tensors: Sequence[EncodedTensor], plan: QuantizationPlan) -> bytes:
    """Return the content of a file, without tensors in float and those that copy the codes of others.

    Biases are not in it: AIMET does not quantize them.
    """
    by_name = {tensor.layer or tensor.name: tensor for tensor in tensors if tensor.grid is not None}
    activations: Dict[str, Dict[str, Dict[str, Any]]] = {}
    parameters: Dict[str, List[Dict[str, Any]]] = {}
    for unit in plan.units:
        given = {
            str(place): _encodings(by_name[name])[0]
            for place, name in enumerate(unit.inputs)
            if name in by_name
            and name + ".activations" in plan
            and plan.tensor(name + ".activations").op_kind == INPUT_KIND
        }
        if given:
            activations.setdefault(unit.name, {})["input"] = given
        weights = by_name.get(unit.name + ".weights")
        if weights is not None:
            entries = _encodings(weights)
            channels = plan.tensor(unit.name + ".weights").num_channels
            # Its quantizers of weights are per channel, in the standard configurations all of them.
            parameters[unit.name + ".weight"] = entries if len(entries) == channels else entries * channels
        if unit.name + ".activations" in plan and unit.output in by_name:
            module = unit.name if unit.activation is None else unit.output
            activations.setdefault(module, {})["output"] = {"0": _encodings(by_name[unit.output])[0]}
    record = {
        "version": DICTIONARIES,
        "activation_encodings": activations,
        "param_encodings": parameters,
        "excluded_layers": [],
        "producer": {"name": "qatviz", "version": __version__},
    }
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode("utf-8")


def _encodings(tensor: EncodedTensor) -> List[Dict[str, Any]]:
    """Return one encoding for each scale, with the range of all codes, even if the grid excludes the lowest.

    AIMET computes the scale from the range of all codes.
    """
    assert tensor.grid is not None
    bits = tensor.grid.num_bits
    low, high = code_bounds(bits, False)
    found = []
    for scale, zero in zip(stored_scales(tensor.grid), tensor.grid.zero_point.reshape(-1)):
        least, greatest = _ends(np.float32(scale), low - int(zero), high - low)
        found.append(
            {
                "bitwidth": bits,
                "dtype": "int",
                "is_symmetric": str(tensor.symmetric),
                "min": least,
                "max": greatest,
                "offset": low - int(zero),
                "scale": scale,
            }
        )
    return found


def _ends(scale: np.float32, offset: int, steps: int) -> Tuple[float, float]:
    """Return float32 ends of a range whose difference, divided by ``steps``, is ``scale`` or as close as possible."""
    least, greatest = (np.float32(np.float64(scale) * code) for code in (offset, offset + steps))
    if not greatest > 0:
        return float(least), float(greatest)
    candidates = [np.int32(greatest.view(np.int32) + nudge).view(np.float32) for nudge in _NUDGES]
    best = min(candidates, key=lambda end: abs(np.float64((end - least) / np.float32(steps)) - scale))
    return float(least), float(best)
