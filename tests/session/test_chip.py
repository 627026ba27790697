"""Estimates of networks and runs for chips: graphs without values, flash of packed weights, requests and refusals."""

import json
import os
import subprocess
import sys

import pytest

from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.targets import target
from qatviz.errors import ExportError, NetworkError
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.chip import ChipRequest, chip_estimate, estimate_to_dict, network_graph


def graph_of(name, preset="tflite-int8", *changes):
    network = zoo.build(name, (28, 28, 1) if name in ("mlp", "lenet") else (32, 32, 3), 10)
    book = SettingsBook.from_preset(quantization_plan(network), preset).change(changes)[0]
    return network, book, network_graph(network, book)


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_every_unit_has_its_operations_and_its_multiplications(name):
    network, book, graph = graph_of(name)
    found = estimate(graph, target())
    assert {layer.layer for layer in found.layers} == {unit.name for unit in book.plan.units}
    macs = {row.name: row.macs for row in network.summary()}
    for unit in book.plan.units:
        if unit.owns_weights:
            assert found.layer(unit.name).macs == macs[unit.op.name]


def test_weights_of_up_to_four_bits_take_half_a_byte_of_flash():
    _, _, eight = graph_of("lenet")
    _, _, four = graph_of("lenet", "tflite-int8", ("*.weights.num_bits", 4))
    assert four.flash.weights == eight.flash.weights // 2
    assert four.flash.total < eight.flash.total - 0.49 * eight.flash.weights
    assert sum(eight.flash) == eight.flash.total and eight.flash.weights == 215_184


def test_wide_activations_have_larger_buffers_and_no_time():
    _, _, eight = graph_of("lenet")
    _, _, sixteen = graph_of("lenet", "tflite-int8", ("*.activations.num_bits", 12))
    small, large = (estimate(graph, target()) for graph in (eight, sixteen))
    assert large.ram > 1.7 * small.ram and large.cycles != large.cycles


def test_settings_that_tflite_micro_does_not_support_are_refused():
    with pytest.raises(ExportError):
        graph_of("lenet", "tflite-int8", ("conv1.weights.num_bits", 12))


def test_names_of_nothing_are_refused():
    with pytest.raises(NetworkError, match="Did you mean lenet"):
        chip_estimate(ChipRequest("lenett"))


def test_the_result_is_json():
    record = estimate_to_dict(chip_estimate(ChipRequest("dscnn", "cortex-m4", input_shape=(32, 32, 3))))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["ram_bytes"]["total"] == record["ram_bytes"]["buffers"] + record["ram_bytes"]["runtime"]
    assert record["cycles"] == pytest.approx(sum(layer["cycles"] for layer in record["layers"]))
    assert record["milliseconds"] == pytest.approx(record["cycles"] / 120e3) and record["sources"]


def test_an_estimate_does_not_import_tensorflow():
    program = (
        "import sys; from qatviz.session.chip import *; chip_estimate(ChipRequest('lenet'));"
        "sys.exit('tensorflow' in sys.modules)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
