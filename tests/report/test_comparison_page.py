"""Comparison of runs as an HTML document."""

import re

import pytest
from recorded_samples import record_run
from staging import StagedRun

from qatviz.presentation.comparison import curves_of
from qatviz.protocol.snapshots import Snapshot
from qatviz.report.comparison_page import comparison_page
from qatviz.session.comparison import read_comparison
from qatviz.telemetry.record.labels import RunLabels, write_labels


def snapshot(bits):
    run = StagedRun("mlp")
    run.book, _ = run.book.change([("*.weights.num_bits", bits)])
    return next(item for item in run.advance(2).drain() if isinstance(item, Snapshot))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, bits, seed in (("wide", 8, 0), ("wide2", 8, 1), ("narrow", 4, 0)):
        record_run(folder / name, bits=bits, seed=seed, snapshots=[snapshot(bits)])
    return folder


def page(folder, *names):
    return comparison_page(read_comparison([str(folder / name) for name in names]))


def test_the_page_has_curves_tables_and_distributions(folder):
    html = page(folder, "wide", "narrow")
    assert html.count('<figure class="size-520">') == 6, "the loss, the metric in four modes, and the sizes"
    assert "*.weights.num_bits" in html and "(−8.00 pp)" in html
    assert html.count('<figure class="size-346">') == 2 * len(StagedRun("mlp").plan.tensors), (
        "float values and codes of each"
    )
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", html)


def test_means_over_seeds_are_drawn_if_there_are_any(folder):
    assert page(folder, "wide", "wide2").count('<figure class="size-520">') == 11
    assert "mean and extremes over seeds" not in page(folder, "wide", "narrow")
    found = read_comparison([str(folder / name) for name in ("wide", "wide2")])
    assert [named.name for named in curves_of(found, "loss", "steps", by_group=True)] == ["wide (2 runs)"]


def test_one_run_alone_has_no_differences(folder):
    html = page(folder, "wide")
    assert "None: all runs have the same settings." in html and '<figure class="size-346">' not in html


def test_names_can_not_become_markup(folder):
    write_labels(folder / "narrow", RunLabels("<script>alert(1)</script>", "<b>", ()))
    html = page(folder, "wide", "narrow")
    assert "<script" not in html and "&lt;script&gt;" in html
