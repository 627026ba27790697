"""The same value has the same text in every place that shows it: window, report and terminal."""

import math

import numpy as np
import pytest
from layers_stage import with_measures

from qatviz.analysis.effects import Effect
from qatviz.cli.tables import COLUMNS as IN_TERMINAL
from qatviz.cli.tables import tensor_table
from qatviz.gui.panels.evolution.kinds import KINDS as PLOTS
from qatviz.gui.panels.histograms.panel import HistogramsPanel
from qatviz.gui.panels.layers.columns import COLUMNS, INDEX
from qatviz.gui.panels.layers.panel import LayersPanel
from qatviz.gui.panels.network.measures import SHOWN as IN_NETWORK
from qatviz.gui.panels.network.measures import badge_quantity, tooltip
from qatviz.gui.panels.network.view import ColorBar
from qatviz.gui.panels.tensor.panel import TensorPanel
from qatviz.gui.panels.tensor.words import SHOWN as IN_HEADER
from qatviz.measures import MEASURES
from qatviz.metric import ACCURACY
from qatviz.number_format import UNKNOWN
from qatviz.report.curves import TENSOR_CHARTS
from qatviz.report.tensor_rows import COLUMNS as REPORT_COLUMNS
from qatviz.report.tensor_rows import tensor_rows
from qatviz.report.unrecorded import unrecorded_run
from qatviz.telemetry.outcome import Outcome

NAME = "conv2.weights"
#: Of each measure values of several sizes, with the edges of their formats.
VALUES = {
    "sqnr_db": (31.449, math.inf, -12.35, 0.04),
    "rmse_over_scale": (0.28867, 1.5, 0.0004),
    "clipped": (0.0, 1e-6, 0.0123, 0.12345, 1.0),
    "flushed": (0.0, 1e-6, 0.0123, 0.12345, 1.0),
    "flip_rate": (0.0, 1e-6, 0.0123, 0.12345, 1.0),
    "used_codes": (3.0, 255.0),
    "effective_bits": (0.0, 7.4567),
    "scale": (0.0078125, 1.2345e-7, 12.3),
    "zero_point": (0.0, -128.0),
    "size": (),
}
CASES = [(key, value) for key, values in VALUES.items() for value in (*values, math.nan)]


@pytest.fixture
def texts_of(context, staged, show):
    """Function that returns the text of a measure of one tensor in each place, without its unit."""

    def ask(key, value):
        run = staged("lenet")
        if key != "size":
            # Without an error there are codes and no squared error.
            rest = {"mse": 0.0, "used_codes": 9.0} if value == math.inf else {}
            measured = {name: np.full(len(run.plan.tensors), x, np.float32) for name, x in {key: value, **rest}.items()}
            context.model.process([with_measures(context.model.snapshot, **measured)])
        tensor, unit = run.plan.tensor(NAME), MEASURES[key].unit
        context.model.select([NAME], NAME)
        found = {}
        layers = show(LayersPanel(context))
        layers.refresh()
        found["table"] = layers.source.rows.cell(run.plan.index(NAME), COLUMNS[INDEX[key]]).text
        if key in IN_HEADER:
            panel = show(TensorPanel(context))
            panel.refresh()
            found["header"] = panel.header.cells[key].value.text()[len("<b>") : -len("</b>")].replace("&lt;", "<")
        if key in IN_NETWORK:
            found["node"] = badge_quantity(context.model, tensor, key).text
            row = f"<td>{MEASURES[key].label}&nbsp;&nbsp;</td><td>{found['node']}</td>"
            assert row in tooltip(context.model, tensor)
        if key in ("sqnr_db", "clipped"):
            tiles = HistogramsPanel(context)
            readout = tiles._tile(NAME)[0].readout
            found["tile"] = readout[("sqnr_db", "clipped").index(key)].replace(" clipped", "")
        model = context.model
        report = unrecorded_run({}, run.network, model.book, ACCURACY, model.history, model.snapshots, (), None)
        row = next(row for row in tensor_rows(report) if row.tensor.name == NAME)
        found["report"] = next(column for column in REPORT_COLUMNS if column.key == key).text(row)
        outcome = Outcome(model.book)
        outcome.update(model.snapshot)
        if key in IN_TERMINAL:
            rows = [row for row in outcome.tensors() if row["name"] == NAME]
            line = tensor_table(rows, 200).splitlines()[2]
            # After layer, kind, bits and grid.
            found["terminal"] = line.replace(" %", "%").split()[4 + IN_TERMINAL.index(key)].replace("%", " %")
        return {place: text.replace(" " + unit, "") if unit != "" else text for place, text in found.items()}

    return ask


@pytest.mark.parametrize("key, value", CASES)
def test_a_value_has_the_same_text_everywhere(texts_of, key, value):
    texts = texts_of(key, value)
    # Terminals may lack the dash, and have no room for the number of all codes.
    terminal = texts.pop("terminal", None)
    assert len(set(texts.values())) == 1 and len(texts) >= 2, texts
    text = texts["table"]
    assert (text == UNKNOWN) == (key != "size" and math.isnan(value))
    assert terminal in (None, text.partition("/")[0].replace(UNKNOWN, "-"))


def test_a_measure_has_the_same_label_everywhere(context):
    by_key = {column.key: column for column in COLUMNS}
    for column in REPORT_COLUMNS:
        assert (by_key[column.key].header, by_key[column.key].help) == (column.header, column.about)
    for key in set(MEASURES) & set(by_key):
        assert (by_key[key].title, by_key[key].help) == (MEASURES[key].label, MEASURES[key].help)
    titles = {plot.title for plot in PLOTS}
    for kind in TENSOR_CHARTS:
        assert kind.measure.axis_title in titles
    for key in IN_NETWORK:
        bar = ColorBar(context.theme)
        bar.set_measure(MEASURES[key])
        assert MEASURES[key].label in bar.accessibleName() and MEASURES[key].help in bar.toolTip()


def test_an_effect_has_the_digits_of_the_curves():
    found = Effect((0.21, 0.345678), None, (31.449, math.inf), 1, 50, True, ACCURACY).describe()
    assert found == "loss 0.21 → 0.3457 (50 steps), SQNR 31.4 dB → exact"
