"""``qatviz chip``, and budgets of time on a chip."""

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of, write_data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chip")
    data = write_data(folder / "small.npz")
    options = ("--network", "mlp", "--data", data, "--steps", 10, "--batch-size", 8, "--evaluation-interval", 10)
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


def test_a_run_and_its_network_have_the_same_estimate(run):
    of_run = call("chip", run, "--json").json
    assert of_run["chip"] == "cortex-m7" and of_run["kernels"] == "cmsis-nn" and of_run["error"] > 0
    assert {layer["layer"] for layer in of_run["layers"]} >= {"dense1", "dense2", "logits"}


def test_the_text_names_the_peak_the_error_and_the_sources():
    answer = call("chip", "lenet", "--chip", "cortex-m4", "--clock", 80)
    assert answer.code == 0, answer.err
    assert "CMSIS-NN on Cortex-M4 at 80 MHz" in answer.out and "+- 25 %" in answer.out
    assert "(peak)" in answer.out and "https://" in answer.out and answer.out.isascii()


def test_the_preset_of_a_network_counts():
    flash = [
        call("chip", "lenet", "--preset", p, "--json").json["flash_bytes"]["weights"] for p in ("tflite-int8", "int4")
    ]
    assert flash[1] * 2 == flash[0]


def test_unknown_chips_and_networks_are_errors():
    assert "cortex-m4" in error_of("chip", "lenet", "--chip", "cortex-m4x")
    assert "no such run, file or network" in error_of("chip", "nothing")


def test_a_budget_of_time_is_checked_first(run):
    answer = call("advise", run, "--budget", "1 us", "--chip", "cortex-m7")
    message = answer.err.splitlines()[-1]
    assert answer.code == 2 and "evaluating" not in answer.err
    assert "1 µs" in message and "on Cortex-M7 at 216 MHz" in message and "do not change" in message
    answer = call("advise", run, "--budget", "10 s", "--chip", "cortex-m7", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert found["unit"] == "time" and found["after"]["cost"] == found["before"]["cost"] > 0
