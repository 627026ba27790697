"""Remedies: changes of settings that improve the training of a tensor instead of its grid.

Advice on grids (:mod:`qatviz.analysis.advice`) is computed on a tensor's values. The benefit of a remedy shows only in
training; it is tried on held-out data before, and offered unless it makes the network noticeably worse.
"""

from typing import Any, List, Mapping, NamedTuple, Optional

from qatviz.analysis.verdict import GOOD, NO_LEVEL
from qatviz.metric import METRICS
from qatviz.network.plan import QuantizedTensor
from qatviz.settings import (
    LEARNED,
    MIN_MAX,
    QUANTIZER_SETTINGS,
    RUN_SETTINGS,
    WEIGHTS,
    QuantizerSettings,
    RunSettings,
)

#: Freezing threshold that is offered: twice the momentum, the least that the authors of the method recommend.
FREEZING_THRESHOLD = 0.02
#: Largest number of bits at which a learned range is offered.
FEW_BITS = 4
#: Largest loss of the metric at which a remedy is offered: a fraction of the examples, or of an error.
LARGEST_LOSS = 0.005


class Remedy(NamedTuple):
    """Change of one setting of a tensor."""

    setting: str
    value: Any

    @property
    def change(self) -> str:
        """The change as text, such as "Freezing threshold 0.02"."""
        return QUANTIZER_SETTINGS[self.setting].text_with_label(self.value)


class TriedRemedy(NamedTuple):
    """Remedy with the metric on held-out data, quantized, before it and right after it, without training."""

    setting: str
    value: Any
    metric: str
    before: float
    after: float

    @property
    def is_harmless(self) -> bool:
        """Whether the metric becomes worse by at most :data:`LARGEST_LOSS`."""
        return METRICS[self.metric].loss(self.before, self.after) <= LARGEST_LOSS

    @property
    def text(self) -> str:
        """The change and its effect: "Freezing threshold 0.02: 86.1 % → 86.4 %"."""
        metric = METRICS[self.metric]
        change = " → ".join(metric.text(score) for score in (self.before, self.after))
        return f"{QUANTIZER_SETTINGS[self.setting].text_with_label(self.value)}: {metric.lead}{change}"


class RunChange(NamedTuple):
    """Change of a setting of the run that measures more and leaves training as it is: there is nothing to try."""

    setting: str
    value: Any

    @property
    def text(self) -> str:
        """The change as text, such as "Track oscillation on"."""
        return RUN_SETTINGS[self.setting].text_with_label(self.value)


def tracking(level: Mapping[str, int], run: RunSettings) -> Optional[RunChange]:
    """Return the change that shows whether weights oscillate, if that is not known and many flips are the problem."""
    is_unknown = level["oscillating"] == NO_LEVEL and not run.track_oscillation
    is_problem = level["flip_rate"] > GOOD >= level["sqnr_db"]
    return RunChange("track_oscillation", True) if is_unknown and is_problem else None


def remedies(
    tensor: QuantizedTensor, settings: QuantizerSettings, level: Mapping[str, int], held: bool = False
) -> List[Remedy]:
    """Return the remedies for a tensor, the most specific first.

    Parameters
    ----------
    settings : QuantizerSettings
        Settings in effect.
    level : mapping
        Levels of its measures, see :func:`qatviz.analysis.verdict.levels`.
    held : bool
        True if all ranges of the run are frozen: then no other range is offered.
    """
    found = []
    if level["oscillating"] > GOOD and not settings.freeze_threshold and not settings.dampening:
        found.append(Remedy("freeze_threshold", FREEZING_THRESHOLD))
    has_few_bits = settings.num_bits <= FEW_BITS and settings.range_method == MIN_MAX and level["sqnr_db"] > GOOD
    if tensor.kind == WEIGHTS and has_few_bits and not held:
        found.append(Remedy("range_method", LEARNED))
    return found
