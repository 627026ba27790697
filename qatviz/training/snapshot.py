"""Conversion of the fetched arrays of a snapshot into its record."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorHistogram, evenly_spaced_edges, read_only
from qatviz.quant.affine import AffineGrid
from qatviz.quant.live_state import layout
from qatviz.quant.measures import sqnr_db
from qatviz.quant.oscillation import is_tracked
from qatviz.settings import WEIGHTS, QuantizerSettings
from qatviz.training.oscillation import OscillationArrays
from qatviz.training.probes import HISTOGRAM_BINS, MAX_CODE_BITS, PROBED_MEASURES, SnapshotTensors


def make_snapshot(
    fetched: List[SnapshotTensors],
    book: SettingsBook,
    point: BranchPoint,
    seconds: float,
    oscillation: Optional[OscillationArrays] = None,
) -> Snapshot:
    """Return the snapshot of the state at ``point`` from the arrays that the graph has fetched.

    Parameters
    ----------
    fetched : list of SnapshotTensors
        NumPy arrays of each tensor of the plan, in order.
    book : SettingsBook
        Settings of the state.
    seconds : float
        Its training time.
    oscillation : OscillationArrays, optional
        Second result of :meth:`.TrainingGraph.snapshot_with_oscillation`.
    """
    tensors = book.plan.tensors
    settings = [book.of(tensor.name).on_grid() for tensor in tensors]
    enabled = tuple(s.is_active(point.step) for s in settings)
    columns = [_measures(f, s, on) for f, s, on in zip(fetched, settings, enabled)]
    frozen = _add_oscillation(columns, oscillation, book, point.step)
    values = np.array([[column[name] for column in columns] for name in SNAPSHOT_MEASURES], np.float32)
    histograms = {
        t.name: _histogram(f, s, on, frozen.get(t.name)) for t, f, s, on in zip(tensors, fetched, settings, enabled)
    }
    num_bits = tuple(s.num_bits for s in settings)
    branch, step, position = point
    return Snapshot(step, seconds, read_only(values), histograms, num_bits, enabled, branch, position)


def _add_oscillation(
    columns: List[Dict[str, Any]], oscillation: Optional[OscillationArrays], book: SettingsBook, step: int
) -> Dict[str, Tuple[np.ndarray, np.ndarray]]:
    """Add the measures of oscillation to those of each tensor; return the numbers of frozen weights by code and bin."""
    counts = {}
    positions, tensors = layout(book.plan), book.plan.tensors
    for index, tensor in enumerate(tensors):
        columns[index].update(oscillating=np.nan, frozen_weights=np.nan)
        settings, group = book.of(tensor.name), positions.group_of[index]
        if oscillation is None or tensor.kind != WEIGHTS or not is_tracked(settings, book.run, step):
            continue
        rank = positions.weights.index(group)
        columns[index]["oscillating"] = oscillation.oscillating[rank]
        if settings.freeze_threshold > 0:
            columns[index]["frozen_weights"] = oscillation.frozen[rank]
        if oscillation.frozen[rank] > 0:
            counts[tensor.name] = oscillation.frozen_counts[rank], oscillation.frozen_bins[rank]
    return counts


def _grid(fetched: SnapshotTensors, settings: QuantizerSettings) -> AffineGrid:
    return AffineGrid(fetched.scale, fetched.zero_point, settings.num_bits, settings.narrow_range)


def _measures(fetched: SnapshotTensors, settings: QuantizerSettings, enabled: bool) -> Dict[str, Any]:
    probed = dict(zip(PROBED_MEASURES, fetched.measures.astype(np.float64)))
    grid = _grid(fetched, settings)
    coarsest = int(np.argmax(fetched.scale))
    row = dict(
        probed,
        flip_rate=fetched.flip_rate,
        scale=fetched.scale[coarsest],
        zero_point=fetched.zero_point[coarsest],
        range_min=grid.minimum.min(),
        range_max=grid.maximum.max(),
        sqnr_db=sqnr_db(probed["signal"], probed["mse"]),
    )
    if not enabled:
        # Values that are not quantized have no codes.
        row.update(rmse_over_scale=0.0, used_codes=np.nan, effective_bits=np.nan, flip_rate=np.nan)
    return row


def _histogram(
    fetched: SnapshotTensors,
    settings: QuantizerSettings,
    enabled: bool,
    frozen: Optional[Tuple[np.ndarray, np.ndarray]],
) -> TensorHistogram:
    scale, zero_point = fetched.scale, fetched.zero_point
    if not settings.per_channel:
        scale, zero_point = scale[:1], zero_point[:1]
    code_counts = None
    if enabled and settings.num_bits <= MAX_CODE_BITS:
        code_counts = read_only(fetched.code_counts[: 2**settings.num_bits].astype(np.int64))
    frozen_counts = frozen_bins = None
    if frozen is not None and enabled:
        # A value next to the edge of a bin may be sorted into either.
        frozen_bins = read_only(np.minimum(frozen[1], fetched.quantized_counts).astype(np.int64))
        if code_counts is not None:
            frozen_counts = read_only(np.minimum(frozen[0][: 2**settings.num_bits], code_counts).astype(np.int64))
    return TensorHistogram(
        edges=read_only(evenly_spaced_edges(fetched.edges, HISTOGRAM_BINS)),
        float_counts=read_only(fetched.float_counts.astype(np.int64)),
        quantized_counts=read_only(fetched.quantized_counts.astype(np.int64)),
        code_min=-(2 ** (settings.num_bits - 1)),
        code_counts=code_counts,
        channel_min=read_only(fetched.channel_min.copy()),
        channel_max=read_only(fetched.channel_max.copy()),
        scale=read_only(scale.copy()),
        zero_point=read_only(zero_point.copy()),
        size=int(fetched.size),
        zeros=int(fetched.value_counts[0]),
        distinct=int(fetched.value_counts[1]) if fetched.value_counts[1] >= 0 else None,
        frozen_counts=frozen_counts,
        frozen_bins=frozen_bins,
    )
