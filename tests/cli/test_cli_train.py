"""`qatviz train` and `qatviz show` on real, short runs in the test's process."""

import json
import os

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, write_data

from qatviz.metric import MODES
from qatviz.telemetry.record.run_record import RunRecord

TENSORS = [
    "input.activations",
    "dense1.weights",
    "dense1.activations",
    "dense2.weights",
    "dense2.activations",
    "logits.weights",
    "logits.activations",
]
FLAGS = ["symmetric", "narrow_range", "per_channel"]
MEASURES = [
    "scale",
    "mse",
    "mse_clipping",
    "mse_rounding",
    "sqnr_db",
    "rmse_over_scale",
    "clipped",
    "flushed",
    "effective_bits",
]
#: Fields that depend on the clock.
CLOCK = ("seconds", "steps_per_second", "out")
OPTIONS = [
    "--network",
    "mlp",
    "--batch-size",
    8,
    "--evaluation-interval",
    20,
    "--snapshot-interval",
    0.02,
    "--weights",
    "num_bits=4,per_channel=on",
    "--activations",
    "num_bits=6",
    "--set",
    "20:dense1.weights.num_bits=3",
    "--set",
    "40:*.weights.symmetric=off,run.learning_rate=5e-4",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder / "small.npz")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """Train 60 steps without interruption."""
    return call("train", "--data", folder / "small.npz", *OPTIONS, "--steps", 60, "--out", folder / "whole", "--json")


def comparable(result):
    return {name: value for name, value in result.items() if name not in CLOCK}


def test_the_result_is_one_line_of_strict_json(whole, folder):
    assert whole.code == 0 and len(whole.out.splitlines()) == 1
    result = whole.json
    assert result["step"] == result["accuracy_step"] == 60 and result["ending"] == "finished"
    assert result["out"] == str(folder / "whole")
    assert result["steps_per_second"] == pytest.approx(60 / result["seconds"])
    assert list(result["accuracy"]) == list(MODES)
    assert all(0 <= share <= 1 for share in result["accuracy"].values())


def test_the_result_lists_changes_with_their_steps(whole):
    weights = ["dense1.weights", "dense2.weights", "logits.weights"]
    assert whole.json["events"] == [
        {"step": 20, "setting": "dense1.weights.num_bits", "old": 4, "new": 3},
        {"step": 40, "setting": "run.learning_rate", "old": 1e-3, "new": 5e-4},
        *({"step": 40, "setting": name + ".symmetric", "old": True, "new": False} for name in weights),
    ]


def test_the_result_has_a_row_for_each_tensor(whole):
    rows = whole.json["tensors"]
    assert [row["name"] for row in rows] == TENSORS
    for row in rows:
        weights = row["kind"] == "weights"
        assert row["name"].endswith("." + row["kind"])
        assert row["num_bits"] == (3 if row["name"] == "dense1.weights" else 4 if weights else 6)
        assert [row[name] for name in FLAGS] == [False, weights, weights]
        assert isinstance(row["zero_point"], int) and isinstance(row["used_codes"], int)
        assert all(isinstance(row[name], float) for name in MEASURES)
        assert row["mse"] == pytest.approx(row["mse_clipping"] + row["mse_rounding"], rel=1e-3)
        assert row["scale"] > 0 and 0 < row["used_codes"] <= 2 ** row["num_bits"]
        assert 0 <= row["effective_bits"] <= row["num_bits"]


def test_events_are_printed_during_the_run(whole):
    lines = [line for line in whole.err.splitlines() if not line.startswith("qatviz: note: ")]
    assert lines[0] == "starting TensorFlow"
    assert "step 20: dense1.weights.num_bits 4 -> 3" in lines
    assert sum(line.startswith("step 60: evaluated: ") for line in lines) == 1
    assert all(line.startswith(("starting ", "training started on ", "step ")) for line in lines)


def test_a_resumed_run_equals_an_uninterrupted_one(whole, folder):
    first = call("train", "--data", folder / "small.npz", *OPTIONS, "--steps", 30, "--out", folder / "parts", "--json")
    assert first.json["step"] == 30
    second = call("train", "--resume", folder / "parts", "--steps", 60, "--json")
    assert second.code == 0 and comparable(second.json) == comparable(whole.json)
    assert "step 60 of 60" in call("show", folder / "parts").out
    shown = call("show", folder / "parts", "--json").json
    assert [row["step"] for row in shown["evaluations"]] == [20, 30, 40, 60]
    assert comparable(shown)["tensors"] == whole.json["tensors"] and shown["events"] == whole.json["events"]
    again = call("train", "--resume", folder / "parts", "--steps", 60, "--json")
    assert again.code == 0 and comparable(again.json) == comparable(whole.json)


def test_resuming_before_a_damaged_checkpoint_gives_the_same_result(whole, folder):
    call("train", "--data", folder / "small.npz", *OPTIONS, "--steps", 45, "--out", folder / "damaged", "--quiet")
    newest = folder / "damaged" / "checkpoints" / "final-00000045.npz"
    newest.write_bytes(newest.read_bytes()[:-100])
    answer = call("train", "--resume", folder / "damaged", "--steps", 60, "--json", "--quiet")
    assert answer.code == 0 and comparable(answer.json) == comparable(whole.json)
    assert "final-00000045" in answer.err and len(answer.err.splitlines()) == 1


