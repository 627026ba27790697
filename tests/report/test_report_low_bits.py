"""Methods for few bits in a report: maps of weights, and the ramp of the strength of quantization."""

import re

import numpy as np
import pytest
from report_cases import Page, recorded

from qatviz.measures import MEASURES
from qatviz.protocol.commands import ChangeSettings
from qatviz.report.curves import run_figures, tensor_figures
from qatviz.report.page import page
from qatviz.report.run_data import RunData, read_run
from qatviz.settings import RunSettings
from qatviz.telemetry.record.run_record import RunRecord

STRENGTH, GRADIENT = MEASURES["strength"].axis_title, MEASURES["scale_gradient"].axis_title


def run_with(directory, *assignments, steps=40) -> RunData:
    """Return a run whose settings change after 10 steps."""

    def play(run):
        run.advance(10)
        run.send(ChangeSettings(assignments))
        run.advance(steps - 10)

    recorded(directory, play)
    return read_run(RunRecord.read(directory))


def test_maps_are_named_in_the_tables_of_tensors_and_settings(tmp_path):
    run = run_with(
        tmp_path / "run",
        ("dense1.weights.num_bits", 1),
        ("dense2.weights.weight_map", "ternary"),
        ("logits.weights.weight_map", "tanh"),
    )
    found = Page(page(run))
    labels = {"dense1": "Binary (XNOR-Net)", "dense2": "Ternary (TWN)", "logits": "tanh (DoReFa)"}
    for caption, before in (("All quantized tensors, after step 40", ""), ("Settings of the quantizers", "None → ")):
        head, *rows = found.tables[caption]
        names = {row[0]: row[head.index("Map")] for row in rows}
        found_maps = {layer: names[f"{layer}.weights"] for layer in labels}
        assert found_maps == {layer: before + label for layer, label in labels.items()}
        assert names["dense1.activations"] == ""
    bits = {row[0]: row[head.index("Bits")] for row in rows}
    assert bits["dense1.weights"] == "8 → 1" and bits["dense2.weights"] == "8", "as they were set"


def test_without_a_map_the_table_of_tensors_has_no_column_of_maps(tmp_path):
    found = Page(page(run_with(tmp_path / "run", ("*.weights.num_bits", 2))))
    assert "Map" not in found.tables["All quantized tensors, after step 40"][0]
    assert "Map" in found.tables["Settings of the quantizers"][0]


def test_the_strength_is_a_curve_where_a_ramp_was_on(tmp_path):
    run = run_with(tmp_path / "run", ("run.ramp_start", 12), ("run.ramp_end", 32))
    found = run.series("strength")
    ramp = RunSettings(ramp_start=12, ramp_end=32)
    expected = [ramp.strength_at(step - 1) if step > 10 else 1.0 for step in range(1, 41)]
    assert found.last_step.tolist() == list(range(1, 41)) and found.mean == pytest.approx(expected)
    (figure,) = [figure for figure in run_figures(run) if figure.title == STRENGTH]
    assert figure.picture is not None
    text = next(svg.find("desc").text for svg in Page(page(run)).svgs() if svg.find("title").text == STRENGTH)
    assert re.search(r"100 % at step 1, 100 % at step 40; from 0 % to 100 %", text)


def test_without_a_ramp_there_is_no_curve_of_the_strength(tmp_path):
    figures = run_figures(run_with(tmp_path / "run", ("run.ramp_start", 12)))
    assert STRENGTH not in [figure.title for figure in figures]


def test_the_gradient_of_a_learned_scale_is_a_curve(tmp_path):
    run = run_with(tmp_path / "run", ("dense1.weights.range_method", "learned"))
    found = {}
    for tensor in run.book.plan.tensors:
        (found[tensor.name],) = [figure for figure in tensor_figures(run, tensor) if figure.title == GRADIENT]
    assert found["dense1.weights"].picture is not None
    assert found["dense2.weights"].picture is None and found["dense2.weights"].missing == "its range was not learned"
    last = run.series("dense1.weights/scale_gradient").mean
    assert np.isnan(last[:10]).all() and last[10:] == pytest.approx(0.01 * np.cos(np.arange(11, 41)))
