"""Form of a snapshot between a server and a viewer: smaller than in a record, and read back bit for bit.

Most of a snapshot are the histograms of its tensors. The edges of their bins are evenly spaced: the two outer ones
determine all. Counts are stored in the narrowest type that holds them, which compresses better and faster.
"""

from typing import Any, Dict, List, Sequence

import numpy as np

from qatviz.protocol import values
from qatviz.protocol.snapshots import Snapshot, evenly_spaced_edges, read_only
from qatviz.protocol.wire import snapshot_of_parts, snapshot_parts

_EDGES, _BINS = "edges", "float_counts"
#: Arrays of a histogram that are int64.
_COUNTS = (_BINS, "quantized_counts", "code_counts", "frozen_counts", "frozen_bins")
_NARROW = (np.int8, np.int16, np.int32)


def encode_snapshot(snapshot: Snapshot, arrays: List[np.ndarray]) -> Dict[str, Any]:
    """Return the JSON-able form of a snapshot, and append its arrays to ``arrays``."""
    header, named = snapshot_parts(snapshot)
    indices = {}
    for name, array in named.items():
        field = name.partition(".")[2]
        if field == _EDGES:
            array = _outer_edges(array)
        elif field in _COUNTS:
            array = _narrowed(array)
        indices[name] = len(arrays)
        arrays.append(array)
    return {"header": header, "arrays": indices, "branch": snapshot.branch}


def decode_snapshot(form: Any, arrays: Sequence[np.ndarray]) -> Snapshot:
    """Return the snapshot of which :func:`encode_snapshot` returned the form.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the form or an array is invalid.
    """
    named: Dict[str, np.ndarray] = {}
    for name, index in values.mapping(form["arrays"], "arrays of a snapshot").items():
        array = arrays[values.whole(index, "index of an array", 0, len(arrays) - 1)]
        if name.partition(".")[2] in _COUNTS and array.dtype.kind == "i":
            array = read_only(array.astype(np.int64))
        named[name] = array
    for name, array in named.items():
        owner, _, field = name.partition(".")
        bins = named.get(f"{owner}.{_BINS}")
        if field == _EDGES and array.shape == (2,) and array.dtype.kind == "f" and bins is not None:
            named[name] = read_only(evenly_spaced_edges(array, bins.size))
    found = snapshot_of_parts(values.mapping(form["header"], "header of a snapshot"), named)
    object.__setattr__(found, "branch", values.whole(form["branch"], "branch", -1))
    return found


def _outer_edges(edges: np.ndarray) -> np.ndarray:
    """Return the first and the last edge, or all if these do not determine the others."""
    outer = edges[[0, -1]]
    return outer if evenly_spaced_edges(outer, len(edges) - 1).tobytes() == edges.tobytes() else edges


def _narrowed(counts: np.ndarray) -> np.ndarray:
    """Return counts in the narrowest type that holds them."""
    largest = int(counts.max()) if counts.size else 0
    for kind in _NARROW:
        if largest <= np.iinfo(kind).max:
            return counts.astype(kind)
    return counts
