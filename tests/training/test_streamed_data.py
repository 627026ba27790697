"""Runs whose examples are read from files are, bit for bit, the runs of the same data in memory."""

import contextlib
import os
import threading

import numpy as np
import pytest
from small_runs import convnet, dataset, mlp, spec

from qatviz.cli import main
from qatviz.data import load, write_store
from qatviz.errors import DataError
from qatviz.protocol.branches import BranchCursor
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.building import graph_arguments
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun


@pytest.fixture(params=[mlp, convnet])
def pair(request, tmp_path):
    """Return a network, its data in memory, and the same data in a store."""
    network = request.param()
    data = dataset(network.input_shape)
    write_store(data, tmp_path / "store")
    return network, data, load(tmp_path / "store")


def _trained(network, data, steps):
    graph = TrainingGraph(*graph_arguments(spec(network, data, activations={"range_method": "percentile"})))
    try:
        live = LiveRun(graph, spec(network, data, activations={"range_method": "percentile"}), BranchCursor(), print)
        losses = [live.train_step()[0] for _ in range(steps)]
        graph.publish()
        held_out = np.arange(len(data.x_test), dtype=np.int32)
        scores = graph.score_part(held_out, True, True), graph.held_out_loss(held_out)
        return losses, live.capture("end", None).arrays, scores, graph.snapshot()
    finally:
        graph.close()


@pytest.mark.always("convnet")
def test_losses_states_scores_and_snapshots_are_the_same(pair):
    network, *both = pair
    (losses, arrays, scores, snapshot), found = [_trained(network, data, 30) for data in both]
    assert found[0] == losses
    assert sorted(found[1]) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[1][name], array, err_msg=name)
    np.testing.assert_array_equal(found[2][0], scores[0])
    assert found[2][1] == scores[1]
    for one, other in zip(found[3], snapshot):
        for name, array in one._asdict().items():
            np.testing.assert_array_equal(array, getattr(other, name), err_msg=name)


def test_data_that_is_loaded_again_ends_the_threads_that_read_ahead(pair):
    network, _, stored = pair

    def is_reading():
        return any(thread.name.startswith("qatviz-read-ahead") for thread in threading.enumerate())

    graph = TrainingGraph(*graph_arguments(spec(network, stored)))
    try:
        graph.expect(lambda step: np.arange(8, dtype=np.int32), 0)
        assert is_reading()
        graph.load_data(stored)
        assert not is_reading()
    finally:
        graph.close()


def test_a_run_of_a_store_is_resumed_and_exported(tmp_path, capsys):
    write_store(dataset((8, 8, 1)), tmp_path / "store")
    command = ["train", "--network", "lenet", "--data", str(tmp_path / "store"), "--batch-size", "8", "--quiet"]
    assert main([*command, "--steps", "6", "--out", str(tmp_path / "run")]) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "12", "--quiet"]) == 0
    assert main([*command, "--steps", "12", "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    resumed, whole = (RunRecord.read(str(tmp_path / name)).steps().loss for name in ("run", "whole"))
    np.testing.assert_array_equal(resumed, whole)
    assert main(["export", str(tmp_path / "run"), "--format", "npz", "--out", str(tmp_path / "a.npz")]) == 0
    assert "100.00 %" in capsys.readouterr().out


def test_a_file_that_vanishes_during_a_run_is_named(pair, tmp_path):
    network, _, stored = pair
    graph = TrainingGraph(*graph_arguments(spec(network, stored)))
    try:
        live = LiveRun(graph, spec(network, stored), BranchCursor(), print)
        live.train_step()
        os.remove(str(tmp_path / "store" / "x_train.npy"))
        for _ in range(live.graph._data.batches_ahead):  # those that were read before it vanished
            with contextlib.suppress(DataError):
                live.train_step()
        with pytest.raises(DataError, match=r"x_train\.npy"):
            live.train_step()
    finally:
        graph.close()
