"""Grids and maps of each tensor of a run with other numbers of bits, by the rules by which the run adopts them."""

from dataclasses import replace
from typing import List, Mapping, Optional, Sequence

import numpy as np

from qatviz.analysis.pending import pending_grid
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid
from qatviz.quant.histogram_ranges import range_in
from qatviz.quant.live_state import HELD, HISTOGRAMS, RANGES, Layout, histogram_at
from qatviz.quant.ranges import Range, as_applied
from qatviz.quant.weight_maps import MapValues, map_values
from qatviz.settings import HISTOGRAM_METHODS, WEIGHTS, QuantizerSettings


def grids_by_width(
    tensor: QuantizedTensor,
    book: SettingsBook,
    widths: Sequence[int],
    positions: Layout,
    arrays: Mapping[str, np.ndarray],
    weights: Optional[np.ndarray] = None,
) -> List[AffineGrid]:
    """Return the grid of a tensor for each number of bits, then that under its present settings.

    Parameters
    ----------
    positions : Layout
        Positions in ``arrays``, see :func:`qatviz.quant.live_state.layout`.
    arrays : mapping of str to np.ndarray
        Ranges and running histograms of the state, as in a checkpoint.
    weights : np.ndarray, optional
        float32, shape of the tensor: values of weights, batch norm folded in.
    """
    settings, held = book.of(tensor.name), book.run.freeze_ranges
    now = _present_range(tensor, book, positions, arrays)
    *chosen, _ = _settings_by_width(tensor, book, widths)
    values = None if weights is None else weights.reshape(-1, tensor.num_channels)
    if tensor.kind == WEIGHTS or held or settings.range_method not in HISTOGRAM_METHODS:
        return [pending_grid(tensor, as_applied(settings, each), now, values, held) for each in (*chosen, settings)]
    ranges = [now] * len(chosen)
    if HISTOGRAMS[0] in arrays:
        histogram = histogram_at(positions, arrays, positions.activations.index(_group(tensor, book)))
        ranges = ranges if histogram.is_empty else [range_in(histogram, each) for each in chosen]
    return [pending_grid(tensor, each, own) for each, own in zip((*chosen, settings), (*ranges, now))]


def maps_by_width(
    tensor: QuantizedTensor, book: SettingsBook, widths: Sequence[int], weights: np.ndarray
) -> List[MapValues]:
    """Return the map of weights for each number of bits, then that under their present settings.

    ``weights`` are float32 in the shape of the tensor, batch norm folded in.
    """
    return [map_values(weights, each, tensor.num_channels) for each in _settings_by_width(tensor, book, widths)]


def _settings_by_width(tensor: QuantizedTensor, book: SettingsBook, widths: Sequence[int]) -> List[QuantizerSettings]:
    settings = book.of(tensor.name)
    return [*(replace(settings, num_bits=width) for width in widths), settings]


def _present_range(
    tensor: QuantizedTensor, book: SettingsBook, positions: Layout, arrays: Mapping[str, np.ndarray]
) -> Range:
    """Return the held range of weights (of each channel if quantized per channel), or the range of activations."""
    group = _group(tensor, book)
    if tensor.kind != WEIGHTS:
        low, high = (arrays[name][positions.activations.index(group)] for name in RANGES)
        return low, high
    rank = positions.weights.index(group)
    by_channel = book.of(tensor.name).per_channel
    place = positions.channels[rank] if by_channel else slice(rank, rank + 1)
    low, high = (arrays[name][place] for name in (HELD[2:] if by_channel else HELD[:2]))
    return low, high


def _group(tensor: QuantizedTensor, book: SettingsBook) -> int:
    return next(
        group for group, members in enumerate(book.plan.groups) if book.plan.tensors[members[0]].name == tensor.group
    )
