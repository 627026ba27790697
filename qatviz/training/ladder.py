"""Bit ladder: lowers the bits of a run rung by rung, the next one once the metric has recovered.

With the reference ``r``, the best quantized result while the ladder is on, and a tolerance of ``t`` percent, an
evaluation with result ``s`` has recovered if ``s >= r * (1 - t / 100)``; of an error, if ``s <= r * (1 + t / 100)``.
The next rung is also taken after a number of steps. A rung is a change of settings like those of the user, with an
id: it can be undone, is recorded, and is repeated at its step when a recorded run is resumed.

Source: the training of Li, Dong and Wang 2020, "APoT" (arXiv:1909.13144), which initializes each network of fewer bits
with the trained one of more bits.
"""

from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from qatviz.low_bit_settings import BOTH, LADDER_BITS
from qatviz.metric import Metric
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.commands import ChangeSettings, new_id
from qatviz.protocol.events import Evaluated
from qatviz.protocol.run_state import LadderState, RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import KINDS, RUN, QuantizerSettings
from qatviz.training.inbox import Sent

if TYPE_CHECKING:  # it imports TensorFlow
    from qatviz.training.live_run import LiveRun


class BitLadder:
    """Controller of the ladder of a run, which the setting ``ladder`` switches on and off.

    Parameters
    ----------
    live : LiveRun
        Its ``ladder`` is updated; it is a part of the run's state, so that undo and resume restore it.
    metric : Metric
        Metric of the run, whose value in the mode "quantized" is compared.
    """

    def __init__(self, live: "LiveRun", metric: Metric):
        self._live, self._metric = live, metric
        #: Branch of the newest state that has recovered, and the settings of its quantizers.
        self._recovered: Optional[Tuple[int, Any]] = None

    def compare(self, result: Evaluated, book: SettingsBook, _: Optional[RunState]) -> None:
        """Update the reference by an evaluation, and note whether the evaluated state has recovered.

        ``book`` has the settings of that state. Nothing happens while the ladder is off.
        """
        live = self._live
        if live.ladder is None or not live.book.run.ladder:
            return
        score, reference, higher = result.scores["quantized"], live.ladder.reference, self._metric.higher_is_better
        if score != score:  # NaN, of a network that has diverged
            return
        if reference is None or (score > reference if higher else score < reference):
            reference = score
            live.ladder = live.ladder._replace(reference=reference)
        if has_recovered(score, reference, live.book.run.ladder_tolerance, higher):
            self._recovered = live.point.branch, book.quantizers

    def due(self) -> List[Sent]:
        """Return the command for the next rung if it is due before the next training step, otherwise nothing.

        The last rung switches the ladder off.
        """
        live, run = self._live, self._live.book.run
        if not run.ladder:
            live.ladder, self._recovered = None, None
            return []
        if live.ladder is None:
            live.ladder = LadderState(live.step, None)
        bits = next_bits(live.book)
        has_waited = live.step - live.ladder.since >= run.ladder_steps
        if bits is not None and not has_waited and self._recovered != (live.point.branch, live.book.quantizers):
            return []
        # Before the state is saved for undo: the run then waits again, instead of taking the rung at once.
        live.ladder, self._recovered = live.ladder._replace(since=live.step), None
        assignments = () if bits is None else rung(live.book, bits)
        if bits is None or next_bits(live.book.change(assignments)[0]) is None:
            assignments = (*assignments, (f"{RUN}.ladder", False))
        return [Sent(0, new_id(), ChangeSettings(assignments))]


def has_recovered(score: float, reference: float, tolerance: float, higher_is_better: bool) -> bool:
    """Return whether a result is within ``tolerance`` percent of the reference."""
    allowed = abs(reference) * tolerance / 100
    return score >= reference - allowed if higher_is_better else score <= reference + allowed


def next_bits(book: SettingsBook) -> Optional[int]:
    """Return the bits of the next rung, None after the last one."""
    present = [settings.code_bits for _, settings in _climbing(book)]
    lower = [bits for bits in LADDER_BITS if present and book.run.ladder_lowest <= bits < max(present)]
    return max(lower) if lower else None


def rung(book: SettingsBook, bits: int) -> Tuple[Tuple[str, Any], ...]:
    """Return the assignments that lower all tensors of the ladder with more bits to ``bits``."""
    lowered = [tensor for tensor, settings in _climbing(book) if settings.code_bits > bits]
    assignments: List[Tuple[str, Any]] = []
    for kind in KINDS:
        own = [tensor.name for tensor in lowered if tensor.kind == kind]
        is_all = len(own) == sum(tensor.kind == kind for tensor in book.plan.tensors)
        names = [f"*.{kind}"] if is_all else own
        assignments += [(f"{name}.num_bits", bits) for name in names]
    return tuple(assignments)


def _climbing(book: SettingsBook) -> List[Tuple[QuantizedTensor, QuantizerSettings]]:
    """Return the tensors whose bits the ladder lowers, with their settings: of its kinds, and quantized."""
    pairs = [(tensor, book.of(tensor.name)) for tensor in book.plan.tensors]
    return [
        (tensor, settings)
        for tensor, settings in pairs
        if settings.enabled and book.run.ladder_tensors in (tensor.kind, BOTH)
    ]
