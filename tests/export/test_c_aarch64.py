"""C on 64-bit Arm with its vectors of 16 bytes (NEON), in QEMU: the simulator's codes."""

import os
from pathlib import Path

import numpy as np
import pytest
from integer_cases import model_of
from test_c_model import MORE, check_layers
from test_c_vectors import extremes, many_channels
from test_tflite_lowering import everything

from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler

COMPILER = Path(__file__).resolve().parent / "aarch64-cc"


@pytest.fixture(scope="module")
def aarch64():
    try:
        return find_compiler(dict(os.environ, CC=str(COMPILER)))
    except NoCompiler as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("setting", ["int8", "int4"])
def test_vectors_compute_the_integers_of_the_simulator(setting, aarch64):
    model = model_of(many_channels(), *MORE[setting])
    found = check_layers(model, aarch64, count=6, pack_int4=setting == "int4", optimized=True)
    assert all(len(np.unique(codes)) > 1 for codes in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(MORE))
def test_every_kind_of_operation_computes_the_same(setting, aarch64):
    check_layers(model_of(everything(), *MORE[setting]), aarch64, optimized=True)


def test_extreme_codes_and_weights_do_not_overflow(aarch64):
    model, codes, expected = extremes()
    with CRunner(c_model(model, codes[:1], expected["logits"][:1]), aarch64, True, ("-O3",)) as runner:
        found = runner.run(codes)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
