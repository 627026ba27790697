"""The benchmark of the parity table: its figures, and the reasons for missing ones."""

import json
import sys
from pathlib import Path

import pytest
from parity_cases import calibrated

from qatviz.export.tflite import litert

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
import bench_parity


@pytest.fixture
def figures(monkeypatch):
    """Return a function that measures figures of an untrained mlp on few inputs."""

    def source(name):
        network = calibrated(name)
        return network.network, network.plan, network.state

    monkeypatch.setattr(bench_parity, "_trained", source)
    monkeypatch.setattr(bench_parity, "EXAMPLES", 24)
    bench_parity._case.cache_clear()
    yield lambda *names: [json.loads(json.dumps(figure, allow_nan=False)) for figure in bench_parity.run(names)]
    bench_parity._case.cache_clear()


def test_the_table_has_every_network_setting_and_form_once():
    table = [name for name in bench_parity.NAMES if name.startswith("parity/")]
    assert len(table) == len(set(table)) == 6 * 8 * len(bench_parity.FORMS)
    assert {name.split("/")[3] for name in table} >= {"simulator", "tflite", "onnx", "c", "npz", "savedmodel", "frozen"}
    assert len(set(bench_parity.NAMES)) == len(bench_parity.NAMES)


def test_a_figure_is_the_lower_one_of_digits_and_random_inputs(figures, capsys):
    for figure in figures("parity/mlp/w4/simulator", "parity/mlp/w4/npz/simulator", "parity/mlp/w4/frozen/tensorflow"):
        assert set(figure["inputs"]) == {"digits", "random inputs"}
        assert (
            figure["value"]
            == 100 * figure["identical"]
            == 100 * min(found["identical"] for found in figure["inputs"].values())
        )
        assert figure["identical"] >= 0.98 and figure["largest"] <= 1 and figure["top1"] == 1
    assert "3/3  parity/mlp/w4/frozen/tensorflow: " in capsys.readouterr().err


def test_cases_refused_or_not_run_have_a_reason_instead_of_a_value(figures, monkeypatch):
    (refused,) = figures("parity_more/mlp/asymmetric-8-per-channel/tflite/interpreter")
    assert refused["value"] is None and "TFLite" in refused["refused"] and "identical" not in refused
    monkeypatch.setenv(litert.VARIABLE, "/nowhere/python")
    (not_run,) = figures("parity/mlp/w4/tflite/litert")
    assert not_run["value"] is None and "/nowhere/python" in not_run["not_run"]
