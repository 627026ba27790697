"""Policy for updating held ranges of weights, and ranges found in histograms of activations: pure functions."""

from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.histogram_ranges import range_in
from qatviz.quant.live_state import HISTOGRAMS, RANGES, Layout, histogram_at, learns, uses_histogram
from qatviz.quant.ranges import find_range, min_max_range, starts_anew
from qatviz.quant.weight_maps import mapped
from qatviz.settings import FROZEN, LEARNED_METHODS, MIN_MAX, MSE, PERCENTILE

#: Training steps between two searches for ranges (percentile, MSE, KL).
SEARCH_INTERVAL = 20
#: Actions on the held range of a weight tensor: leave it, capture minimum and maximum, search for a new one.
KEEP, CAPTURE, SEARCH = range(3)
#: Range methods of weights that search.
_SEARCHED = (PERCENTILE, MSE)


def actions_on_change(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> List[int]:
    """Return the action for each weight tensor when ``new`` takes effect (``old`` None: at the start of a run).

    A range method that searches does so with the new settings, unless ranges are frozen (at the start there is none to
    keep); a range that has followed the tensor and is held from now on is captured. A learned range that does not start
    anew (:func:`.ranges.starts_anew`) continues from the range in use.
    """
    actions = []
    for group in layout.weights:
        method = new.quantizers[group].range_method
        held_from_now_on = new.run.freeze_ranges or method in (FROZEN, *LEARNED_METHODS)
        followed_so_far = old is None or (old.quantizers[group].range_method == MIN_MAX and not old.run.freeze_ranges)
        searches = method in _SEARCHED or starts_anew(old.quantizers[group] if old else None, new.quantizers[group])
        if searches and (old is None or not new.run.freeze_ranges):
            actions.append(SEARCH)
        else:
            actions.append(CAPTURE if held_from_now_on and followed_so_far else KEEP)
    return actions


def actions_at_step(layout: Layout, book: SettingsBook, step: int) -> List[int]:
    """Return the action for each weight tensor before step ``step``: a search every SEARCH_INTERVAL steps."""
    if step % SEARCH_INTERVAL or book.run.freeze_ranges:
        return [KEEP] * len(layout.weights)
    return [SEARCH if book.quantizers[group].range_method in _SEARCHED else KEEP for group in layout.weights]


def held_anew(layout: Layout, book: SettingsBook) -> List[Tuple[int, int]]:
    """Return each weight group with its action if its range is found anew, although it may be frozen."""
    actions = []
    for group in layout.weights:
        method = book.quantizers[group].range_method
        is_held = book.run.freeze_ranges or method == FROZEN
        searches = method in (*_SEARCHED, *LEARNED_METHODS)
        actions.append((group, SEARCH if searches else CAPTURE if is_held else KEEP))
    return actions


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
        The float weights of each weight tensor, batch norm folded in, before their map.
    held : dict of str to np.ndarray
        The current arrays.
    """
    new = {name: array.copy() for name, array in held.items()}
    for index, (group, action, weight) in enumerate(zip(layout.weights, actions, weights)):
        if action == KEEP:
            continue
        settings, channels = book.quantizers[group], layout.channels[index]
        weight = mapped(weight, settings, channels.stop - channels.start)
        find: Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]] = min_max_range
        if action == SEARCH:
            find = partial(find_range, settings=settings)
        # Both kinds of range, so that per_channel can be switched while the range is frozen.
        whole = find(weight.reshape(-1, 1))
        new["held_min"][index], new["held_max"][index] = whole[0][0], whole[1][0]
        rows = weight.reshape(-1, channels.stop - channels.start)
        new["held_channel_min"][channels], new["held_channel_max"][channels] = find(rows)
    return new


def learned_anew(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> np.ndarray:
    """Return the groups whose learned range starts from least squared error when ``new`` takes effect, bool ``[G]``."""
    if old is not None and new.run.freeze_ranges:
        return np.zeros(len(new.quantizers), bool)
    before = [None] * len(new.quantizers) if old is None else old.quantizers
    return learns(layout, new.quantizers) & np.array(list(map(starts_anew, before, new.quantizers)), bool)


def learned_from_now_on(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> np.ndarray:
    """Return the groups that begin to learn a range when ``new`` takes effect, or begin anew, bool ``[G]``."""
    if old is None:
        return learns(layout, new.quantizers)
    is_other = [a.range_method != b.range_method for a, b in zip(old.quantizers, new.quantizers)]
    return (learns(layout, new.quantizers) & np.array(is_other, bool)) | learned_anew(layout, old, new)


def learned_from_step(layout: Layout, book: SettingsBook, step: int) -> np.ndarray:
    """Return the groups that begin to learn a range at training step ``step``, when their delay ends, bool ``[G]``."""
    begins = [s.is_active(step) and s.quant_delay == step > 0 for s in book.quantizers]
    return learns(layout, book.quantizers) & np.array(begins, bool) & (not book.run.freeze_ranges)


def affects_histograms(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> bool:
    """Return whether running histograms, or ranges found in them, may change when ``new`` takes effect.

    If not, the histograms need not be read, which takes time.
    """
    if not any(uses_histogram(layout, book.quantizers).any() for book in (old, new) if book is not None):
        return False
    if old is None or old.run.freeze_ranges != new.run.freeze_ranges:
        return True
    return any(old.quantizers[group] != new.quantizers[group] for group in layout.activations)


def histograms_on_change(
    layout: Layout, old: Optional[SettingsBook], new: SettingsBook, arrays: Dict[str, np.ndarray]
) -> Tuple[Dict[str, np.ndarray], np.ndarray]:
    """Return the running histograms when ``new`` takes effect, and which need values (bool ``[A]``).

    A histogram is emptied while the range method does not use it. An empty one that is used needs values, unless ranges
    are frozen. ``arrays`` are those of :data:`qatviz.quant.live_state.HISTOGRAMS`, of which copies are returned.
    """
    kept = uses_histogram(layout, new.quantizers)
    if old is not None:
        kept &= uses_histogram(layout, old.quantizers)
    arrays = {name: arrays[name].copy() for name in HISTOGRAMS}
    for array in arrays.values():
        array[~kept] = 0
    is_empty = (arrays["histogram_bound"] == 0) & (arrays["histogram_zeros"] == 0)
    return arrays, uses_histogram(layout, new.quantizers) & is_empty & (not new.run.freeze_ranges)


def searched_on_change(layout: Layout, old: Optional[SettingsBook], new: SettingsBook) -> np.ndarray:
    """Return the activation groups whose range is searched in the histogram when ``new`` takes effect, bool ``[A]``."""
    searched = uses_histogram(layout, new.quantizers) & (not new.run.freeze_ranges)
    if old is not None and old.run.freeze_ranges == new.run.freeze_ranges:
        searched &= np.array([old.quantizers[group] != new.quantizers[group] for group in layout.activations], bool)
    return searched


def searched_at_step(layout: Layout, book: SettingsBook, step: int) -> np.ndarray:
    """Return the activation groups whose range is searched before step ``step``: every SEARCH_INTERVAL steps."""
    if step % SEARCH_INTERVAL:
        return np.zeros(len(layout.activations), bool)
    return searched_on_change(layout, None, book)


def ranges_found(
    layout: Layout, book: SettingsBook, searched: np.ndarray, arrays: Dict[str, np.ndarray]
) -> Dict[str, np.ndarray]:
    """Return the new ``range_min`` and ``range_max``; they stay where a histogram is empty.

    Parameters
    ----------
    searched : np.ndarray
        Groups of activations whose range is searched, bool ``[A]``.
    arrays : dict of str to np.ndarray
        The current ranges and running histograms.
    """
    low, high = [arrays[name].copy() for name in RANGES]
    for rank in np.flatnonzero(searched):
        histogram = histogram_at(layout, arrays, rank)
        if not histogram.is_empty:
            low[rank], high[rank] = range_in(histogram, book.quantizers[layout.activations[rank]])
    return dict(zip(RANGES, (low, high)))
