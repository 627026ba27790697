"""Columns of tables of runs, and thumbnails."""

import numpy as np
import pytest

from qatviz.presentation.run_table import BY_KEY, COLUMNS, cell_text, sorted_runs, thumbnail
from qatviz.presentation.scene import Line
from qatviz.protocol.batch_division import BatchDivision
from qatviz.telemetry.record.labels import RunLabels
from qatviz.telemetry.run_summary import RunSummary

POINTS = ((0, 0.1, 0.1), (100, 0.9, 0.5), (200, 0.95, None))
RUN = RunSummary(
    "/runs/b", RunLabels("", "first\nsecond", ("x", "y")), network="mlp", points=POINTS, step=200, total=500
)
BAD = RunSummary("/runs/bad", error="damaged")


def texts(run):
    return {column.key: cell_text(column, run) for column in COLUMNS}


def test_cells_show_the_values_of_a_run():
    shown = texts(RUN._replace(parent="/runs/a", fork_step=1000, weight_bytes=12345, seconds=250.0))
    assert (shown["name"], shown["float"], shown["quantized"]) == ("b", "95.0 %", "–")
    assert (shown["steps"], shown["size"], shown["time"]) == ("200 of 500", "12.3 kB", "4 min 10 s")
    assert (shown["tags"], shown["notes"], shown["parent"]) == ("x, y", "first", "a at 1,000")
    assert shown["devices"] == "" and texts(RUN._replace(division=BatchDivision(3, 0, 3)))["devices"] == "3 replicas"
    assert texts(RUN._replace(metric="rmse"))["float"] == "RMSE 0.95"


def test_an_unreadable_record_has_a_name_and_its_state_only():
    shown = texts(BAD)
    assert {key: text for key, text in shown.items() if text} == {"name": "bad", "state": "can't be read"}


@pytest.mark.parametrize("key", [key for key in BY_KEY if key not in ("name", "state", "tags", "notes")])
@pytest.mark.parametrize("descending", [False, True])
def test_runs_without_a_value_come_last(key, descending):
    known = RUN._replace(points=((1, 0.5, 0.5),), loss=1.0, weight_bytes=5, record_bytes=6, parent="/runs/a")
    known = known._replace(division=BatchDivision(2, workers=2))
    assert sorted_runs([BAD, known], key, descending) == [known, BAD]


def test_the_best_score_comes_first_whether_larger_or_smaller_is_better():
    def run(name, metric, score):
        return RunSummary("/" + name, metric=metric, points=((1, score, score),))

    accurate = [run("a", "accuracy", 0.8), run("b", "accuracy", 0.9), run("c", "accuracy", None)]
    exact = [run("a", "rmse", 3.0), run("b", "rmse", 2.0), run("c", "rmse", None)]
    for runs in (accurate, exact):
        assert [found.name for found in sorted_runs(runs, "quantized", True)] == ["b", "a", "c"]


def test_thumbnails_show_both_curves_within_their_room():
    lines = thumbnail(RUN, 80, 20)
    assert [type(line) for line in lines] == [Line, Line]
    for line in lines:
        known = line.y[np.isfinite(line.y)]
        assert (known >= 0).all() and (known <= 20).all() and (np.diff(line.x) > 0).all()
    assert lines[0].y[2] < lines[0].y[0], "better is higher"
    assert np.isnan(lines[1].y[2])


@pytest.mark.parametrize("points", [(), POINTS[:1], ((5, 0.5, 0.5), (5, 0.6, 0.6)), ((0, None, None), (1, None, None))])
def test_there_is_no_thumbnail_of_less_than_a_curve(points):
    assert thumbnail(RUN._replace(points=points), 80, 20) == []
