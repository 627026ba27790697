"""Limits of the export to encodings in AIMET's form; see :mod:`qatviz.export.limits`.

They are those of AIMET's "Encoding Format Specification".
"""

from typing import Any, List, Mapping, Optional

from qatviz.errors import Advice, OptionChange, Refusal, Remedy, SettingChange
from qatviz.network.embedding import Embedding
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import BINARY, MIN_MAX, NO_MAP, WEIGHTS

#: Versions of the format, which list encodings, list them in terms of ONNX's QuantizeLinear, or have them by name.
LISTS, ONNX_LIKE, DICTIONARIES = "1.0.0", "2.0.0", "0.6.1"
VERSIONS = (LISTS, ONNX_LIKE, DICTIONARIES)
#: Bit widths that each version supports, among those that settings allow.
BITS = {LISTS: tuple(range(2, 17)), ONNX_LIKE: (2, 4, 8, 16), DICTIONARIES: tuple(range(4, 17))}
#: Version with the ends of each range, in which a range can therefore exclude the lowest code.
WITH_ENDS = DICTIONARIES
_VERSION = "encodings_version"


def encodings(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of the version that the option ``encodings_version`` names."""
    version = options[_VERSION]
    refusals = [
        Refusal(
            f"layer {layer.name!r}: an Embedding, whose output has the grid of its weights, while AIMET has encodings "
            "of both",
            (Advice("in the formats tflite, onnx, c and npz"),),
        )
        for layer in network.layers
        if isinstance(layer, Embedding)
    ]
    for tensor in book.plan.tensors:
        name, s = tensor.name, book.of(tensor.name)
        if not s.is_active(step):
            continue
        if s.effective_map != NO_MAP:
            is_binary = s.effective_map == BINARY
            setting = "num_bits" if is_binary else "weight_map"
            change = SettingChange(f"{name}.{setting}", min(BITS[version]) if is_binary else NO_MAP)
            refusals.append(
                Refusal(
                    f"{name}: weights with a map ({s.effective_map}), which encodings do not have: they are grids, to "
                    "which AIMET rounds the weights of the model without it",
                    (change, Advice("in all other formats")),
                )
            )
            continue
        if s.num_bits not in BITS[version]:
            nearest = min(BITS[version], key=lambda bits: (abs(bits - s.num_bits), -bits))
            others = [other for other in VERSIONS if s.num_bits in BITS[other]]
            refusals.append(
                Refusal(
                    f"{name}: {s.num_bits} bits, which version {version} of the encodings does not support",
                    (SettingChange(f"{name}.num_bits", nearest), OptionChange(_VERSION, others[0])),
                )
            )
        # If the range covers all values, none of them would get the lowest code.
        covers_all = tensor.kind == WEIGHTS and s.range_method == MIN_MAX and not book.run.freeze_ranges
        if s.narrow_range and not covers_all and version != WITH_ENDS:
            remedies: List[Remedy] = [SettingChange(f"{name}.narrow_range", False)]
            if tensor.kind == WEIGHTS and not book.run.freeze_ranges:
                remedies.append(SettingChange(f"{name}.range_method", MIN_MAX))
            if s.num_bits in BITS[WITH_ENDS]:
                remedies.append(OptionChange(_VERSION, WITH_ENDS))
            refusals.append(
                Refusal(
                    f"{name}: excludes the lowest code (narrow_range), for which version {version} of the encodings "
                    "has no field: values beyond the representable range would get that code",
                    tuple(remedies),
                )
            )
    return refusals
