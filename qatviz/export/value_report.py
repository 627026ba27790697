"""The proof of an export that puts out real numbers where there are no integer codes to compare: values with values."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.parity import accuracy, same_top1
from qatviz.export.parity_report import GOLDEN_EXAMPLES

#: Beyond this share of the range of values, a difference is no matter of rounding; see `ValueReport.faults`.
_FAULT = 0.25


class ValueAgreement(NamedTuple):
    """How close values are to what was expected.

    Attributes
    ----------
    largest : float
        Largest difference.
    relative : float
        The same, in units of the largest absolute value that was expected.
    close : float
        Share of values that differ by no more than `Bar.relative` of that.
    top1 : float
        Share of examples whose largest value is the same one, ties counted as equal.
    """

    largest: float
    relative: float
    close: float
    top1: float


class Bar(NamedTuple):
    """What is to be expected: the share ``close`` of all values within ``relative`` of the largest, and of ``top1``."""

    relative: float
    close: float = 1.0
    top1: float = 1.0


@dataclass(frozen=True)
class ValueReport:
    """What a proof by values found; used as :class:`qatviz.export.parity_report.ParityReport` is.

    Attributes
    ----------
    about : dict
        JSON-able: format, runtime, network, and what the caller wants to keep with it.
    examples : int
        Held-out examples that it was run on.
    outputs : dict of str to ValueAgreement
        "file to evaluation graph", and others.
    accuracy : dict of str to float
        On the same examples, 0..1.
    nbytes : dict of str to int
        "file", and "float32 parameters".
    bar : Bar
    notes : tuple of str
    golden : dict of str to np.ndarray
    """

    about: Dict[str, Any]
    examples: int
    outputs: Dict[str, ValueAgreement]
    accuracy: Dict[str, float]
    nbytes: Dict[str, int]
    bar: Bar
    notes: Tuple[str, ...] = ()
    golden: Dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def faults(self) -> List[str]:
        """What can't be put down to rounding, in words; none in a good file."""
        return ["{}: values differ by up to {:.3g}, {:.3g} of the largest value".format(name, found.largest, found.relative)
                for name, found in self.outputs.items() if not found.relative <= _FAULT]

    @property
    def as_expected(self) -> bool:
        """Whether all outputs are as close as this kind of export is known to be."""
        return all(found.close >= self.bar.close and found.top1 >= self.bar.top1 for found in self.outputs.values())

    def to_record(self) -> Dict[str, Any]:
        """JSON-able."""
        return {
            "about": self.about, "examples": self.examples,
            "outputs": {name: _finite(found._asdict()) for name, found in self.outputs.items()},
            "accuracy": self.accuracy, "bytes": self.nbytes, "notes": list(self.notes), "faults": self.faults,
            "bar": self.bar._asdict(), "as_expected": self.as_expected,
        }

    def to_text(self) -> str:
        """A table for a terminal."""
        lines = ["{format} of {network}, run in {runtime}".format(**self.about), ""]
        width = max(map(len, self.outputs))
        within = "within {:g}".format(self.bar.relative)
        lines.append("{}  {:>10}  {:>10}  {:>14}  {:>8}".format("values".ljust(width), "largest", "relative", within,
                                                                "top-1"))
        for name, found in self.outputs.items():
            lines.append("{}  {:>10.3g}  {:>10.3g}  {:>14}  {:>8}".format(
                name.ljust(width), found.largest, found.relative, _percent(found.close), _percent(found.top1)))
        lines += ["", "largest difference for {:,} held-out examples, and in units of the largest value; values within that "
                  "share of it".format(self.examples), ""]
        lines.append("accuracy: " + ", ".join("{} {}".format(name, _percent(share))
                                              for name, share in self.accuracy.items()))
        lines.append("size: {:,} bytes; its parameters in float: {:,} bytes".format(
            self.nbytes["file"], self.nbytes["float32 parameters"]))
        lines += ["note: " + note for note in self.notes]
        if not self.as_expected and not self.faults:
            lines.append("note: expected are {:g} of the values within {:g} of the largest, and {:g} of the top-1; in float "
                         "sums are rounded, which in deep networks takes values to other codes".format(
                             self.bar.close, self.bar.relative, self.bar.top1))
        lines += ["WRONG: " + fault for fault in self.faults]
        return "\n".join(lines)


def compare_values(expected: np.ndarray, found: np.ndarray, relative: float) -> ValueAgreement:
    """Real numbers ``[n, values]`` each; not finite ones are infinitely far from any other."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    unit = max(float(np.abs(expected).max()), np.finfo(np.float32).tiny)
    largest = float(difference.max())
    return ValueAgreement(largest, largest / unit, float(np.mean(difference <= relative * unit)),
                          float(np.mean(same_top1(expected, found))))


def value_report(about: Dict[str, Any], outputs: Dict[str, Tuple[np.ndarray, np.ndarray]], images: np.ndarray,
                 labels: np.ndarray, nbytes: Dict[str, int], bar: Bar, notes: Tuple[str, ...] = (),
                 in_float: Optional[np.ndarray] = None) -> ValueReport:
    """The report on values that were computed.

    Parameters
    ----------
    outputs : dict of str to (np.ndarray, np.ndarray)
        What was expected, and what was found, ``[n, classes]``, the first of them "file to evaluation graph".
    images, labels : np.ndarray
        What it was run on.
    in_float : np.ndarray, optional
        What the network puts out in float, for its accuracy.
    """
    expected, found = next(iter(outputs.values()))
    shares = {} if in_float is None else {"float": accuracy(in_float, labels)}
    shares.update({"evaluation graph": accuracy(expected, labels), "file": accuracy(found, labels)})
    first = slice(GOLDEN_EXAMPLES)
    return ValueReport(about, len(images), {name: compare_values(*pair, bar.relative) for name, pair in outputs.items()},
                       shares, nbytes, bar, notes,
                       {"images": images[first], "labels": labels[first], "expected_output": expected[first],
                        "file_output": found[first]})


def _finite(record: Dict[str, float]) -> Dict[str, Any]:
    """Infinity as text, for JSON has none."""
    return {name: value if np.isfinite(value) else str(value) for name, value in record.items()}


def _percent(share: float) -> str:
    """Of what is not all, no 100.00 %."""
    return "{:.2f} %".format(100 * share if share == 1 else min(100 * share, 99.99))
