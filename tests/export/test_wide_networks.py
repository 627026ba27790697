"""Networks with activations of more than 8 bits beside ones of fewer, and with channels whose weights are all zero."""

import numpy as np
import pytest
from integer_cases import book_of, network_of, state_of
from test_c_model import compiled, compiler, source_of
from test_tflite_litert import litert
from test_tflite_lowering import everything

from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize, run_codes
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import BUILTIN, XNNPACK, LitertRunner
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflm.sources import operators
from qatviz.network.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, ReLU

assert compiler and litert  # fixtures

#: Numbers of bits that the groups of activations have in turn.
BITS = {"8 and 16": (8, 16), "4 to 16": (4, 16, 8, 12, 6, 9), "one of 9": (8, 8, 9)}


def slow(*values):
    """Return parameters of a slow test."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Case:
    """A state of a network, its integer model, and codes of its input, int32 ``[32, ...]``."""

    def __init__(self, network, book, state):
        self.network, self.book, self.state = network, book, state
        self.model = integer_model(network, book, state)
        source = self.model.tensor("input")
        low, high = source.bounds
        self.codes = np.random.RandomState(0).randint(low, high + 1, (32, *source.shape)).astype(np.int32)
        self.names = [op.output for op in self.model.ops]
        self.expected = run_codes(self.model, self.codes, self.names)

    def check(self, run):
        """Check that every code of a runtime is the simulator's."""
        found = run(self.codes)
        for name in self.names:
            np.testing.assert_array_equal(found[name], self.expected[name], name)

    def check_evaluation(self):
        assert len(np.unique(self.expected["logits"])) > 20, "the logits say nothing"
        with EvaluationGraph(self.network, self.book, self.state) as graph:
            logits = graph.logits(dequantize(self.model.tensor("input"), self.codes))
        np.testing.assert_array_equal(codes_of(logits, self.model.logits), self.expected["logits"])

    def check_litert(self, litert, kernels):
        file = tflite_model(self.model, outputs=self.names, int16=True)
        assert "QUANTIZE" not in operators(file.content), "codes are stored alike"
        with LitertRunner(litert, file, kernels) as runner:
            self.check(runner.run)


def mixed(bits, symmetric=False):
    """Return a network of all layers whose activations have the numbers of bits in turn."""
    network = everything()
    book = book_of(network, {"symmetric": True, "per_channel": True}, {"num_bits": 8, "symmetric": symmetric})
    leaders = [book.plan.tensors[members[0]] for members in book.plan.groups]
    activations = [tensor.name for tensor in leaders if tensor.kind == "activations"]
    changes = [(f"{name}.num_bits", BITS[bits][place % len(BITS[bits])]) for place, name in enumerate(activations)]
    changes.append(("logits.activations.num_bits", max(BITS[bits])))
    # 16 bits with a zero point don't fit int16.
    changes += [(name.replace("num_bits", "symmetric"), True) for name, number in changes if number == 16]
    return Case(network, book.change(changes)[0], state_of(network))


def with_empty_channels(bits, per_channel, source_bits=None):
    """Return a network in which half of the channels, and all of a Dense, have weights of 0 and biases of all sizes."""
    network = network_of(
        (6, 6, 4),
        (Conv2D, "conv", {"filters": 64, "kernel_size": 3}),
        (ReLU, "relu", {}),
        (DepthwiseConv2D, "depthwise", {"kernel_size": 2}),
        (Flatten, "flat", {}),
        (Dense, "empty", {"units": 200}),
        (Dense, "logits", {"units": 40}),
    )
    weights, activations = {"symmetric": True, "per_channel": per_channel}, {"num_bits": bits, "symmetric": True}
    book = book_of(network, weights, activations)
    if source_bits is not None:
        book, _ = book.change([("input.activations.num_bits", source_bits)])
    state, random = state_of(network), np.random.RandomState(1)
    for name, channels in (("conv", 64), ("depthwise", 64), ("empty", 200), ("logits", 40)):
        columns = state[name + ".weights"].reshape(-1, channels)
        columns[:, :: 1 if name == "empty" else 2] = 0
        biases = random.uniform(-8, 8, channels)
        biases[::4] = 0
        state[name + ".bias"] = biases.astype(np.float32)
    return Case(network, book, state)


@pytest.mark.parametrize("symmetric", [False, slow(True)])
@pytest.mark.parametrize("bits", sorted(BITS))
def test_the_evaluation_of_mixed_widths_computes_the_simulators_codes(bits, symmetric):
    mixed(bits, symmetric).check_evaluation()


@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("bits", sorted(BITS))
def test_litert_computes_mixed_widths_alike(bits, kernels, litert):
    for symmetric in (False, True):
        mixed(bits, symmetric).check_litert(litert, kernels)


@pytest.mark.parametrize("bits", [name if name == "4 to 16" else slow(name) for name in sorted(BITS)])
def test_c_computes_mixed_widths_alike(bits, compiler):
    case = mixed(bits)
    with compiled(source_of(case.model), compiler, layers=True) as runner:
        case.check(runner.run)


#: Numbers of bits of activations, weights per channel, number of bits of the input if it has others.
EMPTY = [(16, True, None), (16, True, 8), slow(16, False, None), slow(9, True, None)]


@pytest.mark.parametrize("bits, per_channel, source_bits", [*EMPTY, slow(8, True, None)])
def test_the_evaluation_of_empty_channels_computes_the_simulators_codes(bits, per_channel, source_bits):
    with_empty_channels(bits, per_channel, source_bits).check_evaluation()


@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("bits, per_channel, source_bits", EMPTY)
def test_litert_computes_empty_channels_alike(bits, per_channel, source_bits, kernels, litert):
    with_empty_channels(bits, per_channel, source_bits).check_litert(litert, kernels)
