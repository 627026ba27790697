"""Proof by values, for exports whose outputs are real numbers without integer codes to compare."""

from dataclasses import dataclass, field, replace
from typing import Any, Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.proof.parity import same_top1
from qatviz.export.proof.report import GOLDEN_EXAMPLES
from qatviz.export.proof.report_lines import closing_lines, size_in_words, title_line
from qatviz.export.proof.scores import (
    WholeScores,
    default_metric,
    metric_entries,
    output_entries,
    score,
    score_entries,
    score_lines,
)
from qatviz.export.source import HeldOut
from qatviz.inputs import split_examples
from qatviz.metric import Metric
from qatviz.name_lookup import numbered
from qatviz.number_format import share_text
from qatviz.task import CLASSIFICATION
from qatviz.text_columns import aligned

#: Widths of the columns of numbers in the table (characters).
_WIDTHS = (10, 10, 14, 8)
#: Smallest difference, relative to the largest value, that can't be due to rounding; see `ValueReport.faults`.
_FAULT = 0.25


class ValueAgreement(NamedTuple):
    """Agreement of computed values with expected ones.

    Attributes
    ----------
    largest : float
        Largest difference.
    relative : float
        Largest difference, relative to the largest absolute expected value.
    close : float
        Fraction of values whose relative difference is at most `Bar.relative`.
    top1 : float or None
        Fraction of examples whose largest value is the same one, ties counted as equal; None if the outputs are not
        classes.
    """

    largest: float
    relative: float
    close: float
    top1: Optional[float] = None


class Bar(NamedTuple):
    """Expected agreement: the fraction ``close`` of all values is within ``relative``; and ``top1``."""

    relative: float
    close: float = 1.0
    top1: float = 1.0


class OutputScores(NamedTuple):
    """Metric of one of several outputs, of the file and of its references."""

    output: str
    metric: Metric
    scores: Dict[str, float]

    def to_record(self) -> Dict[str, Any]:
        """Return the scores as a JSON-able dict."""
        return {"output": self.output, **score_entries(self.metric, self.scores)}


@dataclass(frozen=True)
class ValueReport:
    """Result of a proof by values; used like :class:`qatviz.export.proof.report.ParityReport`.

    Attributes
    ----------
    about : dict
        JSON-able: format, runtime, network, and metadata of the run.
    examples : int
        Number of held-out examples.
    outputs : dict of str to ValueAgreement
        Agreements by name of the comparison.
    metric : Metric
        Metric of the run's task.
    scores : dict of str to float
        That metric on the same examples, for the "file" and its references.
    nbytes : dict of str to int
        "file", and "float32 parameters".
    bar : Bar
    notes : tuple of str
    golden : dict of str to np.ndarray
    whole : WholeScores or None
        The metric on the whole held-out part.
    output : str
        Name of the output that the metric is of, if the network has several.
    further : tuple of OutputScores
        Metrics of the further outputs.
    """

    about: Dict[str, Any]
    examples: int
    outputs: Dict[str, ValueAgreement]
    metric: Metric
    scores: Dict[str, float]
    nbytes: Dict[str, int]
    bar: Bar
    notes: Tuple[str, ...] = ()
    golden: Dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    whole: Optional[WholeScores] = None
    output: str = ""
    further: Tuple[OutputScores, ...] = ()

    @property
    def faults(self) -> List[str]:
        """Descriptions of differences that can't be due to rounding; empty for a correct file."""
        return [
            f"{name}: values differ by up to {found.largest:.3g}, {found.relative:.3g} of the largest value"
            for name, found in self.outputs.items()
            if not found.relative <= _FAULT
        ]

    @property
    def as_expected(self) -> bool:
        """True if all outputs agree as closely as those of this kind of export are known to."""
        return all(
            found.close >= self.bar.close and (found.top1 is None or found.top1 >= self.bar.top1)
            for found in self.outputs.values()
        )

    def with_golden(self, more: Dict[str, np.ndarray]) -> "ValueReport":
        """Return a report with further golden vectors, or others."""
        return replace(self, golden={**self.golden, **more})

    def to_record(self) -> Dict[str, Any]:
        """Return the report as a JSON-able dict."""
        return {
            "about": self.about,
            "examples": self.examples,
            "outputs": {name: _finite(found._asdict()) for name, found in self.outputs.items()},
            **metric_entries(self.metric, self.scores, self.whole, self.further),
            "bytes": self.nbytes,
            "notes": list(self.notes),
            "faults": self.faults,
            "bar": self.bar._asdict(),
            "as_expected": self.as_expected,
            **output_entries(self.output, self.further),
        }

    def to_text(self) -> str:
        """Return a table for a terminal."""
        lines = [title_line(self.about), ""]
        rows = [
            (name, f"{found.largest:.3g}", f"{found.relative:.3g}", share_text(found.close), share_text(found.top1))
            for name, found in self.outputs.items()
        ]
        rows.insert(0, ("values", "largest", "relative", f"within {self.bar.relative:g}", "top-1"))
        widths = (max(map(len, self.outputs)), *_WIDTHS)
        lines += aligned(rows, (0,), widths if self._has_classes else widths[:-1])
        lines += [
            "",
            f"{self.examples:,} held-out examples; largest difference, also relative to the largest value; fraction of "
            f"values whose relative difference is at most {self.bar.relative:g}",
            "",
        ]
        lines += score_lines(self.metric, self.scores, self.examples, self.whole, self.output, self.further)
        lines.append(size_in_words(self.nbytes))
        shortfall = ""
        if not self.as_expected:
            shortfall = (
                "expected: {} of the values within {:g} of the largest{}; sums in float are rounded, and in deep "
                "networks the differences add up".format(
                    share_text(self.bar.close),
                    self.bar.relative,
                    f", and {share_text(self.bar.top1)} of the top-1" if self._has_classes else "",
                )
            )
        return "\n".join([*lines, *closing_lines(self.notes, self.faults, shortfall)])

    @property
    def _has_classes(self) -> bool:
        return any(found.top1 is not None for found in self.outputs.values())


