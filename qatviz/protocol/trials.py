"""Evaluations beside those that a run records itself, for the present readers of a run."""

from typing import NamedTuple, Optional

from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class SettingsEvaluated(NamedTuple):
    """Evaluation of a state under settings ``book`` that are not in effect.

    It is not recorded. ``result`` is None if it was dropped with its state.
    """

    book: SettingsBook
    result: Optional[Evaluated]


class ForkEvaluation(NamedTuple):
    """Evaluation of a recorded fork of the run, under its settings ``book`` at that step; ``name`` is the fork's."""

    directory: str
    name: str
    book: SettingsBook
    result: Evaluated
