"""Histograms of the report: their axes and captions."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
from staging import StagedRun

from qatviz.presentation.histogram import legend_entries
from qatviz.protocol.commands import ChangeSettings
from qatviz.report.histogram import SIZE, Shown, common_axis, histogram, legend, shown_at


def shown(*settings, tensor="dense1.weights", change=lambda run: None):
    run = StagedRun("mlp")
    run.send(ChangeSettings(settings or (("*.weights.num_bits", 8),)))
    run.advance(1, snapshot=False)
    change(run)
    snapshot = run.take_snapshot()
    index = run.plan.index(tensor)
    return shown_at(snapshot, run.plan.tensors[index], index), snapshot.histograms[tensor]


def picture(found, axis=None):
    return ElementTree.fromstring(histogram(found, "a tensor", axis))


def test_a_histogram_has_a_description():
    found, recorded = shown(("dense1.weights.num_bits", 3), ("dense1.weights.per_channel", False))
    svg = picture(found)
    assert (float(svg.get("width")), float(svg.get("height"))) == SIZE
    assert svg.find("title").text == "a tensor" and svg.find("desc").text == found.words
    counted = int(recorded.float_counts.sum())
    assert recorded.size == counted and found.words.startswith(f"{counted:,} values from ")
    assert "3 bits, representable" in found.words and "rounded to zero" in found.words and "clipped" in found.words
    assert shown(("dense1.weights.enabled", False))[0].words.endswith("; in float")


def test_a_histogram_of_a_sample_is_marked_as_such():
    run = StagedRun("mlp")
    snapshot, index = run.take_snapshot(), run.plan.index("dense1.weights")
    recorded = snapshot.histograms["dense1.weights"]
    snapshot.histograms["dense1.weights"] = replace(recorded, size=100_000)
    found = shown_at(snapshot, run.plan.tensors[index], index)
    assert found.words.startswith(f"sample of {recorded.float_counts.sum():,} of 100,000 values from ")


def test_a_histogram_may_use_the_axis_of_another():
    found, _ = shown()
    low, high = found.extent
    labels = [
        [text.text for text in picture(found, axis).iter("text")]
        for axis in (None, (low * 10, high * 10), found.extent)
    ]
    assert labels[0] == labels[2] != labels[1]


def test_histograms_of_constant_and_of_infinite_values():
    def constant(run):
        run.values_of("dense1.weights")[:] = 0.25

    found, _ = shown(change=constant)
    assert found.extent[1] > found.extent[0] and picture(found) is not None
    found, recorded = shown()
    broken = recorded.__class__(**dict(vars(recorded), edges=np.full_like(recorded.edges, np.nan)))
    run = StagedRun("mlp")
    snapshot = run.take_snapshot()
    snapshot.histograms["dense1.weights"] = broken
    assert shown_at(snapshot, run.plan.tensor("dense1.weights"), run.plan.index("dense1.weights")) is None


def test_before_and_after_share_an_axis_unless_it_would_squeeze_one():
    assert common_axis((-1, 1), (-2, 1.5)) == (-2, 1.5)
    assert common_axis((-0.1, 0.1), (-2, 2)) is None
    assert isinstance(shown()[0], Shown)


def test_the_legend_lists_the_parts_of_the_report():
    entries = ElementTree.fromstring(legend([None])).findall("span")
    expected = legend_entries()
    assert [span.find("abbr").text for span in entries] == [entry.label for entry in expected]
    assert [span.find("abbr").get("title") for span in entries] == [entry.about for entry in expected]
    assert all(len(span.find("svg")) for span in entries)
