"""The benchmark of the parity table: its figures, and the reasons for missing ones."""

import json
import sys
from pathlib import Path

import pytest
from parity_cases import LAYER_NETWORKS, calibrated

from qatviz.export.tflite import litert

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
import bench_parity
import parity_table
import stored_figures


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


def test_the_readme_has_the_table_of_the_stored_figures():
    text = parity_table.README.read_text(encoding="utf-8")
    assert parity_table.with_table(text, stored_figures.read(parity_table.STORED)) == text
    assert set(stored_figures.read(parity_table.STORED)) <= set(parity_table.selected(bench_parity.NAMES))


@pytest.mark.parametrize(
    "form",
    ["a16/tflite-int16/litert", "a16/c/compiled", "w4/tflite-int4/litert", "8-bit-per-channel/tflite/litert"],
)
def test_forms_that_are_exact_are_so_in_the_stored_figures(form):
    stored = stored_figures.read(parity_table.STORED)
    found = [
        figure
        for name, figure in stored.items()
        if name.endswith("/" + form) and not name.startswith(parity_table.LAYER_KIND)
    ]
    assert len(found) == len(parity_table.NETWORKS)
    assert all(figure["identical"] >= 0.999 and figure["top1"] == 1 for figure in found)


@pytest.mark.parametrize("setting, forms", bench_parity.LAYER_FORMS.items())
def test_every_network_of_layers_is_exact_where_its_integers_are(setting, forms):
    stored = stored_figures.read(parity_table.STORED)
    for network in parity_table.LAYERS:
        for form in forms:
            name = "/".join((parity_table.LAYER_KIND, network, setting, form))
            if form in ("npz/simulator", "c/compiled", "tflite/litert", "tflite-int16/litert"):
                assert stored[name]["identical"] >= 0.999 and stored[name]["top1"] == 1, name


def test_the_networks_of_layers_are_those_of_the_table():
    assert set(LAYER_NETWORKS) == set(bench_parity.LAYER_NETWORKS) == set(parity_table.LAYERS)


def test_a_row_is_the_worst_of_its_networks():
    shown = {"identical": 1.0, "largest": 0, "top1": 1.0}
    worse = {"identical": 0.99999, "largest": 3, "top1": 0.5}
    names = [f"parity_more/{network}/a16/c/gcc" for network in parity_table.NETWORKS]
    rows = parity_table.table({names[0]: shown, names[1]: worse}).splitlines()
    assert rows[2:] == ["| 16-bit activations | `c` | gcc | 99.9 % | 3 | 50.0 % |"]
