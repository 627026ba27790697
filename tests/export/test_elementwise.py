"""Sums, differences, averages and extremes of two tensors, one of which may be repeated, in every runtime."""

import numpy as np
import pytest
from layer_cases import LayerCase
from test_activations import most_slow
from test_c_model import compiler
from test_tflite_litert import litert

from qatviz.network.elementwise import Add, Average, Maximum, Minimum, Multiply, Subtract
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Conv2D, Dense, DepthwiseConv2D, Flatten, GlobalAveragePool, ReLU, Reshape
from qatviz.network.matmul import MatMul

assert compiler and litert  # fixtures

SETTINGS = {
    "int8": ({"symmetric": True, "per_channel": True}, {}),
    "int8, all symmetric": ({"symmetric": True}, {"symmetric": True}),
    "5 bits": ({"symmetric": True}, {"num_bits": 5, "narrow_range": True}),
    "12 bits": ({"symmetric": True}, {"num_bits": 12}),
    "uint8": ({}, {}),
    "powers of two": ({"symmetric": True}, {"power_of_two": True}),
}
WIDE = ("12 bits",)


def combined_network():
    """Return a network with each kind, of two images and of an image and a pixel."""
    net = NetworkBuilder("combined", (5, 4, 3))
    left = net.add(Conv2D, "left", filters=12, kernel_size=3)
    right = net.add(Conv2D, "right", inputs="input", filters=12, kernel_size=1)
    pixel = net.add(Reshape, "pixel", inputs=net.add(GlobalAveragePool, "mean"), target_shape=(1, 1, 12))
    net.add(Subtract, "difference", inputs=(left, right))
    difference = net.add(ReLU, "difference_relu")
    shifted = net.add(Subtract, "shifted", inputs=(pixel, difference))
    average = net.add(Average, "average", inputs=(left, shifted))
    repeated = net.add(Average, "repeated_average", inputs=(pixel, average))
    added = net.add(Add, "added", inputs=(repeated, pixel))
    net.add(Add, "added_first", inputs=(pixel, added))
    net.add(ReLU, "added_relu")
    third = net.add(Conv2D, "third", filters=12, kernel_size=1)
    fourth = net.add(Conv2D, "fourth", inputs=right, filters=12, kernel_size=1)
    larger = net.add(Maximum, "larger", inputs=(third, fourth))
    net.add(Minimum, "smaller", inputs=(larger, net.add(Conv2D, "fifth", inputs=left, filters=12, kernel_size=1)))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=5)
    return net.network()


def case_of(setting):
    return LayerCase(combined_network(), *SETTINGS[setting])


@pytest.mark.parametrize("setting", sorted(set(SETTINGS).difference(WIDE)))
def test_sums_are_rounded_half_up_and_extremes_copied(setting):
    case = case_of(setting)
    for name, exact in (
        ("difference", lambda x, y: np.maximum(x - y, 0)),
        ("shifted", lambda x, y: x - y),
        ("average", lambda x, y: (x + y) / 2),
        ("repeated_average", lambda x, y: (x + y) / 2),
        ("added", lambda x, y: x + y),
        ("larger", np.maximum),
        ("smaller", np.minimum),
    ):
        case.check_rounded(name, exact(*case.real(name)[0]))
    plan = case.book.plan
    assert plan.grid_of("third") != plan.grid_of("fourth")
    groups = {plan.tensor(plan.grid_of(name)).group for name in ("third", "fourth", "larger", "fifth", "smaller")}
    assert groups == {"third.activations"}


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_the_evaluation_computes_the_same(setting):
    case_of(setting).check_evaluation()


@pytest.mark.parametrize("setting", most_slow(list(SETTINGS)))
def test_c_computes_the_same(setting, compiler):
    case_of(setting).check_c(compiler)


@pytest.mark.parametrize("setting", most_slow([name for name in SETTINGS if name not in ("uint8", "powers of two")]))
def test_litert_computes_the_same(setting, litert):
    # LiteRT's int16 ADD that repeats a tensor rounds the term of the smaller scale twice.
    least, most = (0.9995, 1) if setting in WIDE else (1.0, 0)
    case_of(setting).check_litert(litert, least=least, most=most, int16=setting in WIDE)


@pytest.mark.parametrize("form", [{}, {"storage": "int8", "layout": "nchw"}, {"exact": True}], ids=str)
@pytest.mark.parametrize("setting", most_slow([name for name in SETTINGS if name not in WIDE]))
def test_onnxruntime_computes_the_same(setting, form):
    in_float = form.get("storage") == "int8"
    case_of(setting).check_onnx(0.999 if in_float else 1.0, 2 if in_float else 0, **form)


def doubled_network():
    """Return a network whose operations on two tensors have the same one twice."""
    net = NetworkBuilder("doubled", (4, 4, 3))
    net.add(Conv2D, "conv", filters=4, kernel_size=3, padding="SAME")
    for kind in (Add, Multiply, Maximum, MatMul, Subtract, Concat):
        net.add(kind, "twice_" + kind.__name__.lower(), inputs=(net.last, net.last))
        if kind is Subtract:
            net.add(Add, "and_conv", inputs=(net.last, "conv"))
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=3)
    return net.network()


@pytest.mark.parametrize("form", [{}, {"storage": "int8"}, {"exact": True}], ids=str)
def test_onnxruntime_accepts_the_same_tensor_twice(form, tmp_path):
    """Version 1.10 failed at a second input from the same DequantizeLinear."""
    case = LayerCase(doubled_network(), *SETTINGS["int8"])
    case.check_onnx(0.999, 1, **form)
    case.check_current_onnxruntime(tmp_path, 0.999, 1, **form)


@pytest.mark.parametrize("form", [{}, {"exact": True}], ids=str)
def test_a_current_onnxruntime_computes_the_same(form, tmp_path):
    case_of("int8").check_current_onnxruntime(tmp_path, **form)


@pytest.mark.parametrize("setting", ["int8", "12 bits"])
def test_the_description_of_an_npz_says_how_they_are_computed(setting):
    case_of(setting).check_npz()


def test_tensorflow_graphs_compute_the_same():
    case_of("int8").check_graphs()


def test_the_parts_of_a_prelu_compute_the_same_in_every_runtime(litert, compiler):
    net = NetworkBuilder("prelu", (5, 4, 3))
    conv = net.add(Conv2D, "conv", filters=6, kernel_size=3)
    positive = net.add(ReLU, "positive")
    net.add(Subtract, "negative", inputs=(conv, positive))
    slope = net.add(DepthwiseConv2D, "slope", kernel_size=1, use_bias=False)
    net.add(Add, "prelu", inputs=(positive, slope))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=5)
    case = LayerCase(net.network(), *SETTINGS["int8"])
    (x,), _ = case.real("positive")
    assert (x < 0).any() and (case.real("negative")[0][0] - case.real("negative")[0][1] <= 0).all()
    case.check_litert(litert)
    case.check_c(compiler)
    case.check_onnx()
    case.check_evaluation()