def compare_values(expected: np.ndarray, found: np.ndarray, relative: float, classes: bool = True) -> ValueAgreement:
    """Compare real numbers, ``[n, values]`` each; one that is not finite differs by infinity from any other."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    unit = max(float(np.abs(expected).max()), np.finfo(np.float32).tiny)
    largest = float(difference.max())
    return ValueAgreement(
        largest,
        largest / unit,
        float(np.mean(difference <= relative * unit)),
        float(np.mean(same_top1(expected, found))) if classes else None,
    )


def value_report(
    about: Dict[str, Any],
    reference: str,
    values: Dict[str, np.ndarray],
    held_out: HeldOut,
    nbytes: Dict[str, int],
    bar: Bar,
    notes: Tuple[str, ...] = (),
    whole: Optional[WholeScores] = None,
    by_output: Optional[Mapping[str, Dict[str, np.ndarray]]] = None,
    inputs: Sequence[Tuple[str, Tuple[int, ...]]] = (),
    ids: Collection[str] = (),
) -> ValueReport:
    """Return the report on values that were computed.

    Parameters
    ----------
    reference : str
        Name of the reference, such as "evaluation graph".
    values : dict of str to np.ndarray
        Outputs, ``[n, outputs]``, of the reference, the "file", and others whose score is to be reported.
    held_out : HeldOut
        Examples that the values were computed from.
    whole : WholeScores, optional
    by_output : mapping of str to dict, optional
        Values as in `values` of each output, by its name, if there are several.
    inputs : sequence of (str, tuple of int)
        Names and shapes of the network's inputs, if there are several.
    ids : collection of str
        Names of the inputs with ids, whose golden vectors are int32.
    """
    targets = (held_out.labels, *held_out.further)
    metrics = held_out.metrics or [default_metric(labels) for labels in targets]
    compared: Dict[str, ValueAgreement] = {}
    scored: List[OutputScores] = []
    vectors: List[Dict[str, np.ndarray]] = []
    for index, (output, own) in enumerate((by_output or {"": values}).items()):
        own, metric, what = values if index == 0 else own, metrics[index], f"file to {reference}"
        compared[f"{output}, {what}" if output else what] = compare_values(
            own[reference], own["file"], bar.relative, metric.task == CLASSIFICATION
        )
        scores = {name: score(found, targets[index], metric) for name, found in own.items()}
        scored.append(OutputScores(output, metric, scores))
        found = {"labels": targets[index], "expected_output": own[reference], "file_output": own["file"]}
        vectors.append({numbered(key, index): array[:GOLDEN_EXAMPLES] for key, array in found.items()})
    images = _golden_images(held_out.images[:GOLDEN_EXAMPLES], inputs, ids)
    golden = {"images": images.pop("images"), **vectors[0], **images}
    for further in vectors[1:]:
        golden.update(further)
    return ValueReport(
        about,
        len(held_out.images),
        compared,
        scored[0].metric,
        scored[0].scores,
        nbytes,
        bar,
        notes,
        golden,
        whole,
        scored[0].output,
        tuple(scored[1:]),
    )


def _golden_images(
    images: np.ndarray, inputs: Sequence[Tuple[str, Tuple[int, ...]]], ids: Collection[str]
) -> Dict[str, np.ndarray]:
    """Return golden vectors of the inputs: images, or several of them; the parameters are those of `value_report`."""
    parts = list(split_examples(inputs, images).values()) if len(inputs) > 1 else [images]
    if ids:
        parts = [part.astype(np.int32 if name in ids else np.float32) for part, (name, _) in zip(parts, inputs)]
    return {numbered("images", index): part for index, part in enumerate(parts)}


def _finite(record: Dict[str, Optional[float]]) -> Dict[str, Any]:
    """Return the record with infinities as text, because JSON has none."""
    return {name: value if value is None or np.isfinite(value) else str(value) for name, value in record.items()}
