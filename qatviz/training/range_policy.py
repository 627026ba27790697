"""When the held ranges of weights are found anew, and how: pure functions of settings and step."""

from typing import List, Optional

from qatviz.quant.live_state import Layout
from qatviz.quant.range_search import BY_MSE, BY_PERCENTILE, CAPTURE, KEEP, REFRESH_INTERVAL
from qatviz.settings import MIN_MAX, MSE, PERCENTILE
from qatviz.training.settings_book import SettingsBook

_SEARCHES = {PERCENTILE: BY_PERCENTILE, MSE: BY_MSE}


def actions_on_change(place: Layout, old: Optional[SettingsBook], new: SettingsBook) -> List[int]:
    """What to do with the held range of each weight tensor when ``new`` takes effect (``old`` None: at the start).

    Searched ranges are searched with the new settings; a range that is held from now on is captured as it is.
    """
    actions = []
    for group in place.weights:
        method = new.quantizers[group].range_method
        was_followed = old is None or (old.quantizers[group].range_method == MIN_MAX and not old.run.freeze_ranges)
        if method in _SEARCHES and (old is None or not new.run.freeze_ranges):
            actions.append(_SEARCHES[method])
        elif was_followed and (new.run.freeze_ranges or method != MIN_MAX):
            actions.append(CAPTURE)
        else:
            actions.append(KEEP)
    return actions


def actions_at_step(place: Layout, book: SettingsBook, step: int) -> List[int]:
    """What to do before the step numbered ``step``: every REFRESH_INTERVAL steps, search anew."""
    if step % REFRESH_INTERVAL or book.run.freeze_ranges:
        return [KEEP] * len(place.weights)
    return [_SEARCHES.get(book.quantizers[group].range_method, KEEP) for group in place.weights]