def test_a_checkpoint_of_another_network_is_refused_in_one_line(whole, folder, tmp_path):
    run = tmp_path / "run"
    assert (
        call("train", "--data", folder / "small.npz", "--network", "mlp", "--steps", 3, "--quiet", "--out", run).code
        == 0
    )
    record = RunRecord.open(run)
    arrays, meta = record.load_checkpoint("final-00000003")
    arrays["dense1.weights"] = arrays["dense1.weights"][:, 1:]
    record.save_checkpoint("final-00000003", arrays, meta)
    record.close()
    answer = call("train", "--resume", run, "--steps", 5, "--quiet")
    assert answer.code == 1 and len(answer.err.splitlines()) == 1
    assert answer.err.startswith(
        "qatviz: error: training failed after step 3: checkpoint final-00000003: dense1.weights is float32 (36, "
    )


def test_settings_can_change_on_resume_and_forks_keep_their_source(whole, folder):
    before = call("show", folder / "whole", "--json").json
    answer = call(
        "train",
        "--fork",
        f"{folder / 'whole'}@before-00000040",
        "--steps",
        50,
        "--quiet",
        "--json",
        "--learning-rate",
        "0.01",
        "--set",
        "dense2.num_bits=5",
        "--set",
        "45:input.num_bits=7",
        "--out",
        folder / "fork",
    )
    assert answer.code == 0 and answer.err == ""
    assert [(row["step"], row["setting"], row["new"]) for row in answer.json["events"]] == [
        (40, "run.learning_rate", 0.01),
        (40, "dense2.weights.num_bits", 5),
        (40, "dense2.activations.num_bits", 5),
        (45, "input.activations.num_bits", 7),
    ]
    assert answer.json["step"] == 50
    assert call("show", folder / "whole", "--json").json == before
    shown = call("show", folder / "fork").out
    assert f"forked from {folder / 'whole'} at before-00000040" in shown
    resumed = call(
        "train", "--resume", folder / "fork", "--checkpoint", "start-00000040", "--steps", 41, "--quiet", "--json"
    )
    assert resumed.code == 0 and resumed.json["events"] == [] and resumed.json["step"] == 41


def test_show_describes_the_whole_run(whole, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = call("show", folder / "whole").out
    for word in [
        "mlp on small",
        "step 60 of 60",
        "finished",
        "dense1.weights.num_bits 4 -> 3",
        "learning_rate 0.0005",
        "accuracy on held-out data",
        "before-00000040",
        "final-00000060",
        "end of the run",
    ]:
        assert word in text
    assert max(map(len, text.splitlines()[1:])) <= 80  # the first line names the directory
    shown = call("show", folder / "whole", "--json").json
    result = whole.json
    for name in ("step", "tensors", "events", "accuracy", "accuracy_step", "ending"):
        assert shown[name] == result[name]
    assert shown["settings"]["run"]["learning_rate"] == 5e-4
    assert all(info["error"] == "" for info in shown["checkpoints"])


def test_a_damaged_record_is_refused(whole, folder, tmp_path):
    content = bytearray((folder / "whole" / "run.sqlite").read_bytes())
    for at in range(100, len(content), 50):
        content[at] ^= 255
    (tmp_path / "run.sqlite").write_bytes(bytes(content))
    for arguments in (["show", tmp_path], ["train", "--resume", tmp_path]):
        answer = call(*arguments)
        assert answer.code == 2 and "run.sqlite" in answer.err and answer.out == ""


def test_other_data_is_refused_and_moved_data_accepted(whole, folder, tmp_path):
    other = call("train", "--resume", folder / "whole", "--data", "mnist-5k")
    assert other.code == 2 and "fingerprint" in other.err
    moved = tmp_path / "moved.npz"
    moved.write_bytes((folder / "small.npz").read_bytes())
    fewer = call("train", "--resume", folder / "whole", "--data", moved, "--steps", 10)
    assert fewer.code == 2 and "60" in fewer.err


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_it(tmp_path):
    data = write_data(tmp_path / "poisoned.npz", poisoned=17)
    answer = call(
        "train",
        "--network",
        "mlp",
        "--data",
        data,
        "--batch-size",
        8,
        "--steps",
        60,
        "--preset",
        "float",
        "--out",
        tmp_path / "run",
        "--json",
    )
    assert answer.code == 1
    last = answer.err.splitlines()[-1]
    assert last.startswith("qatviz: error: ") and "not finite" in last and "learning rate" in last
    assert str(tmp_path / "run") in last
    result = answer.json
    assert result["ending"] == "stopped" and result["step"] < 60
    assert all(row["enabled"] is False for row in result["tensors"])
    shown = call("show", tmp_path / "run")
    assert shown.code == 0 and "nonfinite" in shown.out


def test_without_out_nothing_is_recorded_and_quiet_prints_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = call(
        "train", "--data", folder / "small.npz", "--network", "mlp", "--steps", 3, "--quiet", "--set", "9:run.beta1=0.5"
    )
    assert (answer.code, answer.out) == (0, "")
    assert "never takes effect" in answer.err and len(answer.err.splitlines()) == 1
    assert os.listdir(str(tmp_path)) == []


def test_a_failing_run_prints_its_traceback(folder, monkeypatch):
    def broken(*_):
        raise OSError("no such device")

    monkeypatch.setattr("qatviz.training.trainer.TrainingGraph", broken)
    answer = call("train", "--data", folder / "small.npz", "--network", "mlp", "--steps", 3)
    assert answer.code == 1 and answer.out == ""
    assert "Traceback (most recent call last)" in answer.err
    assert answer.err.splitlines()[-1].startswith("qatviz: error: training failed after step 0: ")


def test_the_table_at_the_end_fits_the_terminal(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = call("train", "--data", folder / "small.npz", "--network", "mlp", "--steps", 1)
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "weights only" in answer.out and "\n1 step in " in answer.out
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.out.splitlines()[-1])
