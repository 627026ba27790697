"""Costs of weights by number of bits: bytes of codes, bytes as stored, multiplications times bits."""

import numpy as np
import pytest
from small_runs import convnet, mlp

from qatviz.analysis.bit_costs import CostUnit, bit_costs, quantized_weights, variable_tensors
from qatviz.analysis.budget import WidthRules, allocation_problem, considered_widths
from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.targets import target
from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.chip import network_graph

MLP = mlp()  # 6 inputs, 8 units, 3 classes
BOOK = SettingsBook.from_preset(quantization_plan(MLP), "tflite-int8")
TENSORS = ("dense1.weights", "logits.weights")


@pytest.mark.parametrize(
    "unit, expected",
    [
        (CostUnit.CODES, [[12, 18, 24, 48, 96], [6, 9, 12, 24, 48]]),
        (CostUnit.STORED, [[24, 24, 24, 48, 96], [12, 12, 12, 24, 48]]),
        (CostUnit.MAC_BITS, [[768, 1152, 1536, 3072, 6144], [384, 576, 768, 1536, 3072]]),
    ],
)
def test_costs_of_a_small_network(unit, expected):
    found = bit_costs(unit, MLP, BOOK, TENSORS, (2, 3, 4, 8, 16))
    assert found.costs.tolist() == expected and found.costs.dtype == np.int64 and found.rest == 0


def test_activations_of_one_example_count_beside_the_weights():
    tensors = variable_tensors(CostUnit.WITH_ACTIVATIONS, BOOK)
    assert tensors == tuple(tensor.name for tensor in BOOK.plan.tensors)
    assert variable_tensors(CostUnit.CODES, BOOK) == TENSORS
    found = bit_costs(CostUnit.WITH_ACTIVATIONS, MLP, BOOK, tensors, (4, 8))
    by_name = dict(zip(tensors, found.costs.tolist()))
    assert by_name == {
        "input.activations": [3, 6],
        "dense1.weights": [24, 48],
        "dense1.activations": [4, 8],
        "logits.weights": [12, 24],
        "logits.activations": [2, 3],
    }
    assert found.rest == 0
    alone = bit_costs(CostUnit.WITH_ACTIVATIONS, MLP, BOOK, TENSORS, (4, 8))
    assert alone.rest == 6 + 8 + 3


@pytest.mark.parametrize("unit", [unit for unit in CostUnit if unit is not CostUnit.TIME])
def test_the_rest_is_what_is_not_chosen(unit):
    network = convnet()
    book = SettingsBook.from_preset(quantization_plan(network), "int4")
    book, _ = book.change([("conv.activations.num_bits", 6), ("logits.weights.enabled", False)])
    weights = quantized_weights(book)
    assert weights == ("conv.weights", "depthwise.weights")
    whole = bit_costs(unit, network, book, (), ()).rest
    found = bit_costs(unit, network, book, weights, (4, 8))
    assert found.rest + int(found.costs[:, 0].sum()) == whole and found.rest > 0


def test_the_problem_of_a_run():
    book, _ = BOOK.change([("logits.weights.num_bits", 5)])
    scores = np.array([[0.5, 0.2, 0.1, 0.02, 0.01]] * len(book.plan.tensors))
    names = tuple(tensor.name for tensor in book.plan.tensors)
    found = Sensitivity(names, WIDTHS, scores, np.full(len(names), 0.07), 3, 10)
    rules = WidthRules((4, 8), lowest=(("dense1.weights", 8),))
    widths = considered_widths(book, TENSORS, rules)
    assert widths == (4, 5, 8)
    costs = bit_costs(CostUnit.CODES, MLP, book, TENSORS, widths)
    problem = allocation_problem(book, found, TENSORS, widths, costs.costs, costs.rest, rules)
    assert problem.allowed.tolist() == [[False, False, True], [True, False, True]]
    np.testing.assert_array_equal(problem.losses, [[0.1, np.nan, 0.07], [0.1, 0.07, 0.01]])
    best = problem.best_within(70)
    assert best is not None and best.widths == (8, 4) and best.cost == 48 + 12
    assert problem.best_within(50) is None


def test_times_are_those_of_the_layers_whatever_the_bits():
    book = SettingsBook.from_preset(quantization_plan(MLP), "tflite-int8")
    chip = estimate(network_graph(MLP, book), target())
    costs = bit_costs(CostUnit.TIME, MLP, book, TENSORS, (2, 4, 8), chip)
    assert (costs.costs == costs.costs[:, :1]).all()
    layers = [chip.layer(name.split(".")[0]).cycles for name in TENSORS]
    assert costs.costs[:, 0] == pytest.approx([1e9 * chip.target.seconds(cycles) for cycles in layers], abs=1)
    assert costs.rest + costs.costs[:, 0].sum() == pytest.approx(1e9 * chip.seconds, abs=1)
