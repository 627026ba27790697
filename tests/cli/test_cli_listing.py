"""Listings of networks, data, settings and presets, as tables and as JSON."""

import json

import pytest
from cli_calls import call, write_data

from qatviz.data import FILE_FORMATS, NAMED_DATA, describe, load
from qatviz.network import zoo
from qatviz.presets import PRESETS
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS


def test_networks_are_listed_with_their_sizes():
    rows = {row["name"]: row for row in json.loads(call("networks", "--json").out)}
    text = call("networks").out
    assert list(rows) == list(zoo.NETWORKS)
    for name, row in rows.items():
        network = zoo.build(name, (28, 28, 1), 10)
        assert (row["parameters"], row["macs"]) == (network.parameter_count, network.macs)
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert f"{network.parameter_count:,}" in line and f"{network.macs:,}" in line


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_network_is_described_layer_by_layer(name):
    arguments = ["networks", name, "--input-shape", "32x32x3", "--classes", "7"]
    row = json.loads(call(*arguments, "--json").out)
    network = zoo.build(name, (32, 32, 3), 7)
    assert [layer["name"] for layer in row["layers"]] == [layer.name for layer in network.layers]
    assert sum(layer["macs"] for layer in row["layers"]) == network.macs == row["macs"]
    assert row["num_classes"] == 7 and row["quantized_tensors"] == len(row["tensors"])
    text = call(*arguments).out
    assert all(layer.name in text for layer in network.layers)
    assert all(tensor["name"] in text for tensor in row["tensors"])


def test_data_is_described(tmp_path):
    path = write_data(tmp_path / "small.npz")
    options = {"features": "", "targets": "", "held_out": "test", "unusable": "refuse"}
    found = json.loads(call("data", path, "--json", "--held-out", "test").out)
    assert found == dict(describe(load(str(path))), options=options)
    text = call("data", path, "--held-out", "test").out
    assert "options    --features (none), --targets (none), --held-out test, --unusable refuse" in text.splitlines()
    assert str(path) in text and "6x6x1" in text and "200" in text


def test_without_a_name_the_kinds_of_data_are_listed():
    found = json.loads(call("data", "--json").out)
    assert list(found["names"]) == [named.name for named in NAMED_DATA]
    assert list(found["formats"]) == [known.name for known in FILE_FORMATS]
    text = call("data").out
    assert all(name in text for name in [*found["names"], *found["formats"]])


def test_damaged_data_is_refused(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    answer = call("data", tmp_path / "bad.npz")
    assert answer.code == 2 and "bad.npz" in answer.err


def test_all_settings_are_explained():
    settings = [*QUANTIZER_SETTINGS.values(), *RUN_SETTINGS.values()]
    assert [row["name"] for row in json.loads(call("settings", "--json").out)] == [setting.name for setting in settings]
    text = call("settings").out
    for setting in settings:
        assert setting.name + ": " in text and setting.help in " ".join(text.split())
        for word, about in setting.choice_help.items():
            assert f"{word}: {about}" in " ".join(text.split())


def test_presets_are_listed():
    assert list(json.loads(call("presets", "--json").out)) == list(PRESETS)
    text = call("presets").out
    assert all(name + ": " + preset.description in text for name, preset in PRESETS.items())
