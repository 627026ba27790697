"""``qatviz sweep``."""

import numpy as np
import pytest
from cli_calls import call, error_of, write_data
from tensorflow_needed import needs_tensorflow

from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "data.npz")


def options(data):
    return ["--network", "mlp", "--data", data, "--batch-size", "20", "--evaluation-interval", "2"]


@needs_tensorflow
def test_the_runs_are_listed_before_they_train(tmp_path, data):
    out = tmp_path / "sweep"
    answer = call("sweep", *options(data), "--vary", "*.weights.num_bits=8,4", "--out", out, "--dry-run")
    assert answer.code == 0 and [line.split()[0] for line in answer.out.splitlines()] == [
        "weights.num_bits-8",
        "weights.num_bits-4",
    ]
    assert answer.out.splitlines()[0] == "weights.num_bits-8 --set '*.weights.num_bits=8'", "as a shell takes it"
    assert [path.name for path in out.iterdir()] == ["sweep.json"]


@needs_tensorflow
def test_invalid_options_are_refused_before_any_run_starts(tmp_path, data):
    out = ["--out", tmp_path / "sweep"]
    assert "unknown" in error_of("sweep", "--nonsense", "3", *out)
    assert "expected distinct whole numbers" in error_of("sweep", "--seeds", "1,1", *out)
    assert "--seed and --seeds" in error_of("sweep", "--seed", "1", "--seeds", "1,2", *out)
    assert "a sweep continues with --out DIR alone" in error_of("sweep", "--resume", tmp_path, *out)
    assert "is 'num_bits'" in error_of("sweep", "--vary", "num_bits", *out)
    for varied, said in (
        ("*.weights.num_bits=4,99", "num_bits is 99: expected a whole number from 1 to 16"),
        ("*.weights.num_bit=4", "there is no setting '*.weights.num_bit'. Did you mean num_bits?"),
        ("run.seed=1,2", "there is no setting 'run.seed'"),
    ):
        assert said in error_of("sweep", *options(data), "--vary", varied, *out)
    assert "has no sweep to continue" in error_of("sweep", *out)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_sweep_from_one_checkpoint_trains_resumes_and_is_listed(tmp_path, data):
    base, out = tmp_path / "base", tmp_path / "sweep"
    assert call("train", *options(data), "--steps", "4", "--out", base, "--quiet").code == 0
    varied = ["--vary", "*.weights.num_bits=8,3", "--seeds", "0,5", "--steps", "8", "--processes", "2"]
    answer = call("sweep", "--fork", base, *varied, "--out", out)
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) == 5 and "finished" in answer.out.splitlines()[1]
    readers = {path.name: RunRecord.read(path) for path in out.iterdir() if path.is_dir()}
    assert len(readers) == 4 and {reader.last_step for reader in readers.values()} == {8}
    assert {reader.description["seed"] for reader in readers.values()} == {0, 5}
    losses = {name: reader.steps().loss for name, reader in readers.items()}
    assert not np.array_equal(losses["weights.num_bits-8_s0"], losses["weights.num_bits-8_s5"]), "other batches"
    again = call("sweep", "--out", out)
    assert again.code == 0 and again.err.count("skipped") == 4
    found = call("compare", *sorted(path for path in out.iterdir() if path.is_dir()), "--json").json
    assert sorted(len(group["runs"]) for group in found["groups"]) == [2, 2]
    listed = call("runs", "--folder", tmp_path, "--json").json
    assert len(listed) == 5 and sum(row["tags"] == ["sweep"] for row in listed) == 4
