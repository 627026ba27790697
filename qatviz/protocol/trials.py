"""Evaluations that are not part of a run's record, for the present readers of the run."""

from typing import NamedTuple, Optional

from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class SettingsEvaluated(NamedTuple):
    """Evaluation of a state under settings ``book`` that are not in effect.

    It is not recorded. ``result`` is None if it was dropped with its state. ``command_id`` is the id of the command
    that requested it; empty if none did.
    """

    book: SettingsBook
    result: Optional[Evaluated]
    command_id: str = ""


class ForkEvaluation(NamedTuple):
    """Evaluation of a recorded fork of the run.

    ``directory`` and ``name`` are those of the fork, ``book`` its settings at the evaluation.
    """

    directory: str
    name: str
    book: SettingsBook
    result: Evaluated
