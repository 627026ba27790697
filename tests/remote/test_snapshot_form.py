"""Snapshots are sent in a form smaller than that of a record, and read back bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staging import StagedRun
from telemetry_samples import assert_same_snapshot, snapshot

from qatviz.protocol.snapshots import Snapshot, evenly_spaced_edges, read_only
from qatviz.protocol.wire import snapshot_parts
from qatviz.remote import telemetry as t
from qatviz.remote.errors import FrameError
from qatviz.remote.forms import form_of, value_of
from qatviz.remote.frames import encode

ENDS = st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=2, max_size=2).map(sorted)


def with_histograms(wanted, **fields):
    histograms = {name: replace(known, **fields) for name, known in wanted.histograms.items()}
    return replace(wanted, histograms=histograms)


def received(wanted):
    """Return a snapshot after a conversion to its form and back, and the arrays of the form."""
    arrays = []
    form = form_of(wanted, arrays)
    return value_of(Snapshot, form, arrays), arrays


@settings(deadline=None)
@given(ENDS, st.integers(1, 300))
def test_edges_are_evenly_spaced(ends, bins):
    outer = np.array(ends, np.float32)
    edges = evenly_spaced_edges(outer, bins)
    assert edges.dtype == np.float32 and edges.tolist()[-1] == outer[1]
    np.testing.assert_array_equal(edges, np.linspace(*outer.astype(np.float64), bins + 1).astype(np.float32))


@pytest.mark.parametrize("bins", [1, 2, 8, 128])
@pytest.mark.parametrize("outer", [(-1.0, 1.0), (0.1, 0.3), (0.0, 0.0), (-0.0, 3e38)])
def test_even_edges_are_sent_as_the_outer_ones(outer, bins):
    edges = read_only(evenly_spaced_edges(np.array(outer, np.float32), bins))
    wanted = with_histograms(snapshot(3, bins), edges=edges)
    found, arrays = received(wanted)
    assert_same_snapshot(found, wanted)
    assert sum(array.size == 2 and array.dtype.kind == "f" for array in arrays) == len(wanted.histograms)
    for known in found.histograms.values():
        assert not known.edges.flags.writeable and not known.float_counts.flags.writeable


def test_other_edges_are_sent_as_they_are():
    edges = np.array([0.0, 0.1, 0.5, 0.6, 1.0], np.float32)
    wanted = with_histograms(snapshot(3, 4), edges=edges)
    found, arrays = received(wanted)
    assert_same_snapshot(found, wanted)
    assert any(array.size == 5 for array in arrays)


@pytest.mark.parametrize("largest", [0, 127, 128, 32767, 32768, 2**31 - 1, 2**31, 2**62])
def test_counts_are_sent_in_the_narrowest_type(largest):
    counts = np.array([0, largest, 1, 0], np.int64)
    wanted = with_histograms(snapshot(3, 4), float_counts=counts, code_counts=counts)
    found, arrays = received(wanted)
    assert_same_snapshot(found, wanted)
    bits = min(width for width in (8, 16, 32, 64) if largest < 2 ** (width - 1))
    same = [array for array in arrays if array.tolist() == counts.tolist()]
    assert len(same) == 2 * len(wanted.histograms) and {array.itemsize * 8 for array in same} == {bits}


def test_a_snapshot_is_smaller_than_in_its_record():
    wanted = StagedRun("lenet").take_snapshot()
    histograms = {
        name: replace(known, edges=evenly_spaced_edges(known.edges[[0, -1]], len(known.float_counts)))
        for name, known in wanted.histograms.items()
    }
    wanted = replace(wanted, histograms=histograms)
    whole = len(encode(*snapshot_parts(wanted)))
    assert len(encode(*t.snapshot_frame(wanted))) < 0.65 * whole
    found, _ = received(wanted)
    assert_same_snapshot(found, wanted)


@pytest.mark.parametrize("damage", ["text", "index", "edges", "counts", "missing", "kinds"])
def test_damaged_snapshots_are_refused(damage):
    arrays = []
    form = form_of(with_histograms(snapshot(3, 4), edges=np.linspace(-1, 1, 5, dtype=np.float32)), arrays)
    edges, counts = form["arrays"]["0.edges"], form["arrays"]["0.float_counts"]
    if damage == "text":
        form["arrays"]["0.edges"] = "0"
    elif damage == "index":
        form["arrays"]["0.edges"] = len(arrays)
    elif damage == "edges":
        arrays[edges] = np.array([1.0, np.nan], np.float32)
    elif damage == "counts":
        arrays[counts] = arrays[counts].reshape(2, 2)
    elif damage == "missing":
        del form["arrays"]["0.float_counts"]
    else:
        arrays[counts] = arrays[counts].astype(np.float32)
    with pytest.raises(FrameError):
        value_of(Snapshot, form, arrays)
