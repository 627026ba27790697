"""The description of an .npz says all that is needed to compute its integers: an evaluator written from it does."""

import ast
import json

import npz_evaluator
import numpy as np
import pytest
from integer_cases import book_of, model_of, network_of, simulate_tensors, state_of
from test_lowering_float import random_chain
from test_npz_export import MORE, write
from test_tflite_lowering import TESTED_ALONE, everything, images_for

from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import run_codes
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.network.layers import KINDS, AveragePool, Dense, Flatten


def check_every_code(model, directory):
    images = images_for(model, 12)
    found = npz_evaluator.evaluate(*npz_evaluator.load(write(model, directory)), images)
    expected = simulate_tensors(model, images)
    assert set(found) == set(expected)
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes, name)


def test_the_evaluator_uses_nothing_of_this_program():
    tree = ast.parse(npz_evaluator.TEXT)
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert imported == ["json"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("setting", sorted(MORE))
def test_an_evaluator_from_the_description_computes_every_code(setting, tmp_path):
    check_every_code(model_of(everything(), *MORE[setting]), tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_so_it_does_for_chains_of_all_shapes(seed, tmp_path):
    check_every_code(model_of(random_chain(seed), *MORE[sorted(MORE)[seed]], seed=seed), tmp_path)


@pytest.mark.parametrize("setting", ["int8", "uint8"])
def test_its_logits_are_those_of_the_evaluation(setting, tmp_path):
    network = random_chain(4)
    book, state = book_of(network, *MORE[setting]), state_of(network)
    model = integer_model(network, book, state)
    images = images_for(model, 64)
    found = npz_evaluator.evaluate(*npz_evaluator.load(write(model, tmp_path)), images)[model.output]
    with EvaluationGraph(network, book, state) as graph:
        np.testing.assert_array_equal(found, codes_of(graph.logits(images), model.logits))


def test_every_kind_of_operation_has_its_rule(tmp_path):
    record, _ = npz_evaluator.load(write(model_of(everything()), tmp_path))
    kinds = {op["rule"] for op in record["operations"]}
    assert kinds == set(KINDS) - {"BatchNorm", "Dropout", "Softmax", "ReLU"} - TESTED_ALONE
    assert kinds <= set(record["rules"]) and all(record["rules"].values())


def test_files_of_the_version_before_round_ties_of_averages_up(tmp_path):
    """They have neither rules nor a center of ties."""
    network = network_of(
        (2, 2, 1), (AveragePool, "pool", {}), (Flatten, "flatten", {}), (Dense, "logits", {"units": 2})
    )
    model = model_of(network, ranges={"input.activations": (-128.0, 127.0)})
    path = write(model, tmp_path)
    described = path.with_suffix(".json")
    record = json.loads(described.read_text())
    for name in ("checksum", "rules"):
        del record[name]
    for op in record["operations"]:
        del op["tie_center"], op["rule"]
    described.write_text(json.dumps(dict(record, schema="qatviz-integer-model/2")))
    codes = np.int32([[-10, 0, 0, 0], [10, 0, 0, 0], [-2, 0, 0, 0], [-9, 0, 0, 0]]).reshape(4, 2, 2, 1)
    old = run_codes(load_integer_model(path), codes, ["pool"])["pool"]
    assert old.reshape(-1).tolist() == [-2, 3, 0, -2]
    assert run_codes(model, codes, ["pool"])["pool"].reshape(-1).tolist() == [-3, 3, -1, -2]
