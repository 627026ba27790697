"""``qatviz drift`` and ``qatviz channels``: tables, JSON, and the Python interface."""

import numpy as np
import pytest
import tensorflow
from cli_calls import call, error_of, write_data

import qatviz
from qatviz.analysis.channels import SCREENED
from qatviz.analysis.drift import drift_start


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    data = write_data(folder / "small.npz")
    options = ("--network", "mlp", "--data", data, "--steps", 30, "--batch-size", 8, "--preset", "int4")
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


def test_the_drift_of_each_layer_is_printed(run):
    answer = call("drift", run)
    assert answer.code == 0, answer.err
    title, *rows, verdict = answer.out.splitlines()
    assert title.startswith("drift at step 30 on 40 held-out examples: divergence") and "final-00000030" in title
    told = call("drift", run, "--json").json
    names = [layer["layer"] for layer in told["layers"]]
    assert [row.split()[0] for row in rows[-len(names) :]] == names and names[0] == "input"
    start = told["start"]["first"] if told["start"]["is_own"] else told["start"]["worst"]
    assert start in verdict and verdict.endswith(".")
    assert (told["examples"], told["example"], told["step"]) == (40, None, 30)


def test_the_drift_agrees_with_the_api(run):
    told = call("drift", run, "--example", 3, "--json").json
    found = qatviz.drift(run, example=3, layer=told["layers"][1]["layer"])
    assert told["example"] == found.drift.example == found.maps.example == 3 and told["examples"] == 1
    for row, layer in zip(told["layers"], found.drift.layers):
        assert row["layer"] == layer.layer and row["total"]["sqnr_db"] == pytest.approx(layer.total.sqnr_db, rel=1e-3)
    error = (found.maps.quantized - found.maps.in_float).astype(np.float64)
    power = np.square(error).sum() / np.square(found.maps.in_float.astype(np.float64)).sum()
    assert found.drift.layers[1].total.power == pytest.approx(power, rel=1e-3)
    assert qatviz.drift(run, examples=7).drift.examples == 7


def test_the_report_has_the_feature_maps_of_the_layer_with_the_largest_own_error(run, tmp_path):
    found = qatviz.drift(run, with_maps=True)
    largest = drift_start(found.drift).largest.layer
    assert found.maps.layer == largest and found.drift.examples == 40
    assert qatviz.drift(run, layer="input", with_maps=True).maps.layer == "input"
    assert qatviz.drift(run).maps is None
    answer = call("report", run, "--drift", "--out", tmp_path / "report.html")
    assert answer.code == 0, answer.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="drift"') :].split("</section>")[0]
    assert f"<h3>Output of {largest}</h3>" in section and "Held-out example 0, at step 30." in section


def test_an_example_that_the_data_lacks_is_refused(run):
    assert "expected 0 to 39" in error_of("drift", run, "--example", 40)
    assert "at least 1" in error_of("drift", run, "--examples", 0)


def test_channels_are_printed_and_agree_with_the_api(run):
    answer = call("channels", run)
    assert answer.code == 0, answer.err
    told, found = call("channels", run, "--json").json, qatviz.channels(run)
    shown = call("show", run, "--json").json["tensors"]
    names = [tensor["name"] for tensor in shown if tensor["name"].endswith("weights")]
    assert [row["tensor"] for row in told["tensors"]] == names
    assert all(name in answer.out for name in names)
    for row, tensor in zip(told["tensors"], found.tensors):
        assert row["verdict"] == tensor.verdict.text
        assert [channel["quantiles"][2] for channel in row["channels"]] == tensor.ranges.quantiles[2].tolist()
    ordered = call("channels", run, "--sort", "kurtosis", "--json").json["tensors"]
    kurtosis = [row["kurtosis"] for row in ordered]
    assert kurtosis == sorted(kurtosis, reverse=True) and set(SCREENED) < set(ordered[0])


def test_a_model_is_screened_before_any_training(tmp_path):
    keras, path = tensorflow.keras, tmp_path / "model.h5"
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session().as_default():
        model = keras.Sequential([keras.layers.Dense(5, input_shape=(4,), name="logits")])
        weights = np.random.RandomState(0).randn(4, 5).astype(np.float32)
        weights[:, 2] *= 50
        model.set_weights([weights, np.zeros(5)])
        model.save(str(path))
        (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    told = call("channels", path, "--preset", "tflite-int8", "--json").json
    (row,) = told["tensors"]
    assert (told["step"], told["checkpoint"], row["tensor"]) == (0, "model.h5", "logits.weights")
    assert [channel["quantiles"][0] for channel in row["channels"]] == weights.min(axis=0).tolist()
    assert row["range_ratio"] > 10 and [channel["is_outlier"] for channel in row["channels"]].index(True) == 2
    assert qatviz.channels(path).tensors[0].measures["range_ratio"] == row["range_ratio"]
    assert "no weights" in error_of("channels", tmp_path / "model.json")


def test_errors_name_the_folder(run, tmp_path):
    assert "not contain the record" in error_of("drift", tmp_path)
    assert "not contain the record" in error_of("channels", tmp_path)
