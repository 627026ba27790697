"""Regression from the command line: outputs and records have the error instead of the accuracy."""

import numpy as np
import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of, write_data

from qatviz.export.run_series import recorded_series
from qatviz.metric import MODES, RMSE
from qatviz.protocol.events import Evaluated
from qatviz.session.recorded import open_recorded
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord

OPTIONS = ("--network", "mlp", "--batch-size", 16, "--learning-rate", "0.003", "--evaluation-interval", 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("regression")
    random = np.random.RandomState(0)
    x = random.rand(240, 8).astype(np.float32)
    np.savez(str(path / "numbers.npz"), x=x, y=np.stack([x.sum(axis=1), x[:, 0] - 2 * x[:, 1]], axis=1))
    np.savez(str(path / "counts.npz"), x=x, y=np.floor(x.sum(axis=1)))
    return path


@pytest.fixture(scope="module")
def trained(folder):
    return call("train", "--data", folder / "numbers.npz", *OPTIONS, "--steps", 60, "--out", folder / "run", "--json")


def test_the_result_has_the_metric_by_name(trained):
    result = trained.json
    assert trained.code == 0 and result["metric"] == "rmse" and result["rmse_step"] == 60
    assert list(result["rmse"]) == list(MODES) and not any("accuracy" in key for key in result)
    spread = np.sqrt(8 / 12)  # of a sum of eight numbers from 0 to 1
    assert all(0 < error < spread for error in result["rmse"].values())
    lines = [line for line in trained.err.splitlines() if line.startswith("step 60: evaluated: RMSE ")]
    assert (
        len(lines) == 1
        and "%" not in lines[0]
        and float(lines[0].split()[4]) == pytest.approx(result["rmse"]["float"], rel=1e-3)
    )


def test_show_has_the_metric(trained, folder):
    text = call("show", folder / "run").out
    assert "RMSE on held-out data" in text and "ccuracy" not in text
    row = text[text.index("RMSE on held-out data") :].splitlines()[4].split()
    assert row[0] == "60" and float(row[4]) == pytest.approx(trained.json["rmse"]["quantized"], rel=1e-3)
    found = call("show", folder / "run", "--json").json
    assert found["rmse"] == trained.json["rmse"] and [row["step"] for row in found["evaluations"]] == [20, 40, 60]
    assert found["description"]["task"] == "regression"
    by_output = found["rmse_by_output"]
    for mode, score in found["rmse"].items():
        assert np.sqrt(np.mean(np.square(by_output[mode]))) == pytest.approx(score, rel=1e-6)
    assert len(by_output["quantized"]) == 2 and by_output["quantized"][0] != by_output["quantized"][1]
    lines = text[text.index("RMSE by output, after step 60") :].splitlines()
    assert lines[3].split()[:2] == ["output", "1"] and float(lines[3].split()[-1]) == pytest.approx(
        by_output["quantized"][1], rel=1e-3
    )
    told = call("evaluate", folder / "run", "--json").json
    assert told["rmse_by_output"]["float"] == pytest.approx(by_output["float"], rel=1e-6)
    assert "RMSE by output" in call("evaluate", folder / "run").out


def test_a_resumed_run_keeps_its_task_regardless_of_the_datas_default(folder):
    """Integer targets are regression targets because of an option, which resuming does not need again."""
    began = call(
        "train",
        "--data",
        folder / "counts.npz",
        "--task",
        "regression",
        *OPTIONS,
        "--steps",
        10,
        "--out",
        folder / "counts",
        "--json",
    )
    assert began.json["rmse_step"] == 10
    went_on = call("train", "--resume", folder / "counts", "--steps", 20, "--json", "--quiet")
    assert went_on.code == 0, went_on.err
    assert went_on.json["rmse_step"] == 20
    refused = error_of("train", "--resume", folder / "counts", "--task", "regression")
    assert "--task: can't change in a continued run" in refused


def test_a_record_without_a_task_is_a_classification(tmp_path):
    """Such a description has no task, and its evaluations have no name of a metric."""
    write_data(tmp_path / "small.npz")
    call(
        "train",
        "--data",
        tmp_path / "small.npz",
        "--network",
        "mlp",
        "--steps",
        5,
        "--out",
        tmp_path / "new",
        "--quiet",
    )
    reader = RunRecord.read(tmp_path / "new")
    described = {key: value for key, value in reader.description.items() if key not in ("task", "run_id", "created")}
    old = RunRecord.create(tmp_path / "old", described)
    old.append_event(Evaluated(5, dict(zip(MODES, (0.9, 0.8, 0.7, 0.6))), 40, 0.1))
    for info in reader.list_checkpoints():
        arrays, meta = reader.load_checkpoint(info.name)
        old.save_checkpoint(info.name, arrays, meta)
    old.close()
    found = call("show", tmp_path / "old", "--json").json
    assert found["accuracy"] == dict(zip(MODES, (0.9, 0.8, 0.7, 0.6))) and "task" not in found["description"]
    assert call("train", "--resume", tmp_path / "old", "--steps", 8, "--json", "--quiet").json["accuracy_step"] == 8


def test_regression_data_is_described(folder):
    text = call("data", folder / "numbers.npz").out
    assert "targets    2 per example" in text and "class" not in text
    assert call("data", folder / "numbers.npz", "--json").json["task"] == "regression"
    assert call("data", folder / "counts.npz", "--json").json["task"] == "classification"
    told = call("data", folder / "counts.npz", "--task", "regression", "--json").json
    assert told["task"] == "regression" and told["targets"][0]["train"]["max"] <= 8
    assert "'mnist-5k'" not in error_of("data", "mnist-5k", "--task", "regression")
    assert "argument --task: the task is 'guessing': expected" in error_of(
        "data", folder / "numbers.npz", "--task", "guessing"
    )


def test_an_opened_record_has_the_metric(trained, folder):
    prepared = open_recorded(str(folder / "run"))
    assert metric_in(prepared.run.history) is RMSE
    assert prepared.run.history.series("rmse.quantized").last_step.tolist() == [20, 40, 60]
    told = [logged.event for logged in prepared.log if isinstance(logged.event, Evaluated)]
    assert told[-1].metric == "rmse" and told[-1].scores == pytest.approx(trained.json["rmse"])


def test_tensorboard_tags_have_the_metrics_name(trained, folder):
    names = [name for track in recorded_series(RunRecord.read(folder / "run")).tracks for name in track.names]
    assert {"rmse/" + mode for mode in MODES} <= set(names) and not any("accuracy" in name for name in names)
