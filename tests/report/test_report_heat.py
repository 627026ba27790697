"""SQNR of all tensors over the run: colours agree with the measurements."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from report_cases import recorded
from staging import StagedRun

from qatviz.presentation.palette import SCALE_STEPS
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import STEP_MEASURES
from qatviz.report.chart import TOP
from qatviz.report.heat import _ROW, HIGH, LOW, heat_pictures, levels, scale_legend, section
from qatviz.report.run_data import read_run
from qatviz.telemetry.record.run_record import RunRecord


def test_sqnr_levels_increase_and_saturate():
    values = np.array([-np.inf, LOW, LOW + 0.1, (LOW + HIGH) / 2, HIGH - 0.1, HIGH, 100, np.inf, np.nan])
    best = SCALE_STEPS
    assert levels(values).tolist() == [0, 0, 0, SCALE_STEPS // 2, best, best, best, best, -1]
    assert (np.diff(levels(np.linspace(0, 50, 500))) >= 0).all()


def test_the_legend_shows_all_colours_from_bad_to_good():
    picture = ElementTree.fromstring(scale_legend())
    fills = [rect.get("fill") for rect in picture.iter("rect") if rect.get("fill") != "none"]
    assert fills == [f"var(--diverging{step})" for step in range(SCALE_STEPS + 1)]
    assert [text.text for text in picture.iter("text")] == ["25.0 dB", "≤ 5.0 dB", "≥ 45.0 dB"]


def colours(svg):
    """Return the colours by row and x position, or -1."""
    found = []
    for part in svg.iter():
        role = re.fullmatch(r"var\(--diverging(\d+)\)", part.get("fill", ""))
        if role and part.tag == "rect":
            left, top, width = (float(part.get(name)) for name in ("x", "y", "width"))
            found.append((round((top - TOP) / _ROW), left, left + width, int(role[1])))
        elif role:
            for path in part.get("d").split("M")[1:]:
                left, top, right = map(float, re.match(r"(\S+) (\S+?)H(\S+?)V", path).groups())
                found.append((round((top - TOP) / _ROW), left, right, int(role[1])))
    return lambda row, x: next((level for r, left, right, level in found if r == row and left <= x < right), -1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a"

    def play(run):
        run.send(ChangeSettings((("dense1.weights.enabled", False),)))
        run.advance(20)
        run.send(ChangeSettings((("*.weights.num_bits", 2), ("dense1.weights.enabled", True))))
        run.advance(20)

    recorded(path, play)
    return path


def test_a_row_shows_the_sqnr_of_a_tensor_at_every_step(directory):
    run = read_run(RunRecord.read(directory))
    (picture,) = heat_pictures(run)
    svg = ElementTree.fromstring(picture)
    colour_at = colours(svg)
    ticks = {text.text: float(text.get("x")) for text in svg.iter("text")}
    left, per_step = ticks["0"], (ticks["20"] - ticks["0"]) / 20
    steps = RunRecord.read(directory).steps()
    measured = steps.values[:, STEP_MEASURES.index("sqnr_db")]
    for row, tensor in enumerate(run.book.plan.tensors):
        shown = [colour_at(row, left + (step - 0.5) * per_step) for step in steps.steps]
        assert shown == levels(measured[:, row]).tolist(), tensor.name
        assert run.active_at(tensor.name, steps.steps).tolist() == (
            [tensor.name != "dense1.weights"] * 20 + [True] * 20
        )
    assert {text.text for text in svg.iter("text")} >= {tensor.name for tensor in run.book.plan.tensors}


def test_float_tensors_have_no_colour_and_exact_ones_have(directory):
    run = read_run(RunRecord.read(directory))
    series = run.history.series

    class Exact:
        """A record with a float tensor and an exact one, both without an error."""

        def __getattr__(self, name):
            return getattr(type(run.history), name).__get__(run.history)

        def series(self, name, *where):
            found = series(name, *where)
            exact = np.full_like(found.mean, np.inf)
            return found._replace(mean=exact, minimum=exact, maximum=exact) if name.endswith("sqnr_db") else found

    object.__setattr__(run, "history", Exact())
    svg = ElementTree.fromstring(heat_pictures(run)[0])
    colour_at, row = colours(svg), run.book.plan.index("dense1.weights")
    ticks = {text.text: float(text.get("x")) for text in svg.iter("text")}
    assert colour_at(row, ticks["0"] + 5) == -1 and colour_at(row, ticks["20"] + 5) == SCALE_STEPS
    assert colour_at(row + 1, ticks["0"] + 5) == SCALE_STEPS


def test_many_tensors_are_split_into_several_pictures(tmp_path):
    recorded(tmp_path / "run", lambda run: run.advance(1), StagedRun("mobilenet"))
    run = read_run(RunRecord.read(tmp_path / "run"))
    pictures = [ElementTree.fromstring(picture) for picture in heat_pictures(run)]
    named = [
        group.find("title").text for svg in pictures for group in svg.findall("g") if group.find("text") is not None
    ]
    assert named == [tensor.name for tensor in run.book.plan.tensors] and len(pictures) == 2
    assert all(float(svg.get("height")) < 900 for svg in pictures)


def test_without_steps_a_text_replaces_the_picture(tmp_path):
    recorded(tmp_path / "run", lambda run: None)
    assert "No step was done yet." in section(read_run(RunRecord.read(tmp_path / "run")))
