"""Policy for updating the held ranges of weights: pure functions of settings, step and weights."""

from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.live_state import Layout
from qatviz.quant.ranges import find_range, min_max_range
from qatviz.settings import FROZEN, MIN_MAX, MSE, PERCENTILE

#: Training steps between two searches for the ranges of weights (percentile, least squared error).
SEARCH_INTERVAL = 20
#: Actions on the held range of a tensor: leave it, capture the current minimum and maximum, search for a new one.
KEEP, CAPTURE, SEARCH = range(3)
_SEARCHED = (PERCENTILE, MSE)


def actions_on_change(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> List[int]:
    """Return the action for each weight tensor when ``new`` takes effect (``old`` None: at the start of a run).

    Range methods that search do so with the new settings; a range that is held from now on is captured.
    """
    actions = []
    for group in layout.weights:
        method = new.quantizers[group].range_method
        held_from_now_on = new.run.freeze_ranges or method == FROZEN
        followed_so_far = old is None or (old.quantizers[group].range_method == MIN_MAX and not old.run.freeze_ranges)
        if method in _SEARCHED and (old is None or not new.run.freeze_ranges):
            actions.append(SEARCH)
        else:
            actions.append(CAPTURE if held_from_now_on and followed_so_far else KEEP)
    return actions


def actions_at_step(layout: Layout, book: SettingsBook, step: int) -> List[int]:
    """Return the action for each weight tensor before step ``step``: a search every SEARCH_INTERVAL steps."""
    if step % SEARCH_INTERVAL or book.run.freeze_ranges:
        return [KEEP] * len(layout.weights)
    return [SEARCH if book.quantizers[group].range_method in _SEARCHED else KEEP for group in layout.weights]


def held_ranges(
    layout: Layout,
    book: SettingsBook,
    actions: Sequence[int],
    weights: Sequence[np.ndarray],
    held: Dict[str, np.ndarray],
) -> Dict[str, np.ndarray]:
    """Return the new ``held_*`` arrays of :mod:`qatviz.quant.live_state`.

    Parameters
    ----------
    actions : sequence of int
        Action for each weight tensor.
    weights : sequence of np.ndarray
        The float weights, batch norm folded in.
    held : dict of str to np.ndarray
        The current arrays.
    """
    new = {name: array.copy() for name, array in held.items()}
    for index, (group, action, weight) in enumerate(zip(layout.weights, actions, weights)):
        if action == KEEP:
            continue
        settings, channels = book.quantizers[group], layout.channels[index]

        find: Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]] = min_max_range
        if action == SEARCH:
            find = partial(find_range, settings=settings)
        # Both kinds of range, so that per_channel can be switched while the range is frozen.
        whole = find(weight.reshape(-1, 1))
        new["held_min"][index], new["held_max"][index] = whole[0][0], whole[1][0]
        rows = weight.reshape(-1, channels.stop - channels.start)
        new["held_channel_min"][channels], new["held_channel_max"][channels] = find(rows)
    return new
