"""SavedModel and frozen graph in TensorFlow 2, whose kernels round some ties differently.

Without a newer Python that has it (see :mod:`newer_tensorflow`), the tests that run it are skipped.
"""

import newer_tensorflow
import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of
from tensorflow.python.framework import tensor_util
from test_graph_exports import dataset
from test_graph_lowering import GRAPH_SETTINGS, graph_of, images_for
from test_tflite_lowering import everything

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime
from qatviz.export.formats import FROZEN, SAVEDMODEL
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.proof.parity import codes_of
from qatviz.export.source import ExportSource
from qatviz.network.layers import Conv2D, Dense, Flatten
from qatviz.quant.affine import choose_grid, dequantize, quantize

PER_CHANNEL = dict(INT8, per_channel=True)


@pytest.fixture(scope="session")
def tensorflow2():
    """Return the newer Python."""
    return newer_tensorflow.find() or pytest.skip(newer_tensorflow.MISSING)


def weights_next_to_ties(inputs=40, units=6, reach=0.3):
    """Return weights, float32 ``[inputs, units]``, that a reciprocal of the scale moves to the other side of a tie.

    The first of each unit is the largest. Codes are those of int8 weights per channel.
    """
    weights = np.zeros((inputs, units), np.float32)
    for unit in range(units):
        top = np.float32(reach * (1 + 0.37 * unit))
        grid = choose_grid(-top, top, 8, symmetric=True, narrow_range=True)
        ties = (np.arange(-126, 126) + np.float64(0.5)) * np.float64(grid.scale)
        near = np.nextafter(ties.astype(np.float32), np.float32([[-1], [0], [1]])).reshape(-1)
        reciprocal = np.float32(127 - -127) / (grid.maximum - grid.minimum)
        multiplied = np.floor((near - grid.minimum) * reciprocal - np.float32(127) + np.float32(0.5)) + 0
        moved = near[multiplied != quantize(near, grid)]
        assert len(moved) >= 3
        weights[0, unit], weights[1:, unit] = top, np.resize(moved, inputs - 1)
    return weights


@pytest.fixture(scope="module")
def near_ties():
    """Return a network, its settings and a state whose weights lie next to ties."""
    network = network_of((40,), (Dense, "logits", {"units": 6}))
    state = state_of(network, logits__weights=weights_next_to_ties())
    return network, book_of(network, PER_CHANNEL), state


def constants(graph):
    """Return the float constants of a graph by the names of their nodes."""
    nodes = [node for node in graph.definition.node if node.op == "Const" and node.name != "about"]
    return {node.name: tensor_util.MakeNdarray(node.attr["value"].tensor) for node in nodes}


@pytest.mark.parametrize("setting", sorted(GRAPH_SETTINGS))
def test_weights_are_stored_as_the_values_of_their_codes(setting):
    network = everything()
    book, state = book_of(network, *GRAPH_SETTINGS[setting]), state_of(network)
    model, stored = fake_quant_model(network, book, state), constants(graph_of(network, book, state))
    checked = 0
    for part in model.units:
        if part.weights is not None:
            weights = part.weights
            found = stored[f"network/{part.unit.name}/weights/Const"].reshape(-1, len(weights.bias))
            codes = quantize(weights.values.reshape(found.shape), weights.grid)
            np.testing.assert_array_equal(found, dequantize(codes, weights.grid))
            checked += 1
    assert checked == 10


def test_weights_in_float_are_stored_as_they_are():
    network = network_of((4,), (Dense, "logits", {"units": 2}))
    book, state = book_of(network, {"enabled": False}), state_of(network)
    found = constants(graph_of(network, book, state))["network/logits/weights/Const"]
    np.testing.assert_array_equal(found, state["logits.weights"])


def codes_in(tensorflow2, directory, network, book, state, images, exact):
    """Return the codes that TensorFlow 2 and the simulator compute for all tensors."""
    model, graph = integer_model(network, book, state), graph_of(network, book, state, exact=exact)
    (directory / "net.pb").write_bytes(graph.definition.SerializeToString())
    names = [op.output for op in model.ops]

    def values(inputs, wanted):
        tensors = [graph.tensors[name] for name in wanted]
        found = newer_tensorflow.run_graph(tensorflow2, directory, directory / "net.pb", inputs, tensors)
        return {name: found[tensor] for name, tensor in zip(wanted, tensors)}

    codes = quantize_input(model, images)
    return codes_runtime(model, values, names)(codes), run_codes(model, codes, names)


@pytest.mark.parametrize("exact", [False, True], ids=["fake-quant", "exact"])
def test_weights_next_to_ties_have_the_same_codes_in_tensorflow_2(exact, near_ties, tensorflow2, tmp_path):
    network, book, state = near_ties
    found, expected = codes_in(tensorflow2, tmp_path, network, book, state, images_for(network, 200), exact)
    different = np.abs(found["logits"] - expected["logits"])
    assert np.mean(different == 0) >= (1.0 if exact else 0.995) and different.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(set(GRAPH_SETTINGS) - {"wide"}))
def test_every_code_of_the_exact_form_is_the_simulators_in_tensorflow_2(setting, tensorflow2, tmp_path):
    network = everything()
    book, state = book_of(network, *GRAPH_SETTINGS[setting]), state_of(network)
    found, expected = codes_in(tensorflow2, tmp_path, network, book, state, images_for(network), True)
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["unit", "signed"])
@pytest.mark.parametrize("kind", [FROZEN, SAVEDMODEL], ids=lambda kind: kind.name)
def test_exact_files_give_the_golden_codes_for_images_in_tensorflow_2(kind, scaling, tensorflow2, tmp_path):
    """Signed pixels are all ties on a grid of the same range."""
    network = network_of(
        (8, 8, 1), (Conv2D, "conv", {"filters": 4}), (Flatten, "flat", {}), (Dense, "logits", {"units": 4})
    )
    low = {"unit": 0.0, "signed": -1.0}[scaling]
    state = state_of(network, {"input.activations": (low, 1.0)})
    source = ExportSource(network, book_of(network, PER_CHANNEL), state, dataset().with_scaling(scaling))
    written = kind.export(source, tmp_path / ("net" + kind.suffix), {"form": "exact"})
    assert set(written.report.outputs.values()) == {(1.0, 0, 1.0)}
    golden, logits = written.report.golden, integer_model(network, source.book, state).logits
    name = "logits" if kind is SAVEDMODEL else "logits:0"
    found = newer_tensorflow.run_graph(tensorflow2, tmp_path, written.paths[0], golden["images"], [name])[name]
    np.testing.assert_array_equal(codes_of(found, logits), golden["simulator_output"])
