"""Large results, such as all values of a tensor: newer reports do not wait for them."""

import io
from collections import Counter

import numpy as np
import pytest
from remote_stage import SaturatedViewer
from staging import StagedRun
from waiting import wait_until

from qatviz.protocol import commands as c
from qatviz.protocol.snapshots import Snapshot, TensorValues, read_only
from qatviz.remote import telemetry as t
from qatviz.remote.errors import FrameError
from qatviz.remote.frames import FROM_SERVER, read_frame
from qatviz.remote.pieces import PIECE_BYTES, LargeResults, ResultAssembly

TENSOR = "dense1.weights"


def values(step, size=500_000, name=TENSOR):
    return TensorValues(step, name, read_only(np.random.RandomState(step).randn(size, 1).astype(np.float32)))


@pytest.fixture
def run():
    return StagedRun("mlp")


@pytest.fixture
def viewer(run, stage):
    hosted = stage.server.run(stage.host(run, run.network, run.book).run.hosted_id)
    viewer = SaturatedViewer(hosted)
    viewer.receive()

    def put(*items):
        """Let the run report items, and wait until they wait for the viewer."""
        run.put(*items)
        wait_until(lambda: not run._news and hosted._lock.acquire(timeout=0.01))
        hosted._lock.release()

    viewer.put = put
    return viewer


def next_kind(viewer):
    """Receive frames until one is not the state of the run, which changes at any time; return its kind and size."""
    while True:
        frame = viewer._subscription.next_frame()
        (header, arrays), _ = read_frame(io.BytesIO(frame).read, FROM_SERVER)
        viewer.run.process(header, arrays)
        if header["t"] != t.STATUS:
            return header["t"], len(frame)


def test_a_snapshot_is_sent_between_the_pieces_of_a_large_result(run, viewer):
    wanted = values(1)
    viewer.put(wanted)
    sizes = [next_kind(viewer) for _ in range(5)]
    assert {kind for kind, _ in sizes} == {t.PIECE} and max(size for _, size in sizes) < 1.1 * PIECE_BYTES
    run.advance(1)
    wait_until(lambda: not run._news)
    kinds = [next_kind(viewer)[0] for _ in range(6)]
    assert kinds.index(t.SNAPSHOT) < 4 and kinds.count(t.PIECE) >= 2, "a snapshot does not wait, nor do the values"
    viewer.receive()
    (found,) = [item for item in viewer.run.drain() if isinstance(item, TensorValues)]
    assert (found.step, found.name) == (1, TENSOR) and not found.values.flags.writeable
    np.testing.assert_array_equal(found.values, wanted.values)


def test_large_results_arrive_although_reports_never_cease(run, viewer):
    viewer.put(values(1))
    kinds = Counter()
    while not any(isinstance(item, TensorValues) for item in viewer.run.drain()):
        run.advance(1, snapshot=False)
        wait_until(lambda: not run._news)
        kinds.update([next_kind(viewer)[0]])
        assert kinds[t.STEPS] < 200
    assert kinds[t.PIECE] > 50


def test_newer_values_replace_those_that_wait(viewer):
    viewer.put(values(1))
    next_kind(viewer)
    dropped = viewer.run.dropped
    for step in (2, 3):
        viewer.put(values(step))
        while next_kind(viewer)[0] != t.PIECE:
            pass
    viewer.put(values(4, 100_000, "logits.weights"))
    viewer.receive()
    found = [item for item in viewer.run.drain() if isinstance(item, TensorValues)]
    assert [(item.step, item.name) for item in found] == [(1, TENSOR), (3, TENSOR), (4, "logits.weights")]
    assert viewer.run.dropped == dropped + 1
    for step in range(5, 15):
        viewer.put(values(step, 20_000, f"t{step}"))
        viewer._subscription._next_report()
    viewer.receive()
    assert [item.step for item in viewer.run.drain() if isinstance(item, TensorValues)] == [11, 12, 13, 14]


def test_small_results_are_sent_at_once(run, viewer):
    viewer.put(values(1))
    next_kind(viewer)
    viewer.put(values(2, 100, "logits.weights"))
    kinds = [next_kind(viewer)[0] for _ in range(3)]
    assert t.RESULT in kinds


def test_an_inspected_tensor_arrives_as_on_this_machine(run, stage):
    remote = stage.host(run, run.network, run.book).run
    remote.send(c.InspectTensor(TENSOR))
    wait_until(lambda: run.sent)
    run.advance(0)
    news = []
    wait_until(lambda: news.extend(remote.drain()) or any(isinstance(item, TensorValues) for item in news))
    (found,) = [item for item in news if isinstance(item, TensorValues)]
    assert found.values.nbytes > PIECE_BYTES
    np.testing.assert_array_equal(found.values, run.values_of(TENSOR))
    assert any(isinstance(item, Snapshot) for item in news)


def pieces_of(item):
    results, found = LargeResults(), []
    results.put(("", ""), *t.result_frame(item))
    while True:
        piece = results.next_piece()
        if piece is None:
            return found
        found.append(piece)


def assemble(pieces, assembly=None):
    assembly = assembly or ResultAssembly()
    return [assembly.add(*piece) for piece in pieces]


def test_pieces_after_a_lost_connection_begin_anew():
    assembly, pieces = ResultAssembly(), pieces_of(values(1, 50_000))
    assert assemble(pieces[:2], assembly) == [None, None]
    whole = assemble(pieces, assembly)
    assert whole[:-1] == [None] * (len(pieces) - 1) and t.result_of(*whole[-1]).step == 1


@pytest.mark.parametrize("damage", ["first", "middle", "last", "beyond", "flags", "text"])
def test_pieces_that_do_not_belong_together_are_refused(damage):
    pieces = pieces_of(values(1, 50_000))
    header, arrays = pieces[-1]
    if damage == "first":
        pieces = pieces[1:]
    elif damage == "middle":
        del pieces[1]
    elif damage == "last":
        pieces[-1] = header, {"data": arrays["data"][:-1]}
    elif damage == "beyond":
        pieces[-1] = header, {"data": np.append(arrays["data"], np.int8(0))}
    elif damage == "flags":
        pieces[-1] = dict(header, last=1), arrays
    else:
        pieces[-1] = header, {"data": np.zeros(3)}
    with pytest.raises((FrameError, ValueError)):
        assemble(pieces)


def test_a_result_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("qatviz.remote.pieces._LARGEST", 100_000)
    with pytest.raises(FrameError, match="at most 100,000"):
        assemble(pieces_of(values(1, 50_000)))
