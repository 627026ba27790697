"""``qatviz ab``."""

import pytest
from cli_calls import call, error_of, write_data
from tensorflow_needed import needs_tensorflow

from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    data = write_data(folder / "data.npz")
    options = ["--network", "mlp", "--data", data, "--batch-size", "20", "--evaluation-interval", "2"]
    assert call("train", *options, "--steps", "4", "--out", folder / "run", "--quiet").code == 0
    return folder / "run"


@needs_tensorflow
def test_invalid_options_are_refused_before_any_run_starts(tmp_path, base):
    out = ["--out", tmp_path / "trial"]
    assert "expected --fork RUN" in error_of("ab", "--b", "*.weights.num_bits=4", *out)
    assert "has no sweep to continue" in error_of("ab", *out)
    assert "expected two others" in error_of("ab", "--fork", base, *out)
    assert "num_bits" in error_of("ab", "--fork", base, "--b", "*.weights.num_bits=99", *out)
    assert "unknown" in error_of("ab", "--fork", base, "--b", "*.weights.num_bits=4", "--nonsense", "3", *out)
    assert not (tmp_path / "trial").exists()


@needs_tensorflow
def test_a_sweep_without_sides_is_refused(tmp_path, base):
    out = tmp_path / "sweep"
    assert call("sweep", "--fork", base, "--vary", "*.weights.num_bits=8,4", "--out", out, "--dry-run").code == 0
    assert "without the sides A and B" in error_of("ab", "--out", out)


@pytest.mark.slow  # three processes that import TensorFlow
def test_equal_training_on_both_sides_has_no_difference_and_other_bits_have_one(tmp_path, base):
    same = ["--b", "run.snapshot_interval=30", "--steps", "8", "--threads", "1"]  # it does not affect training
    answer = call("ab", "--fork", base, *same, "--out", tmp_path / "same", "--json")
    assert answer.code == 0, answer.err
    (losses,) = answer.json["losses"]
    assert losses["step"] == [5, 6, 7, 8] and losses["A"] == losses["B"], "the batches are the same"
    assert answer.json["loss_difference"]["mean"] == 0.0
    origin = RunRecord.read(tmp_path / "same" / "B").description["forked_from"]
    assert origin["directory"] == str(base) and origin["step"] == 4
    answer = call("ab", "--fork", base, "--b", "*.weights.num_bits=2", "--steps", "8", "--out", tmp_path / "bits")
    assert answer.code == 0 and "over 4 equal steps" in answer.out.splitlines()[-1]
    assert "loss, B minus A: 0 " not in answer.out
    again = call("ab", "--out", tmp_path / "bits")
    assert again.err.count("skipped") == 2 and again.out == answer.out
