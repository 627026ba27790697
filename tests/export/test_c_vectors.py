"""The C runtime's loops with and without vector instructions: all compute the simulator's integers."""

import numpy as np
import pytest
from integer_cases import model_of
from test_c_model import MORE, check_layers, compiler, sanitizers  # noqa: F401  (two are fixtures)
from test_tflite_lowering import everything

from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner
from qatviz.export.integers.simulator import run_codes
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool

#: Flags of each variant. Rows of 16 or 32 numbers are shorter than most windows, which are then summed in parts.
VARIANTS = {
    "best": (),
    "sse2": ("-DQATVIZ_NN_NO_AVX2",),
    "portable": ("-DQATVIZ_NN_PORTABLE",),
    "short rows": ("-DQATVIZ_NN_TAPS=16",),
    "short rows, sse2": ("-DQATVIZ_NN_TAPS=32", "-DQATVIZ_NN_NO_AVX2"),
    "short rows, portable": ("-DQATVIZ_NN_TAPS=32", "-DQATVIZ_NN_PORTABLE"),
}
NAMES = ("int8", "int4", "affine_by_channel")


def many_channels():
    """Return a network whose numbers of channels and of taps are above those of a vector, and no multiples of them."""
    net = NetworkBuilder("many", (7, 6, 21))
    net.add(Conv2D, "conv", filters=37, kernel_size=3)
    net.add(Conv2D, "dilated", filters=66, kernel_size=(3, 2), dilation=2)
    net.add(DepthwiseConv2D, "depthwise", kernel_size=3)
    net.add(MaxPool, "max_pool", pool_size=3, strides=2, padding="SAME")
    trunk = net.add(DepthwiseConv2D, "depthwise_dilated", kernel_size=2, dilation=2)
    net.add(Conv2D, "pointwise", filters=66, kernel_size=1)
    net.add(Add, "sum", inputs=(trunk, net.last))
    net.add(Flatten, "flatten")
    net.add(Dense, "hidden", units=35)
    net.add(Dense, "logits", units=10)
    return net.network()


@pytest.mark.parametrize("setting", NAMES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.always("*-int8", "best-*")
def test_every_variant_computes_the_integers_of_the_simulator(variant, setting, compiler, sanitizers):
    model = model_of(many_channels(), *MORE[setting])
    found = check_layers(model, compiler, (*sanitizers, *VARIANTS[variant]), 6, pack_int4=setting == "int4")
    assert all(len(np.unique(codes)) > 1 for codes in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("setting", NAMES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("build", [everything, many_channels])
def test_optimized_variants_compute_the_same(build, variant, setting, compiler):
    flags = (*VARIANTS[variant], "-O3")
    check_layers(model_of(build(), *MORE[setting]), compiler, flags, pack_int4=setting == "int4", optimized=True)


def extremes():
    """Return a model with the largest products of 8 bits, its inputs, and the codes of its layers.

    Zero points are at the ends; there are more taps than a row has.
    """
    net = NetworkBuilder("extremes", (2, 2, 700))
    net.add(Conv2D, "conv", filters=5, kernel_size=2, padding="VALID", use_bias=False)
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    weights = np.ones((2, 2, 700, 5)) * np.array([1, -1, 1, -1, 0.5])
    ranges = {"input.activations": (0.0, 255.0), "conv.activations": (-800000.0, 800000.0)}
    model = model_of(net.network(), {"symmetric": True}, ranges=ranges, conv__weights=weights)
    codes = np.stack([np.full((2, 2, 700), code) for code in (-128, 0, 127)]).astype(np.int32)
    return model, codes, run_codes(model, codes, ["conv", "logits"])


def test_extreme_codes_and_weights_do_not_overflow(compiler, sanitizers):
    model, codes, expected = extremes()
    for flags in VARIANTS.values():
        source = c_model(model, codes[:1], expected["logits"][:1])
        with CRunner(source, compiler, True, (*sanitizers, *flags, "-O0")) as runner:
            found = runner.run(codes)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
