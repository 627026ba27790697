"""The picture of sensitivities: its rows, columns and cells."""

import numpy as np
import pytest

from qatviz.analysis.sensitivity import Measured, MeasuredSensitivity, Sensitivity
from qatviz.presentation.scene import Rects, Text, estimated_metrics
from qatviz.presentation.sensitivity import ALONE, WITHOUT, Cell, SensitivityLayout, cell_text, sensitivity_table

NAMES = ("input.activations", "conv.weights", "concat.activations")
FOUND = Sensitivity(
    NAMES, (2, 4), np.array([[0.5, 1e-3], [0.9, 1e-6], [0.0, 0.0]]), np.array([1e-3, 0.0, 0.0]), 120, 256
)
BITS = {"input.activations": 4, "conv.weights": None, "concat.activations": 4}
MEASURED = MeasuredSensitivity(
    ("input.activations",),
    (Measured(0.4, 2e-3, 0.9),),
    (Measured(0.3, 1e-4, 0.95),),
    Measured(0.3, 0.0, 0.96),
    Measured(0.4, 3e-3, 0.91),
    "accuracy",
    100,
    1000,
)
METRICS = estimated_metrics(10.0, 6.0)


@pytest.mark.parametrize(
    "column, expected", [(None, NAMES), (0, (NAMES[1], NAMES[0], NAMES[2])), (1, NAMES), (99, NAMES)]
)
def test_rows_are_sorted_by_a_column(column, expected):
    table = sensitivity_table(FOUND, None, BITS, column)
    assert table.names == expected
    assert table.values[expected.index("conv.weights")].tolist() == [0.9, 1e-6, 0.0]


def test_a_measurement_adds_its_columns():
    table = sensitivity_table(FOUND, MEASURED, BITS)
    assert table.titles == ("2 bits", "4 bits", "Now", ALONE, WITHOUT)
    assert table.values[0, 3:].tolist() == [2e-3, 1e-4] and np.isnan(table.values[1:, 3:]).all()
    text = "\n".join(cell_text(table, Cell(0, 3), MEASURED))
    assert (
        "step 100 on 1,000 held-out examples" in text
        and "Only this quantized: loss 0.4, divergence 0.002, 90.0 %" in text
    )
    assert "Not measured" in cell_text(table, Cell(1, 4), MEASURED)[-1]


def test_a_cell_is_explained():
    table = sensitivity_table(FOUND, None, BITS)
    assert cell_text(table, Cell(1, 0), None) == [
        "conv.weights, now in float",
        "2 bits, all others in float: divergence of the outputs 0.9 (estimate)",
    ]
    assert cell_text(table, Cell(0, -1), None) == ["input.activations, now 4 bits"]


def test_each_cell_is_found_where_it_is_drawn():
    table = sensitivity_table(FOUND, None, BITS)
    places = SensitivityLayout(table, 400.0, METRICS)
    texts = [shape for shape in places.row_shapes() if isinstance(shape, Text)]
    assert len(texts) == 3 * 4
    for index, shape in enumerate(texts):
        row, column = divmod(index, 4)
        assert places.cell_at(shape.x, shape.y) == Cell(row, column - 1)
    assert places.cell_at(10.0, places.height + 1) is None
    assert places.column_at(1e6) == 2


def test_the_bits_in_effect_and_the_selection_are_framed():
    places = SensitivityLayout(sensitivity_table(FOUND, None, BITS), 400.0, METRICS)
    frames = [shape for shape in places.row_shapes(["conv.weights"]) if isinstance(shape, Rects) and shape.fill is None]
    selected, present = frames
    assert places.cell_at(selected.left[0] + 2, selected.top[0] + 2).row == 1
    assert [places.cell_at(x + 2, y + 2) for x, y in zip(present.left, present.top)] == [Cell(0, 1), Cell(2, 1)]


def test_values_beyond_the_colour_scale_and_unknown_ones_are_drawn():
    found = Sensitivity(("a.weights",), (2,), np.array([[np.inf]]), np.array([np.nan]), 0, 1)
    places = SensitivityLayout(sensitivity_table(found, None, {"a.weights": 2}), 200.0, METRICS)
    texts = [shape.text for shape in places.row_shapes() if isinstance(shape, Text)]
    assert texts == ["a.weights", "–", "–"]
