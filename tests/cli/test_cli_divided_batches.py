"""Runs whose batches are divided: records, lists and reports state the number of workers or replicas."""

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call

from qatviz.protocol.batch_division import BatchDivision
from qatviz.session.recorded import open_recorded
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord

REPLICAS = BatchDivision(2, 0, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    options = ("--network", "mlp", "--batch-size", 16, "--steps", 4, "--replicas", 2)
    result = call("train", *options, "--out", folder / "two", "--json")
    assert result.code == 0, result.err
    return folder / "two", result


def test_the_division_is_recorded_and_shown(trained):
    directory, result = trained
    assert result.json["batch_division"] == REPLICAS.to_dict()
    assert BatchDivision.described(RunRecord.read(directory).description) == REPLICAS
    assert "seed 0, on 2 replicas\n" in call("show", directory).out
    assert call("show", directory, "--json").json["batch_division"] == REPLICAS.to_dict()
    assert open_recorded(str(directory)).run.description["batch_division"] == REPLICAS.to_dict()
    (listed,) = call("runs", "--folder", directory.parent, "--json").json
    assert listed["division"] == REPLICAS.to_dict()
    assert call("report", directory, "--out", directory.parent / "two.html").code == 0
    page = (directory.parent / "two.html").read_text(encoding="utf-8")
    assert "Batches computed on</dt><dd>2 replicas<" in page


def test_a_resumed_run_has_its_newest_division(trained):
    directory, _ = trained
    resumed = call("train", "--resume", directory, "--steps", 6, "--json")
    assert resumed.code == 0 and "batch_division" not in resumed.json, "one device"
    assert read_outcome(RunRecord.read(directory)).division == BatchDivision()
    assert "replicas" not in call("show", directory).out
    again = call("train", "--resume", directory, "--steps", 8, "--replicas", 2, "--towers", 4, "--tower-moments")
    assert again.code == 0, again.err
    text = call("show", directory).out
    assert "seed 0, on 4 parts on 2 replicas, batch norm by part\n" in text
    assert "planned: 8 steps, on 4 parts on 2 replicas, batch norm by part" in text


def test_a_fork_has_its_own_division(trained):
    directory, _ = trained
    fork = directory.parent / "fork"
    result = call("train", "--fork", directory, "--steps", 10, "--replicas", 4, "--out", fork, "--json")
    assert result.code == 0, result.err
    assert result.json["batch_division"] == RunRecord.read(fork).description["batch_division"]
    assert result.json["batch_division"]["parts"] == 4
    assert "4 parts on 2 replicas, batch norm by part  4 replicas" in call("compare", directory, fork).out
