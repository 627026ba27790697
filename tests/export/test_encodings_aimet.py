"""Encodings in AIMET: its loaders set every quantizer to our grids, and its simulation computes our codes.

Without a Python that has AIMET (see :mod:`newer_aimet`), these tests are skipped.
"""

import json

import newer_aimet
import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of
from test_tflite_lowering import everything

from qatviz.export.encodings.format import to_json
from qatviz.export.encodings.limits import DICTIONARIES, VERSIONS
from qatviz.export.encodings.tensors import BIAS, WEIGHTS, encoded_tensors
from qatviz.export.encodings.torch_format import to_torch_json
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.onnx_float.lowering import float_file
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool, ReLU, ReLU6
from qatviz.quant.affine import code_bounds

#: Settings of weights and activations.
SETTINGS = {
    "int8": (INT8, {}),
    "asymmetric 4 and 16 bits": ({"num_bits": 4}, {"num_bits": 16}),
    "symmetric activations": ({"symmetric": True}, {"num_bits": 8, "symmetric": True}),
}
#: Smallest fraction of codes that AIMET's simulation and its definition of rounding have in common, and their largest
#: difference; sums in float may be in another order.
BY_DEFINITION = (0.99, 1)
#: Smallest fraction of logit codes that the evaluation graph and AIMET have in common, and their largest difference, by
#: the bits of activations. AIMET leaves biases and average pools in float, and aimet-torch rounds ties to even. Above 8
#: bits, multipliers of the evaluation graph have 15 bits, as those of TFLite's int16 kernels: codes of up to 65,535 are
#: moved by up to a quantization step in each layer.
IDENTICAL = {8: (0.85, 1), 16: (0.6, 3)}
#: What AIMET's graph adds no quantizer to, or delegates to the layer before; their values are on that layer's grid.
COPIES = ("pad", "max_pool", "widen", "slice", "swapped", "moved", "reshape", "flatten")


class Case:
    """A network with settings and random parameters: its state, its tensors, inputs and expected outputs."""

    def __init__(self, network, weights, activations, changes=()):
        book, self.arrays = book_of(network, weights, activations), state_of(network)
        self.network, self.book = network, book.change(list(changes))[0] if changes else book
        self.state = PartlyQuantizedState(network, self.book, self.arrays)
        self.tensors, _ = encoded_tensors(self.state)
        shape = (64, *network.input_shape)
        self.images = np.random.RandomState(2).standard_normal(shape).astype(np.float32) * 2
        with EvaluationGraph(network, self.book, self.arrays) as graph:
            self.expected = graph.logits(self.images)

    def in_float(self):
        return fake_quant_model(self.network, self.book, self.arrays, quantized=False)

    def check_outputs(self, found, defined):
        """Compare outputs, in quantization steps of the logits, with AIMET's definition and with our evaluation."""
        grid = next(tensor.grid for tensor in self.tensors if tensor.name == "logits")
        bars = (defined, BY_DEFINITION), (self.expected, IDENTICAL[grid.num_bits])
        for expected, (identical, largest) in bars:
            steps = np.abs(found - expected) / grid.scale
            assert np.mean(steps < 0.25) >= identical, np.mean(steps < 0.25)
            assert steps.max() < largest + 0.25, steps.max()


def is_same(tensor, found, narrow=False):
    """Return whether a quantizer has the grid of a tensor; ``narrow``: it counts codes from the lowest one in use."""
    scales, offsets, bits = found
    lowest = code_bounds(bits, narrow and tensor.grid.narrow_range)[0]
    return (
        np.array_equal(np.float32(scales), np.broadcast_to(tensor.grid.scale.reshape(-1), len(scales)))
        and np.array_equal(np.round(offsets), np.broadcast_to(lowest - tensor.grid.zero_point.reshape(-1), len(scales)))
        and bits == tensor.grid.num_bits
    )


@pytest.fixture(scope="session")
def aimet_onnx():
    return newer_aimet.find("aimet_onnx") or pytest.skip(newer_aimet.MISSING.format("aimet-onnx"))


@pytest.fixture(scope="session")
def aimet_torch():
    return newer_aimet.find("aimet_torch") or pytest.skip(newer_aimet.MISSING.format("aimet-torch"))


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "partly in float"])
def test_aimet_onnx_loads_every_version_into_the_float_file(setting, aimet_onnx, tmp_path):
    weights, activations = SETTINGS.get(setting, (INT8, {}))
    changes = []
    if setting == "partly in float":
        changes = [("conv.weights.enabled", False), ("one.activations.enabled", False)]
    case = Case(everything(), weights, activations, changes)
    model, files = float_file(case.in_float()).content, [to_json(case.tensors, version) for version in VERSIONS]
    results = newer_aimet.load_onnx(aimet_onnx, tmp_path, model, case.images, files)
    defined = newer_aimet.onnx_arithmetic(aimet_onnx, tmp_path)
    for version, (grids, outputs) in zip(VERSIONS, results):
        for tensor in case.tensors:
            # Biases of 32 bits are left in float.
            if tensor.grid is None or tensor.kind == BIAS:
                assert tensor.name not in grids, (version, tensor.name)
            elif tensor.name not in COPIES or tensor.name in grids:
                assert is_same(tensor, grids[tensor.name], version == DICTIONARIES), (
                    version,
                    tensor,
                    grids[tensor.name],
                )
        case.check_outputs(outputs, defined)


