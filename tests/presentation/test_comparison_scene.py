"""Charts of compared runs, and distributions of two states of a tensor."""

import numpy as np
import pytest

from qatviz.analysis.comparison import LOSS, SECONDS, STEPS, AlignedCurve, ComparedRun, Track, compare
from qatviz.measures import MEASURES
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.presentation import comparison as scenes
from qatviz.presentation.chart import plot_axis
from qatviz.presentation.scene import Area, Band, Group, Line, Rects, Text, estimated_metrics
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import TensorHistogram
from qatviz.telemetry.run_summary import RunSummary

BOOK = SettingsBook.from_preset(quantization_plan(zoo.build("mlp", (28, 28, 1), 10)), "tflite-int8")
METRICS = estimated_metrics(10.5, 6.2)
SIZE = (300.0, 150.0)


def run(values, seed=0, first_step=0, **about):
    steps = np.arange(1.0, len(values) + 1)
    track = Track(steps, steps / 10, np.array(values, np.float64))
    described = dict({"batch_size": 32, "seed": seed, "network": {}}, **about)
    return ComparedRun(RunSummary(f"/runs/s{seed}"), described, BOOK, {LOSS: track}, first_step)


def histogram(low, high, counts, codes=(0, 3, 1, 0), code_min=-2):
    counts = np.array(counts, np.int64)
    edges = np.linspace(low, high, len(counts) + 1).astype(np.float32)
    code_counts = None if codes is None else np.array(codes, np.int64)
    one = np.zeros(1, np.float32)
    return TensorHistogram(edges, counts, counts, code_min, code_counts, one, one, one + 1, one.astype(np.int32))


def flat(shapes):
    return [part for shape in shapes for part in (flat(shape.shapes) if isinstance(shape, Group) else [shape])]


def of_type(shapes, kind):
    return [shape for shape in flat(shapes) if isinstance(shape, kind)]


def chart_of(curves, size=SIZE, x_axis=STEPS):
    return scenes.chart_shapes(size, curves, plot_axis("Loss", MEASURES["loss"].axis), x_axis, METRICS)


def test_each_run_has_a_curve_in_its_own_colour():
    curves = scenes.curves_of(compare([run([3, 2, 1]), run([4, 3, 2], seed=1)]), LOSS, STEPS)
    assert [named.name for named in curves] == ["s0", "s1"]
    assert len({named.stroke.role for named in curves}) == 2
    assert len({scenes.run_stroke(index) for index in range(24)}) == 24, "colours and dashes"
    lines = of_type(chart_of(curves), Line)
    assert len(lines) == 2 and not of_type(chart_of(curves), Band)
    assert all((line.x >= 0).all() and (line.x <= SIZE[0]).all() for line in lines)


def test_a_group_is_a_mean_with_the_band_of_its_seeds():
    found = compare([run([3, 2, 1]), run([5, 4, 3], seed=1), run([9, 9, 9], optimizer="sgd")])
    curves = scenes.curves_of(found, LOSS, STEPS, by_group=True)
    assert [named.curve.mean.tolist() for named in curves] == [[4, 3, 2], [9, 9, 9]]
    assert len(of_type(chart_of(curves), Band)) == 1
    (alone,) = scenes.curves_of(found, LOSS, STEPS, by_group=True, shown=[1])
    assert alone.name == "s1" and alone.curve.mean.tolist() == [5, 4, 3]


def test_what_a_fork_has_from_its_parent_is_fainter():
    curves = scenes.curves_of(compare([run([5, 4, 3, 2, 1], first_step=3)]), LOSS, SECONDS)
    assert curves[0].own_from == pytest.approx(0.3)
    own, inherited = scenes.drawn_curves(curves, plot_axis("Loss", MEASURES["loss"].axis, False))
    assert own.stroke.opacity > inherited.stroke.opacity
    assert inherited.x.tolist() == pytest.approx([0.1, 0.2, 0.3]) and own.x.tolist() == pytest.approx([0.3, 0.4, 0.5])


