"""Softmax within a network: the same codes of probabilities in evaluation, simulator and every runtime."""

import numpy as np
import pytest
from integer_cases import book_of
from layer_cases import LayerCase
from test_c_model import compiler
from test_tflite_litert import litert

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.elementwise import Multiply
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, GlobalAveragePool, Reshape, Softmax

assert compiler and litert  # fixtures

SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5}),
    "12 bits": ({"symmetric": True}, {"num_bits": 12}),
}


def attention():
    """Return a network that weights pixels by a softmax over their channels, and channels by one over features."""
    net = NetworkBuilder("attention", (5, 4, 3))
    trunk = net.add(Conv2D, "trunk", filters=12, kernel_size=3)
    net.add(Conv2D, "scores", filters=12, kernel_size=1)
    pixels = net.add(Softmax, "pixel_weights")
    weighted = net.add(Multiply, "weighted", inputs=(trunk, pixels))
    net.add(GlobalAveragePool, "squeeze")
    net.add(Dense, "expand", units=12)
    net.add(Softmax, "channel_weights")
    net.add(Reshape, "gates", target_shape=(1, 1, 12))
    net.add(Multiply, "gated", inputs=(net.last, weighted))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=5)
    net.add(Softmax, "probabilities")
    return net.network()


def case_of(setting):
    return LayerCase(attention(), *SETTINGS[setting])


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_probabilities_have_a_fixed_range_and_the_nearest_code(setting):
    case = case_of(setting)
    bits = SETTINGS[setting][1].get("num_bits", 8)
    for name in ("pixel_weights", "channel_weights"):
        tensor = case.model.tensor(name)
        assert (tensor.scale, tensor.zero_point) == (2.0**-bits, -(2 ** (bits - 1)))
        exact = softmax_of(case.real(name)[0][0]) / tensor.scale + tensor.zero_point
        error = np.abs(np.minimum(exact, tensor.bounds[1]) - case.expected[name])
        assert error.max() <= 0.5 + 2**-12 and len(np.unique(case.expected[name])) > 5
    assert case.model.softmax == "probabilities" and "probabilities" not in case.outputs


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_evaluation_computes_the_same(setting):
    case_of(setting).check_evaluation()


def test_litert_computes_the_same(litert):
    case_of("int8").check_litert(litert)


def test_c_computes_the_same(compiler):
    case_of("int8").check_c(compiler)


@pytest.mark.parametrize("form", [{}, {"exact": True}], ids=str)
def test_onnxruntime_computes_nearly_the_same(form, tmp_path):
    case_of("int8").check_onnx(0.999, 1, **form)
    case_of("int8").check_current_onnxruntime(tmp_path, 0.999, 1, **form)


@pytest.mark.parametrize("setting", ["int8", "5 bits"])
def test_the_description_of_an_npz_says_how_it_is_computed(setting):
    case_of(setting).check_npz()


def test_tensorflow_graphs_compute_nearly_the_same():
    case_of("int8").check_graphs(least=0.999, most=1)


@pytest.mark.parametrize("setting, reason", [("5 bits", "SOFTMAX has 8-bit"), ("12 bits", "activations are int16")])
def test_other_grids_are_refused_with_a_remedy(setting, reason):
    case = case_of(setting)
    options = FORMATS["tflite"].with_defaults()
    told = FORMATS["tflite"].limits(case.network, case.book, None, dict(options, int16=setting == "12 bits"))
    assert [name for name in map(str, told) if reason in name and "possible with" in name]
    with pytest.raises(ExportError, match=reason):
        tflite_model(case.model, int16=setting == "12 bits")


def test_the_settings_of_a_supported_grid_are_not_refused():
    network, tflite = attention(), FORMATS["tflite"]
    assert not tflite.limits(network, book_of(network, {"symmetric": True}), None, tflite.with_defaults())
