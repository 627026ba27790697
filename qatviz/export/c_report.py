"""What is known of a C model that was written where no compiler is: that its integers are right, not that it runs."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List

import numpy as np

from qatviz.export.parity_report import ParityReport

#: What reports call the comparison that needs no compiler.
_KNOWN = "simulator to evaluation graph"


@dataclass(frozen=True)
class UnrunReport:
    """A proof that lacks what only running tells.

    Attributes
    ----------
    report : ParityReport
        With the simulator in the place of the file.
    reason : str
        Why it was not run.
    """

    report: ParityReport
    reason: str

    @property
    def golden(self) -> Dict[str, np.ndarray]:
        """Vectors for the runtime that it will be compiled into; there is no "file_output"."""
        return {name: values for name, values in self.report.golden.items() if name != "file_output"}

    @property
    def faults(self) -> List[str]:
        """None are known."""
        return []

    @property
    def as_expected(self) -> bool:
        """Whether the integers are as close to the evaluation graph as they should be."""
        return self.report.outputs[_KNOWN].reaches(self.report.reached)

    def to_record(self) -> Dict[str, Any]:
        """JSON-able: as that of a proof, without what is not known, and with "not_run"."""
        record = self._known.to_record()
        record.update(outputs={_KNOWN: record["outputs"][_KNOWN]}, layers=[], layer_examples=0, faults=[],
                      as_expected=self.as_expected, not_run=self.reason)
        return record

    def to_text(self) -> str:
        """For a terminal."""
        found = self.report.outputs[_KNOWN]
        lines = [
            "{format} of {network}, NOT RUN: {reason}".format(reason=self.reason, **self.report.about), "",
            "It was written from integers that agree with the evaluation graph on {:,} held-out examples:".format(
                self.report.examples),
            "{} of the codes of its output.".format(found.in_words()),
            "Whether the C computes these integers has to be seen where it is compiled: by `make test` there, or by",
            "exporting again where there is a compiler (CC can name it).", "",
            self._known.scores_in_words(),
            "size: {:,} bytes; its parameters in float: {:,} bytes".format(*self.report.nbytes.values())]
        return "\n".join(lines + ["note: " + note for note in self.report.notes])

    @property
    def _known(self) -> ParityReport:
        """Without how good the file is."""
        scores = {name: value for name, value in self.report.scores.items() if name != "file"}
        return replace(self.report, scores=scores)
