"""Logits of evaluation graph and integer model agree code by code, for all kinds of networks."""

from contextlib import ExitStack

import numpy as np
import pytest
from exhaustive import EXHAUSTIVE
from integer_cases import simulate
from parity_cases import Trained, calibrated, digits

from qatviz.protocol.settings_book import SettingsBook

SETTINGS = {
    "int8": {"preset": "tflite-int8"},
    "int8-per-tensor": {"preset": "tflite-int8", "weights": {"per_channel": False}},
    "int4": {"preset": "int4"},
    "2-bit": {"preset": "tflite-int8", "weights": {"num_bits": 2}},
    "4-bit-activations": {"preset": "tflite-int8", "activations": {"num_bits": 4}},
    "asymmetric-7-bit": {"preset": "uint8-affine", "weights": {"num_bits": 7, "narrow_range": False}},
    "asymmetric-8-bit": {"preset": "uint8-affine", "weights": {"narrow_range": False}},
    "asymmetric-8-bit-per-channel": {"preset": "uint8-affine", "weights": {"narrow_range": False, "per_channel": True}},
    "symmetric-activations": {
        "preset": "tflite-int8",
        "weights": {"narrow_range": False},
        "activations": {"symmetric": True},
    },
    "12-bit-activations": {"preset": "tflite-int8", "activations": {"num_bits": 12}},
    "16-bit-activations": {"preset": "tflite-int8", "activations": {"num_bits": 16, "symmetric": True}},
    "binary": {"preset": "tflite-int8", "weights": {"num_bits": 1}},
    "binary-per-tensor": {"preset": "uint8-affine", "weights": {"num_bits": 1}},
    "ternary-map": {"preset": "tflite-int8", "weights": {"weight_map": "ternary"}},
    "tanh-3-bit": {"preset": "tflite-int8", "weights": {"weight_map": "tanh", "num_bits": 3}},
    "tanh-8-bit": {"preset": "uint8-affine", "weights": {"weight_map": "tanh"}},
    "power-of-two": {"preset": "tflite-int8", "weights": {"power_of_two": True}, "activations": {"power_of_two": True}},
}
#: Smallest fraction of identical codes, largest difference, smallest fraction of equal top-1. The graph is exact except
#: for accumulators of more than 22 bits, such as in Dense layers with many inputs.
EXACT, LONG_SUMS = (1.0, 0, 1.0), (0.998, 1, 1.0)
SHALLOW, DEEP, DEEPEST = ("mlp", "lenet"), ("dscnn", "resnet8"), ("mobilenet", "mobilenetv2")
#: Number of digits and of random inputs.
EXAMPLES, DEEP_EXAMPLES, ALL_EXAMPLES = 128, 32, 1000
FEW_SETTINGS = ("int8", "int4", "4-bit-activations", "asymmetric-8-bit", "16-bit-activations", "power-of-two")
#: Settings with activations of more than 8 bits, whose sums are exact whatever their length.
WIDE_SETTINGS = ("12-bit-activations", "16-bit-activations")
#: Include trained networks, and all settings on all examples, which takes minutes.


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name not in SHALLOW else []) for name in SHALLOW + DEEP + DEEPEST
    ],
)
def case(request):
    """Return a network, its name, and the inputs to compare."""
    name = request.param
    count = ALL_EXAMPLES if EXHAUSTIVE else EXAMPLES if name in SHALLOW else DEEP_EXAMPLES
    with ExitStack() as stack:
        train = EXHAUSTIVE and name != "mobilenetv2"
        network = stack.enter_context(Trained(name)) if train else calibrated(name)
        seen = digits(network.network.input_shape, count)
        yield name, network, [seen, np.random.RandomState(0).uniform(0, 1, seen.shape).astype(np.float32)]


def same_top1(expected, found):
    """Return a mask of examples with the same largest value."""
    rows = np.arange(len(expected))
    return (expected[rows, found.argmax(axis=1)] == expected.max(axis=1)) | (
        found[rows, expected.argmax(axis=1)] == found.max(axis=1)
    )


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_logits_of_the_integer_model_equal_the_evaluation_graphs(case, setting):
    name, network, inputs = case
    if name in DEEPEST and setting not in FEW_SETTINGS and not EXHAUSTIVE:
        pytest.skip("takes long: QATVIZ_EXHAUSTIVE=1 asks for it")
    identical, largest, top1 = LONG_SUMS if name == "mlp" and setting not in WIDE_SETTINGS else EXACT
    book = SettingsBook.from_preset(network.plan, **SETTINGS[setting])
    model = network.model(book)
    for what, images in zip(("digits", "random inputs"), inputs):
        steps = network.logits(book, images).astype(np.float64) / model.logits.scale + model.logits.zero_point
        expected = np.floor(steps + 0.5).astype(np.int64)
        assert np.abs(steps - expected).max() < 1e-2, "the graph's logits are not on their grid"
        assert what != "digits" or len(np.unique(expected)) > 4, "the logits say nothing"
        found = simulate(model, images)
        difference = np.abs(expected - found)
        share, agreement = np.mean(difference == 0), np.mean(same_top1(expected, found))
        measured = (
            f"{name}, {setting}, {what}: {share:.3%} identical, at most {difference.max()} apart, {agreement:.2%} top-1"
        )
        print(measured)
        assert share >= identical and difference.max() <= largest and agreement >= top1, measured
