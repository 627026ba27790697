"""Tables fit the width of the terminal and omit only what cannot fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.cli.tables import score_table, table, tensor_table
from qatviz.metric import ACCURACY, RMSE
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.presets import PRESETS
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.telemetry.outcome import Outcome

#: The headers of the table of tensors have two lines.
HEAD_LINES = 2
NAMES = ("dense1", "dense2", "logits")
#: Content that makes each column of the table as wide as possible.
WIDEST = {
    "scale": 1.23e-10,
    "zero_point": -32768,
    "sqnr_db": -100.0,
    "rmse_over_scale": 100.0,
    "clipped": 1.0,
    "flushed": 1.0,
    "used_codes": 65536,
    "effective_bits": 15.99,
}


def outcome_of(network, preset, **measures):
    plan = quantization_plan(zoo.build(network, (28, 28, 1), 10))
    outcome = Outcome(SettingsBook.from_preset(plan, preset))
    values = np.zeros((len(SNAPSHOT_MEASURES), len(plan.tensors)), np.float32)
    for name, number in measures.items():
        values[SNAPSHOT_MEASURES.index(name)] = number
    settings = [outcome.book.of(tensor.name) for tensor in plan.tensors]
    outcome.update(
        Snapshot(7, 1.5, values, {}, tuple(s.num_bits for s in settings), tuple(s.enabled for s in settings))
    )
    return outcome


@pytest.mark.parametrize("network", zoo.NETWORKS)
@pytest.mark.parametrize(
    "measures", [{}, WIDEST, dict.fromkeys(SNAPSHOT_MEASURES, np.nan)], ids=["zero", "widest", "nan"]
)
def test_the_table_of_tensors_fits_80_columns(network, measures):
    outcome = outcome_of(network, "int4", **measures)
    outcome.book, _ = outcome.book.change(
        [
            ("*.num_bits", 16),
            ("*.power_of_two", True),
            ("*.symmetric", True),
            ("*.narrow_range", True),
            ("*.per_channel", True),
        ]
    )
    text = tensor_table(outcome.tensors(), 80)
    assert max(map(len, text.splitlines())) <= 80
    legends = [line.startswith("w weights,") for line in text.splitlines()]
    assert legends.index(True) == HEAD_LINES + len(outcome.book.plan.tensors)
    if not measures:
        for tensor, line in zip(outcome.book.plan.tensors, text.splitlines()[HEAD_LINES:]):
            assert line.split()[:2] == [tensor.layer, tensor.kind[0]]


def test_the_table_of_tensors_has_grid_and_errors():
    outcome = outcome_of(
        "mlp",
        "int4",
        scale=0.5,
        zero_point=-3,
        sqnr_db=12.34,
        rmse_over_scale=0.289,
        clipped=0.25,
        flushed=0.5,
        used_codes=15,
        effective_bits=3.75,
    )
    lines = tensor_table(outcome.tensors(), 80).splitlines()
    cells = lines[3].replace(" %", "%").split()
    assert cells == ["dense1", "w", "4", "snc", "0.5", "-3", "12.3", "0.289", "25.0%", "50.0%", "15", "3.75"]
    assert lines[2].split()[:4] == ["input", "a", "8", "0.5"]


def test_the_table_of_tensors_names_the_map_of_weights():
    outcome = outcome_of("mlp", "tflite-int8")
    changes = (("dense1.weights.num_bits", 1), ("dense2.weights.weight_map", "ternary"), ("dense2.*.per_channel", True))
    outcome.book, _ = outcome.book.change((*changes, ("logits.weights.weight_map", "tanh")))
    outcome.snapshot = None
    rows = {row["name"]: row for row in outcome.tensors()}
    known = [(rows[f"{name}.weights"]["weight_map"], rows[f"{name}.weights"]["num_bits"]) for name in NAMES]
    assert known == [("binary", 1), ("ternary", 2), ("tanh", 8)] and rows["input.activations"]["weight_map"] == "none"
    lines = [line.split() for line in tensor_table(outcome.tensors(), 80).splitlines()]
    found = {cells[0]: cells[2 : cells.index("-")] for cells in lines if cells[1:2] == ["w"]}
    assert [found[name] for name in NAMES] == [["1", "binary"], ["2", "ternary", "c"], ["8", "tanh", "sn"]]


def test_bits_of_a_map_are_those_in_the_snapshot():
    outcome = outcome_of("mlp", "tflite-int8")
    outcome.book, _ = outcome.book.change((("dense1.weights.num_bits", 1),))
    row = next(row for row in outcome.tensors() if row["name"] == "dense1.weights")
    assert (row["num_bits"], row["weight_map"]) == (8, "none"), "measured before the change"


def test_float_tensors_are_marked():
    lines = tensor_table(outcome_of("mlp", "float").tensors(), 80).splitlines()
    assert all(line.split()[2:] == ["float"] for line in lines[2:9])


@pytest.mark.parametrize("preset", PRESETS)
def test_without_a_snapshot_only_the_grid_is_shown(preset):
    outcome = outcome_of("lenet", preset)
    outcome.snapshot = None
    assert all(row["scale"] is None and row["used_codes"] is None for row in outcome.tensors())
    lines = tensor_table(outcome.tensors(), 80).splitlines()[HEAD_LINES:11]
    assert [line.split()[0] for line in lines] == [tensor.layer for tensor in outcome.book.plan.tensors]


WORDS = st.text("abc ", max_size=30).map(str.strip)


def cells(count):
    return st.lists(WORDS, min_size=count, max_size=count)


@given(st.integers(1, 5).flatmap(lambda n: st.tuples(cells(n), st.lists(cells(n)), st.sets(st.integers(0, n - 1)))))
def test_a_table_that_fits_shows_every_word(example):
    head, rows, left = example
    text = table(head, rows, sorted(left), 500)
    for row in [head, *rows]:
        for cell in row:
            assert all(word in text for word in cell.split())
    assert len(text.split("\n")) == 1 + len(rows)


SENTENCES = st.lists(st.text("cd", min_size=1, max_size=12)).map(" ".join)


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=9), SENTENCES)), st.integers(40, 120))
def test_a_last_column_of_text_is_wrapped_without_loss(rows, width):
    text = table(("name", "what"), rows, (0, 1), width)
    assert max(map(len, text.splitlines())) <= width
    assert sorted(text.split()) == sorted(["name", "what", *" ".join(" ".join(row) for row in rows).split()])


def test_accuracies_are_in_percent():
    shares = {"float": 0.971, "weights_only": 0.5, "activations_only": 1.0, "quantized": 0.0}
    text = score_table(ACCURACY, [dict(shares, step=200)], 80)
    assert text.splitlines()[1].split("%") == [" 200  97.1 ", "        50.0 ", "           100.0 ", "      0.0 ", ""]


def test_regression_errors_are_in_the_unit_of_the_targets():
    errors = {"float": 0.023456, "weights_only": 12.5, "activations_only": 48213.4, "quantized": float("nan")}
    text = score_table(RMSE, [dict(errors, step=200)], 80)
    assert text.splitlines()[1].split() == ["200", "0.02346", "12.5", "48,213", "-"]


def test_a_table_in_a_pipe_is_as_wide_as_its_contents(capsys, monkeypatch):
    rows = [["stack1_" + 60 * "x", "1"], ["short", "2"]]
    monkeypatch.delenv("COLUMNS", raising=False)
    assert rows[0][0] in table(("name", "n"), rows)
    words = "a description of many words " * 5
    assert table(("name", "description"), [["a", words.strip()]], (0, 1)).count("\n") == 1
    monkeypatch.setenv("COLUMNS", "40")
    assert rows[0][0] not in table(("name", "n"), rows)