#: A chain of layers, and the same as layers of torch; batch norm is folded.
CHAIN = network_of(
    (8, 8, 1),
    (Conv2D, "conv", {"filters": 8, "use_bias": False}),
    (BatchNorm, "bn", {}),
    (ReLU, "relu", {}),
    (MaxPool, "pool", {}),
    (DepthwiseConv2D, "depthwise", {}),
    (ReLU6, "relu6", {}),
    (Conv2D, "linear", {"filters": 4, "kernel_size": 1}),
    (Flatten, "flat", {}),
    (Dense, "logits", {"units": 4}),
)
IN_TORCH = [
    ("conv", "Conv2d", (1, 8, 3, 1, 1)),
    ("relu", "ReLU", ()),
    ("pool", "MaxPool2d", (2,)),
    ("depthwise", "Conv2d", (8, 8, 3, 1, 1, 1, 8)),
    ("relu6", "ReLU6", ()),
    ("linear", "Conv2d", (8, 4, 1)),
    ("flat", "Flatten", ()),
    ("logits", "Linear", (64, 4)),
]


def chain_weights(model):
    """Return the weights of CHAIN in float, as torch has them."""
    found = {}
    for part in model.units:
        if part.weights is None:
            continue
        values, name = part.weights.values, part.unit.name
        if name == "depthwise":
            values = values.reshape(*values.shape[:2], 1, -1)
        if name == "logits":  # torch flattens channels first
            values = values.reshape(4, 4, 4, 4).transpose(2, 0, 1, 3).reshape(64, 4)
        found[name + ".weight"] = values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1)
        found[name + ".bias"] = part.weights.bias
    return found


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "partly in float"])
def test_aimet_torch_loads_the_file_by_modules(setting, aimet_torch, tmp_path):
    weights, activations = SETTINGS.get(setting, (INT8, {}))
    changes = []
    if setting == "partly in float":
        changes = [("conv.weights.enabled", False), ("linear.activations.enabled", False)]
    case = Case(CHAIN, weights, activations, changes)
    grids, outputs, defined = newer_aimet.load_torch(
        aimet_torch,
        tmp_path,
        IN_TORCH,
        chain_weights(case.in_float()),
        case.images.transpose(0, 3, 1, 2),
        to_torch_json(case.tensors, case.state.plan),
    )
    expected = {}
    for tensor in case.tensors:
        if tensor.grid is not None and tensor.kind != BIAS and tensor.name not in ("pool", "flat"):
            name = tensor.name[:-1] if tensor.kind == WEIGHTS else tensor.name + ".output"
            expected["conv.input" if tensor.name == "input" else name] = tensor
    assert sorted(grids) == sorted(expected)
    for name, tensor in expected.items():
        assert is_same(tensor, grids[name]), (tensor, grids[name])
    case.check_outputs(outputs, defined)


@pytest.mark.slow
def test_the_first_module_may_only_move_values(aimet_torch, tmp_path):
    network = network_of((4, 3, 1), (Flatten, "flat", {}), (Dense, "logits", {"units": 4}))
    case = Case(network, INT8, {})
    grids, outputs, defined = newer_aimet.load_torch(
        aimet_torch,
        tmp_path,
        [("flat", "Flatten", ()), ("logits", "Linear", (12, 4))],
        {"logits.weight": case.arrays["logits.weights"].T, "logits.bias": case.arrays["logits.bias"]},
        case.images.transpose(0, 3, 1, 2),
        to_torch_json(case.tensors, case.state.plan),
    )
    assert is_same(case.tensors[0], grids["flat.input"])
    case.check_outputs(outputs, defined)


def test_the_file_by_modules_has_one_encoding_for_each_channel():
    """AIMET's quantizers of weights are per channel in all its standard configurations, and refuse a single one."""
    case = Case(CHAIN, {"symmetric": True, "num_bits": 5, "narrow_range": True}, {})
    record = json.loads(to_torch_json(case.tensors, case.state.plan).decode())
    assert sorted(record["param_encodings"]) == [
        "conv.weight",
        "depthwise.weight",
        "linear.weight",
        "logits.weight",
    ]
    entries = record["param_encodings"]["conv.weight"]
    assert len(entries) == 8 and entries[0] == entries[7] and entries[0]["is_symmetric"] == "True"
    # All 32 codes, although the lowest one is not in use: the scale is the range divided by 31.
    assert entries[0]["min"] == -16 * entries[0]["scale"] and entries[0]["offset"] == -16
    assert record["activation_encodings"]["conv"].keys() == {"input"}
    assert record["activation_encodings"]["relu"].keys() == {"output"}
    assert sorted(record["activation_encodings"]) == ["conv", "linear", "logits", "relu", "relu6"]


def test_scales_follow_exactly_from_the_ends_of_ranges():
    """AIMET's quantizers know the ends only, and divide in float32."""
    count = 0
    for setting in SETTINGS.values():
        case = Case(everything(), *setting)
        record = json.loads(to_torch_json(case.tensors, case.state.plan).decode())
        entries = [entry for part in record["param_encodings"].values() for entry in part]
        for module in record["activation_encodings"].values():
            entries += [entry for place in module.values() for entry in place.values()]
        for entry in entries:
            least, greatest = np.float32(entry["min"]), np.float32(entry["max"])
            steps = np.float32(2 ** entry["bitwidth"] - 1)
            assert (greatest - least) / steps == np.float32(entry["scale"])
            if entry["is_symmetric"] == "False":
                assert np.round(least / np.float32(entry["scale"])) == entry["offset"]
        count += len(entries)
    assert count > 100
