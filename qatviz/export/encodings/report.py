"""Report on the proof of encodings: codes on their grids compared with those of the evaluation graph."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.proof.parity import Agreement
from qatviz.export.proof.report_lines import closing_lines
from qatviz.number_format import share_text
from qatviz.text_columns import aligned

#: Expected agreement for one tensor. Of millions of values, a few may lie too close to a tie for float32.
_REACHED = Agreement(0.9999, 1)


class TensorAgreement(NamedTuple):
    """Agreement of one tensor.

    Attributes
    ----------
    name, kind : str
        See :class:`qatviz.export.encodings.tensors.EncodedTensor`.
    num_bits : int or None
        None in float.
    grids : int
        Number of scales: one, or one for each channel; 0 in float.
    codes : int
        Number of values that were compared.
    found : Agreement or None
        Agreement of the codes; None if none were compared: the tensor is in float, or copies the codes of another.
    """

    name: str
    kind: str
    num_bits: Optional[int]
    grids: int
    codes: int = 0
    found: Optional[Agreement] = None


@dataclass(frozen=True)
class EncodingsReport:
    """Result of the proof.

    Attributes
    ----------
    about : dict
        JSON-able: format, version, network, and the run's metadata.
    examples : int
        Number of held-out examples whose activations were rounded.
    tensors : tuple of TensorAgreement
    nbytes : dict of str to int
        "file", and "float32 parameters".
    notes : tuple of str
    golden : dict of str to np.ndarray
        Empty: a file of grids has no outputs.
    """

    about: Dict[str, Any]
    examples: int
    tensors: Tuple[TensorAgreement, ...]
    nbytes: Dict[str, int]
    notes: Tuple[str, ...] = ()
    golden: Dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def faults(self) -> List[str]:
        """Descriptions of tensors whose grid differs from the evaluation graph's; empty for a correct file."""
        return [
            f"{tensor.name}: {share_text(tensor.found.identical)} of {tensor.codes:,} codes equal the evaluation "
            f"graph's, others differ by up to {tensor.found.largest}"
            for tensor in self.tensors
            if tensor.found is not None and not _is_reached(tensor.found, tensor.codes)
        ]

    @property
    def as_expected(self) -> bool:
        """True if all tensors agree with the evaluation graph's."""
        return not self.faults

    def to_record(self) -> Dict[str, Any]:
        """Return the report as a JSON-able dict."""
        return {
            "about": self.about,
            "examples": self.examples,
            "bytes": self.nbytes,
            "notes": list(self.notes),
            "tensors": [
                dict(tensor._asdict(), found=None if tensor.found is None else tensor.found.codes_record())
                for tensor in self.tensors
            ],
            "faults": self.faults,
            "as_expected": self.as_expected,
        }

    def to_text(self) -> str:
        """Return a table for a terminal."""
        rows = [("tensor", "bits", "grids", "codes", "identical", "largest")]
        for tensor in self.tensors:
            found = (
                ("", "") if tensor.found is None else (share_text(tensor.found.identical), str(tensor.found.largest))
            )
            rows.append(
                (
                    tensor.name,
                    "float" if tensor.num_bits is None else str(tensor.num_bits),
                    str(tensor.grids or ""),
                    f"{tensor.codes:,}" if tensor.codes else "",
                    *found,
                )
            )
        lines = ["{format} of {network}, read back".format(**self.about), "", *aligned(rows, left=(0,))]
        lines += [
            "",
            f"weights, biases, and the inputs of all quantizers of the evaluation graph for {self.examples:,} held-out "
            "examples: codes on the file's grids compared with the graph's",
            "",
            f"size: {self.nbytes['file']:,} bytes; the network's parameters in float: "
            f"{self.nbytes['float32 parameters']:,} bytes",
        ]
        return "\n".join([*lines, *closing_lines(self.notes, self.faults)])


def _is_reached(found: Agreement, codes: int) -> bool:
    return found.identical >= min(_REACHED.identical, 1 - 1 / max(codes, 1)) and found.largest <= _REACHED.largest
