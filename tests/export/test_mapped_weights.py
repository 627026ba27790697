"""Exports of weights with a map: the codes are those after it, in every format, and the proofs find no difference."""

import numpy as np
import pytest
from export_cases import INT8, NETWORK, STATE, export_as
from integer_cases import book_of

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.frozen_state import folded
from qatviz.export.integers.lowering import integer_model

pytestmark = pytest.mark.usefixtures("quick_c")

MAPS = {
    "binary": dict(INT8, num_bits=1),
    "binary-per-tensor": {"num_bits": 1},
    "ternary": dict(INT8, weight_map="ternary"),
    "tanh": dict(INT8, num_bits=4, weight_map="tanh"),
}


def expected_codes(w, name):
    """Return the codes of weights ``[..., channels]`` by the definition of their map."""
    exact = w.astype(np.float64)
    if name == "tanh":
        curved = np.tanh(exact)
        steps = curved / np.abs(curved).reshape(-1, w.shape[-1]).max(axis=0) * 7
        return np.floor(steps + 0.5).astype(int)
    above = 0.7 * np.abs(exact).reshape(-1, w.shape[-1]).mean(axis=0) if name == "ternary" else -1
    return (np.where(exact >= 0, 1, -1) * (np.abs(exact) > above)).astype(int)


@pytest.mark.parametrize("name", MAPS)
def test_codes_of_the_integer_model_are_those_of_the_definition(name):
    book = book_of(NETWORK, MAPS[name])
    model = integer_model(NETWORK, book, STATE)
    ops = {op.weights.name: op.weights for op in model.ops if op.weights is not None}
    assert len(ops) == 2
    for unit in book.plan.units:
        if unit.owns_weights:
            found = ops[unit.weights]
            w = folded(book.plan, unit, STATE).weights
            np.testing.assert_array_equal(found.codes, expected_codes(w, name.partition("-")[0]))
            assert found.num_bits == (4 if name == "tanh" else 2) and np.size(found.scale) == (
                1 if name == "binary-per-tensor" else w.shape[-1]
            )


def each_once(formats, maps):
    """Return all pairs, those slow in which neither has a turn: each format and each map is in one that is not."""
    pairs = [
        (name, weights, (row + column) % len(maps))
        for row, name in enumerate(formats)
        for column, weights in enumerate(maps)
    ]
    return [pytest.param(name, weights, marks=[pytest.mark.slow] if turn else []) for name, weights, turn in pairs]


@pytest.mark.parametrize("name, weights", each_once(sorted(set(FORMATS) - {"encodings"}), MAPS))
def test_every_format_exports_them_without_a_difference(name, weights, tmp_path, dataset):
    if name == "onnx":
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)
    report = export_as(name, tmp_path / ("net" + FORMATS[name].suffix), dataset, MAPS[weights], examples=16).report
    assert report.as_expected and not report.faults, report.to_text()


@pytest.mark.parametrize("weights, remedy", [("binary", "num_bits=2"), ("ternary", "weight_map=none")])
def test_encodings_have_no_map(weights, remedy, tmp_path, dataset):
    with pytest.raises(ExportError, match="with a map") as refused:
        export_as("encodings", tmp_path / "net.encodings", dataset, MAPS[weights])
    assert f"conv.weights.{remedy}" in str(refused.value) and not list(tmp_path.iterdir())
