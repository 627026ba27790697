"""Report of a proof whose file could not be run on the machine that wrote it."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import run_codes
from qatviz.export.progress import Progress
from qatviz.export.proof.footprint import Footprint
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import Agreement
from qatviz.export.proof.report import Exported, ParityReport, prove
from qatviz.export.proof.report_lines import closing_lines
from qatviz.export.source import WholePart
from qatviz.metric import Metric

#: Name of the comparison that needs no runtime for the file.
_KNOWN = "simulator to evaluation graph"


@dataclass(frozen=True)
class UnrunReport:
    """Result of a proof without the comparisons that need to run the file; used like a :class:`ParityReport`.

    Attributes
    ----------
    report : ParityReport
        Report with the simulator in place of the file.
    reason : str
        Reason why the file was not run.
    advice : str
        Sentence on where to run the file.
    """

    report: ParityReport
    reason: str
    advice: str

    @property
    def golden(self) -> Dict[str, np.ndarray]:
        """Vectors to check a runtime with, without "file_output"."""
        return {name: values for name, values in self.report.golden.items() if not name.startswith("file_output")}

    @property
    def about(self) -> Dict[str, Any]:
        """Facts about the file and its network, JSON-able."""
        return self.report.about

    @property
    def examples(self) -> int:
        """Number of held-out examples of the comparison."""
        return self.report.examples

    @property
    def outputs(self) -> Dict[str, Agreement]:
        """The comparison that needs no runtime."""
        return {_KNOWN: self.report.outputs[_KNOWN]}

    @property
    def nbytes(self) -> Dict[str, int]:
        """Sizes of the file and of the parameters in float."""
        return self.report.nbytes

    @property
    def footprints(self) -> Tuple[Footprint, ...]:
        """Sizes of the compiled file, for sources."""
        return self.report.footprints

    @property
    def notes(self) -> Tuple[str, ...]:
        """Notes on the file."""
        return self.report.notes

    def with_golden(self, more: Dict[str, np.ndarray]) -> "UnrunReport":
        """Return a report with further golden vectors."""
        return replace(self, report=self.report.with_golden(more))

    def with_notes(self, notes: Tuple[str, ...]) -> "UnrunReport":
        """Return a report with these notes instead."""
        return replace(self, report=self.report.with_notes(notes))

    def with_footprints(self, footprints: Tuple[Footprint, ...]) -> "UnrunReport":
        """Return a report with sizes of the compiled file."""
        return replace(self, report=self.report.with_footprints(footprints))

    @property
    def faults(self) -> List[str]:
        """Empty: nothing was run."""
        return []

    @property
    def as_expected(self) -> bool:
        """True if the integers in the file agree with the evaluation graph as closely as expected."""
        proofs = (self.report.outputs, *(each.outputs for each in self.report.further))
        return all(found[_KNOWN].reaches(self.report.reached) for found in proofs)

    def to_record(self) -> Dict[str, Any]:
        """Return the report as a JSON-able dict, without what is unknown, and with the reason as "not_run"."""
        record = self._known.to_record()
        record.update(
            outputs={_KNOWN: record["outputs"][_KNOWN]},
            **_known_further(record),
            layers=[],
            layer_examples=0,
            faults=[],
            as_expected=self.as_expected,
            not_run=self.reason,
        )
        return record

    def to_text(self) -> str:
        """Return a text for a terminal."""
        found = self.report.outputs[_KNOWN]
        lines = [
            "{format} of {network}, NOT RUN: {reason}".format(reason=self.reason, **self.report.about),
            "",
            f"It was written from integers that agree with the evaluation graph on {self.report.examples:,} "
            "held-out examples:",
            f"codes of its output: {found.in_words()}.",
            *(f"codes of {each.output}: {each.outputs[_KNOWN].in_words()}." for each in self.report.further),
            self.advice,
            "",
            *self._known.score_lines(),
            *self.report.sizes_in_words(),
            "input: {input}".format(**self.report.about),
        ]
        return "\n".join(lines + closing_lines(self.report.notes))

    @property
    def _known(self) -> ParityReport:
        """Report without the score of the file."""

        def known(scores: Dict[str, float]) -> Dict[str, float]:
            return {name: value for name, value in scores.items() if name != "file"}

        further = tuple(each._replace(scores=known(each.scores)) for each in self.report.further)
        return replace(self.report, scores=known(self.report.scores), further=further)


def _known_further(record: Dict[str, Any]) -> Dict[str, Any]:
    """Return the entry of further outputs with the comparison that needs no runtime, if there are any."""
    rows = [dict(row, outputs={_KNOWN: row["outputs"][_KNOWN]}) for row in record.get("further", ())]
    for row in rows:
        row[row["metric"]] = {name: value for name, value in row[row["metric"]].items() if name != "file"}
    return {"further": rows} if rows else {}


def no_runtime(codes: np.ndarray) -> Dict[str, np.ndarray]:
    """Raise an AssertionError: the runtime of a file that can't be run, which nothing calls."""
    raise AssertionError("there is no runtime for the file")


def prove_unrun(
    model: IntegerModel,
    exported: Exported,
    reason: str,
    advice: str,
    graph: EvaluationGraph,
    images: np.ndarray,
    labels: np.ndarray,
    whole: Optional[WholePart] = None,
    further: Sequence[np.ndarray] = (),
    metrics: Sequence[Metric] = (),
    progress: Progress = Progress(),
) -> UnrunReport:
    """Prove as :func:`qatviz.export.proof.report.prove` does, for a file that can't be run."""

    def run(codes: np.ndarray) -> Dict[str, np.ndarray]:
        return run_codes(model, codes, [op.output for op in model.ops])

    simulated = exported._replace(runtime="nothing", run=run, run_layers=run)
    proved = prove(model, simulated, graph, images, labels, whole, further, metrics, progress)
    return UnrunReport(proved, reason, advice)
