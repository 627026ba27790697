"""What encodings in AIMET's form can't hold, told from the settings alone. No TensorFlow.

What the versions know is in AIMET's "Encoding Format Specification".
"""

from typing import Any, List, Mapping, Optional

from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import MIN_MAX, WEIGHTS

LISTS, ONNX_LIKE, DICTIONARIES = "1.0.0", "2.0.0", "0.6.1"
VERSIONS = (LISTS, ONNX_LIKE, DICTIONARIES)
#: Bits that the versions know, of those that there are here.
BITS = {LISTS: tuple(range(2, 17)), ONNX_LIKE: (2, 4, 8, 16), DICTIONARIES: tuple(range(4, 17))}
#: The one that has both ends of a range, and so can leave out the lowest code.
WITH_ENDS = DICTIONARIES


def encodings(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """As :mod:`qatviz.export.limits` has them; options: "encodings_version"."""
    version = options["encodings_version"]
    reasons = []
    for tensor in book.plan.tensors:
        name, s = tensor.name, book.of(tensor.name)
        if not s.is_active(step):
            continue
        if s.num_bits not in BITS[version]:
            nearest = min(BITS[version], key=lambda bits: (abs(bits - s.num_bits), -bits))
            others = [other for other in VERSIONS if s.num_bits in BITS[other]]
            reasons.append(
                f"{name}: {s.num_bits} bits, which version {version} of the encodings does not know; possible with "
                f"{name}.num_bits={nearest}, or with the option encodings_version {others[0]}"
            )
        # A range that covers all values has none that would get the lowest code.
        covers_all = tensor.kind == WEIGHTS and s.range_method == MIN_MAX and not book.run.freeze_ranges
        if s.narrow_range and not covers_all and version != WITH_ENDS:
            ways = [f"{name}.narrow_range=off"]
            if tensor.kind == WEIGHTS and not book.run.freeze_ranges:
                ways.append(f"{name}.range_method={MIN_MAX}")
            if s.num_bits in BITS[WITH_ENDS]:
                ways.append(f"the option encodings_version {WITH_ENDS}")
            reasons.append(
                f"{name}: does without the lowest code (narrow_range), for which version {version} of the "
                "encodings has "
                f"no field, and values beyond its range would get it; possible with {', or with '.join(ways)}"
            )
    return reasons
