"""Computed arenas, compared with what the allocator of tflite-micro reports for exported files."""

import re

import pytest
from test_matmul import products_network
from test_tflite_lowering import everything

from qatviz.analysis.chip.arena import IN_PYTHON, arena
from qatviz.export.formats import format_named
from qatviz.export.integers.lowering import exported_model
from qatviz.export.newer_python import output_of
from qatviz.export.source import ExportSource
from qatviz.export.tflite.files import tflm_files
from qatviz.export.tflm.graph import chip_graph
from qatviz.export.tflm.runtime import MicroMissing, find_micro
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.sizes import completed_arrays, stand_in_data

#: Program that prints the allocator's records, which TFLite Micro writes to the standard error.
_PROGRAM = """
import os, sys
os.dup2(1, 2)
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.from_file("model", arena_size=int(sys.argv[1])).print_allocations()
"""
_ENOUGH = 4_000_000
#: Networks, their presets, changes of settings, and options of the export.
CASES = {
    "all layers": (everything, "tflite-int8", (), {}),
    "products of activations": (products_network, "tflite-int8", (), {}),
    "mlp": ("mlp", "tflite-int8", (), {}),
    "lenet": ("lenet", "tflite-int8", (), {"softmax": True}),
    "dscnn": ("dscnn", "tflite-int8", (), {}),
    "resnet8": ("resnet8", "tflite-int8", (), {}),
    "mobilenet": ("mobilenet", "tflite-int8", (), {}),
    "resnet8 with int4": ("resnet8", "int4", (), {"int4": True}),
    "dscnn with clamps": ("dscnn", "tflite-int8", (("*.activations.num_bits", 5),), {}),
    "lenet with int16": ("lenet", "tflite-int8", (("*.activations.num_bits", 12),), {"int16": True}),
}


def exported(name):
    made, preset, changes, options = CASES[name]
    if isinstance(made, str):
        network = zoo.build(made, (28, 28, 1) if made in ("mlp", "lenet") else (32, 32, 3), 10)
    else:
        network = made()
    book = SettingsBook.from_preset(quantization_plan(network), preset).change(changes)[0]
    arrays = completed_arrays(network, book, {})
    source = ExportSource(network, book, arrays, stand_in_data(network, {}), None, {}, None)
    return tflm_files(exported_model(source), format_named("tflm").with_defaults(options)).shipped.content


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_arena_is_that_of_tflite_micro(name):
    try:
        micro = find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))
    content = exported(name)
    printed = output_of(micro.python, _PROGRAM, content, [str(_ENOUGH)])
    assert printed is not None
    total, head, _tail = (int(number) for number in re.findall(r"Arena allocation \w+ (\d+) bytes", printed))
    found = arena(chip_graph(content, {}), layout=IN_PYTHON)
    assert found.head == head, "buffers are placed by the same algorithm"
    assert found.nbytes == pytest.approx(total, rel=0.05)
