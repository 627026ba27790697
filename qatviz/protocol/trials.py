"""Result of an evaluation of settings that are not in effect, for the present readers of a run: it is not recorded."""

from typing import NamedTuple, Optional

from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook


class SettingsEvaluated(NamedTuple):
    """Evaluation of a state under settings ``book``; ``result`` is None if it was dropped with its state."""

    book: SettingsBook
    result: Optional[Evaluated]
