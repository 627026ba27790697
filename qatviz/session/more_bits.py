"""Effect of more bits on the metric, tried on one state of a run: in each tensor alone, and in those that help most."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.export.progress import Progress
from qatviz.metric import METRICS, Metric
from qatviz.number_format import finite
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook

#: Number of bits that is tried.
MORE_BITS = 16
#: Tensors are combined until at most this fraction of the cost of quantization is left.
_LEFT = 0.1


class MoreBits(NamedTuple):
    """Metric, quantized, with :data:`MORE_BITS` bits in a tensor, or in several that share a grid.

    Attributes
    ----------
    tensors : tuple of str
    alone : float
        With more bits in these tensors only.
    together : float or None
        With more bits also in those of all better results; None where less was enough.
    """

    tensors: Tuple[str, ...]
    alone: float
    together: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        return {"tensors": list(self.tensors), "alone": finite(self.alone), "together": finite(self.together)}


def try_more_bits(
    evaluate: Callable[[SettingsBook, Progress], Evaluated], book: SettingsBook, now: Evaluated, progress: Progress
) -> Tuple[MoreBits, ...]:
    """Return the metric with more bits in each quantized tensor, the best first.

    Parameters
    ----------
    evaluate : callable
        Evaluates settings on the state of ``now``.
    book : SettingsBook
    now : Evaluated
        The metric under ``book``.

    Raises
    ------
    Cancelled
    """
    groups = [
        tuple(book.plan.tensors[index].name for index in members)
        for members, settings in zip(book.plan.groups, book.quantizers)
        if settings.is_active(now.step) and settings.num_bits < MORE_BITS
    ]
    tried: List[float] = []

    def quantized(names: Sequence[str]) -> float:
        wanted, _ = book.change([(f"{name}.num_bits", MORE_BITS) for name in names])
        part = progress.part(len(tried) / (2 * len(groups)), (len(tried) + 1) / (2 * len(groups)))
        tried.append(evaluate(wanted, part).scores["quantized"])
        return tried[-1]

    def cost(score: float) -> float:
        return now.scores["float"] - score if METRICS[now.metric].higher_is_better else score - now.scores["float"]

    alone = {names: quantized(names[:1]) for names in groups}
    ordered = sorted(groups, key=lambda names: cost(alone[names]))
    before = left = cost(now.scores["quantized"])
    together: Dict[Tuple[str, ...], float] = {}
    for index, names in enumerate(ordered):
        if not left > _LEFT * before:
            break
        # Also those that bring nothing alone: the values of a layer may be on the grid of another one.
        together[names] = quantized([chosen[0] for chosen in ordered[: index + 1]]) if index else alone[names]
        left = cost(together[names])
    return tuple(MoreBits(names, alone[names], together.get(names)) for names in ordered)


def most_useful(rows: Sequence[MoreBits], metric: Metric, now: float) -> Tuple[MoreBits, ...]:
    """Return the first of the results of :func:`try_more_bits`: the fewest that together bring half of the best result.

    Empty if no result together is better than ``now``, the metric without more bits.
    """
    sign = 1 if metric.higher_is_better else -1
    gains = [sign * (row.together - now) for row in rows if row.together is not None]
    most = max(gains, default=0.0)
    if not most > 0:
        return ()
    return tuple(rows[: 1 + next(index for index, gain in enumerate(gains) if gain >= most / 2)])
