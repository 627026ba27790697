"""Two moments of a run: roles of their colours, settings that differ, measures of a tensor."""

from typing import List, NamedTuple, Tuple

from qatviz.measures import MEASURES
from qatviz.presentation.comparison import FIRST, SECOND
from qatviz.protocol.events import Change
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.settings import value_text

#: Roles of the colours of the shown moment, and of the one that it is compared with.
SHOWN_ROLE, OTHER_ROLE = FIRST, SECOND
#: Measures of a tensor that are compared.
_MEASURES = ("sqnr_db", "rmse_over_scale", "clipped", "flushed", "effective_bits", "used_codes", "scale")
#: Largest number of changes in a text.
_MOST_CHANGES = 12


class MomentRow(NamedTuple):
    """Measure of a tensor at two moments."""

    title: str
    shown: str
    other: str


def moment_rows(shown: Snapshot, other: Snapshot, index: int) -> List[MomentRow]:
    """Return the measures of the tensor with this index in the plan at two moments."""
    rows = []
    for key in _MEASURES:
        texts = [
            MEASURES[key].text(float(at.values[SNAPSHOT_MEASURES.index(key), index]), at.enabled[index])
            for at in (shown, other)
        ]
        rows.append(MomentRow(MEASURES[key].label, texts[0], texts[1]))
    return rows


def change_texts(changes: Tuple[Change, ...], steps: Tuple[int, int]) -> List[str]:
    """Return the settings that differ between two moments at ``steps``, with their values at both.

    ``changes`` lead from the first moment to the second.
    """
    texts = []
    for change in changes[:_MOST_CHANGES]:
        values = [value_text(change.setting, value) for value in (change.old, change.new)]
        texts.append(f"{change.setting}: {values[0]} at step {steps[0]:,}, {values[1]} at step {steps[1]:,}")
    more = len(changes) - _MOST_CHANGES
    return texts + ([f"and {more:,} more"] if more > 0 else [])