def test_runs_of_another_metric_have_no_curve_of_it():
    def scored(metric, seed):
        track = Track(np.array([1.0]), np.array([1.0]), np.array([0.5]))
        found = run([1], seed)
        return found._replace(summary=found.summary._replace(metric=metric), tracks={"quantized": track})

    found = compare([scored("accuracy", 0), scored("rmse", 1)])
    assert [named.name for named in scenes.curves_of(found, "quantized", STEPS)] == ["s0"]


def test_there_is_no_chart_without_values():
    assert chart_of([]) == []
    nan = np.array([np.nan])
    assert chart_of([scenes.NamedCurve("a", scenes.run_stroke(0), AlignedCurve(np.array([1.0]), nan, nan, nan))]) == []


@pytest.mark.parametrize("size", [(20.0, 10.0), (1.0, 1.0), (3000.0, 2000.0)])
def test_any_size_is_drawn(size):
    curves = scenes.curves_of(compare([run([3, 2, 1])]), LOSS, STEPS)
    pair = [histogram(-1, 1, [1, 2]), histogram(-2, 1, [1, 2])]
    for shapes in (chart_of(curves, size), *(draw(size, pair, METRICS) for draw in DRAWINGS)):
        assert shapes


DRAWINGS = (scenes.overlaid_histograms, scenes.overlaid_codes)


def test_overlaid_histograms_are_densities_on_a_common_axis():
    """Equal distributions with other bins and other numbers of values lie upon each other."""
    first, second = histogram(-1, 1, [10, 10]), histogram(-1, 1, [100, 100, 100, 100])
    one, other = of_type(scenes.overlaid_histograms(SIZE, [first, second], METRICS), Area)
    assert (one.x.min(), one.x.max(), one.y.min()) == pytest.approx((other.x.min(), other.x.max(), other.y.min()))
    assert one.fill is not None and other.fill is None
    wide = of_type(scenes.overlaid_histograms(SIZE, [first, histogram(-3, 3, [20, 20])], METRICS), Area)
    heights = [area.y.max() - area.y.min() for area in wide]
    assert heights[0] == pytest.approx(3 * heights[1]), "three times as wide"


def test_a_histogram_of_equal_values_and_one_without_values_are_drawn():
    assert len(of_type(scenes.overlaid_histograms(SIZE, [histogram(2, 2, [5, 0]), None], METRICS), Area)) == 1
    assert scenes.overlaid_histograms(SIZE, [histogram(0, 1, [0, 0]), None], METRICS) == []


def test_overlaid_codes_are_at_their_own_places():
    pair = [histogram(-1, 1, [1], (0, 3, 1, 0), -2), histogram(-1, 1, [1], (1, 1, 1, 1, 1, 1, 1, 1), -4)]
    shapes = scenes.overlaid_codes(SIZE, pair, METRICS)
    (bars,), lines = of_type(shapes, Rects)[-1:], of_type(shapes, Line)
    assert len(bars.left) == 4 and len(lines) == 1
    assert lines[0].x.min() < bars.left.min() and lines[0].x.max() > bars.right.max()
    assert scenes.overlaid_codes(SIZE, [histogram(0, 1, [1], None), None], METRICS) == []


@pytest.mark.parametrize("draw, title", list(zip(DRAWINGS, ("float values", "integer codes"))))
def test_the_title_is_above_the_distributions(draw, title):
    shapes = draw(SIZE, [histogram(-1, 1, [1, 2]), histogram(-2, 1, [1, 2])], METRICS)
    (text,) = [shape for shape in of_type(shapes, Text) if shape.text == title]
    outline = of_type(shapes, Area if draw is scenes.overlaid_histograms else Line)[-1]
    assert 0 < text.y < outline.y.min(), "nothing is drawn over it"


def test_samples_show_the_strokes_of_runs():
    assert scenes.swatch(3, 20, 8)[0].stroke.role == scenes.run_stroke(3).role
    assert {type(scenes.state_swatch(role, 20, 8)[0]).__name__ for role in (scenes.FIRST, scenes.SECOND)} == {
        "Rects",
        "Segments",
    }
