"""Figures of curves in a report: of the run and of each tensor, with explanations."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.measure_declaration import Measure
from qatviz.measures import MEASURES
from qatviz.metric import MODE_NAMES, MODES
from qatviz.network.plan import QuantizedTensor
from qatviz.presentation.chart import Axis, plot_axis
from qatviz.presentation.event_texts import activated_words, changes_words
from qatviz.presentation.score_texts import HELD_OUT_LOSS, TOTAL, of_output
from qatviz.presentation.series import Points, thin, width_for
from qatviz.presentation.strength_series import STRENGTH
from qatviz.report.chart import Curve, Marker, chart, legend_key
from qatviz.report.markup import Markup, element, join
from qatviz.report.run_data import ChangePoint, RunData
from qatviz.settings import KINDS, WEIGHTS
from qatviz.telemetry.record.refill import EVALUATIONS, scores_in
from qatviz.telemetry.score_series import loss_name, step_loss_name

#: Sizes of charts of the run, and of those of one tensor, px.
WIDE, MIDDLE, SMALL = (520.0, 190.0), (346.0, 150.0), (256.0, 118.0)
#: Minimum distance of two points of a curve, px.
_PX_PER_POINT = 1.6
#: Maximum relative difference of equal learning rates.
_SAME_RATE = 1e-6
#: Number of evaluations from which their curves are averaged like the others; below it, each has a point.
_MANY_EVALUATIONS = 300


class TensorChart(NamedTuple):
    """Chart that every tensor of the ``kinds`` has: its measure, and its curves.

    A curve is a pattern of the series' name, its name in the legend, and its style. ``missing`` is the reason if there
    are no values.
    """

    measure: Measure
    curves: Tuple[Tuple[str, str, str], ...]
    size: Tuple[float, float] = SMALL
    missing: str = "it was not quantized"
    kinds: Tuple[str, ...] = KINDS


#: Styles of the parts of the error, which may lie outside the axis if they are nearly 0.
_PARTS = ("clipping", "rounding")
#: Reason for an empty chart of a tensor without an error.
_EXACT = "exact, there is no error to show"
TENSOR_CHARTS = (
    TensorChart(
        MEASURES["mse"],
        (
            ("{}/mse", "all", "whole"),
            ("{}/mse_clipping", "clipping", "clipping"),
            ("{}/mse_rounding", "rounding", "rounding"),
        ),
        MIDDLE,
    ),
    TensorChart(MEASURES["sqnr_db"], (("{}/sqnr_db", "", "s0"),)),
    TensorChart(MEASURES["scale"], (("{}/scale", "", "s0"),)),
    TensorChart(MEASURES["scale_gradient"], (("{}/scale_gradient", "", "s0"),), SMALL, "its range was not learned"),
    TensorChart(MEASURES["zero_point"], (("{}/zero_point", "", "s0"),)),
    TensorChart(
        MEASURES["flip_rate"],
        (("snapshot:{}/flip_rate", "", "s0"),),
        SMALL,
        "there are no two snapshots of quantized values to compare",
        (WEIGHTS,),
    ),
    *(
        TensorChart(MEASURES[key], ((f"snapshot:{{}}/{key}", "", "s0"),), SMALL, missing, (WEIGHTS,))
        for key, missing in (
            ("oscillating", "oscillation was not tracked"),
            ("frozen_weights", "no freezing threshold was set"),
        )
    ),
)
_MODE_STYLES = dict(zip(MODES, ("float-line", "s1", "s2", "quantized-line")))


class Figure(NamedTuple):
    """Picture with title, explanation (``about``) and legend: (name, style) of each curve.

    Without a ``picture``, ``missing`` is the reason.
    """

    title: str
    picture: Optional[Markup]
    size: Tuple[float, float]
    missing: str = ""
    legend: Tuple[Tuple[str, str], ...] = ()
    about: str = ""

    def markup(self) -> Markup:
        """Return the picture with its caption above."""
        keys = [element("span", legend_key(style), name) for name, style in self.legend]
        legend = element("span", keys, class_="legend") if keys else None
        about = element("span", self.about, class_="about") if self.about else None
        return element(
            "figure",
            element("figcaption", element("b", self.title), legend, about),
            self.picture,
            class_=f"size-{self.size[0]:.0f}",
        )


def gallery(figures: Sequence[Figure]) -> Markup:
    """Return the pictures side by side, and below them the reasons why others are missing."""
    shown = [figure.markup() for figure in figures if figure.picture is not None]
    absent = [f"{figure.title}: {figure.missing}" for figure in figures if figure.picture is None]
    return join(
        element("div", shown, class_="figures") if shown else None,
        element("p", "Not drawn: " + "; ".join(absent) + ".", class_="missing") if absent else None,
    )


def markers_of(points: Sequence[ChangePoint], tensor: str = "") -> List[Marker]:
    """Return numbered markers of setting changes; those of `tensor` are emphasized (all if it is empty)."""
    return [
        Marker(
            point.step,
            str(index),
            f"{index}: step {point.step:,}: {change_point_text(point)}",
            not tensor or tensor in point.tensors,
        )
        for index, point in enumerate(points, 1)
    ]


def change_point_text(point: ChangePoint) -> str:
    """Return the setting changes at a step in one line."""
    activated = activated_words(point.activated) if point.activated else ""
    return "; ".join(filter(None, (changes_words(point.changes), activated)))


def run_figures(run: RunData) -> List[Figure]:
    """Return the figures of losses and metrics, of the learning rate if it was changed, and of a strength ramp."""
    loss, rate, strength = MEASURES["loss"], MEASURES["learning_rate"], MEASURES[STRENGTH]
    outputs = scores_in(run.history).outputs
    losses = _loss_curves(("loss", *map(step_loss_name, outputs)), outputs)
    loss_axis = plot_axis(loss.axis_title, loss.axis, all(_spans_decades(run, key) for key, _, _ in losses))
    figures = [_figure(run, loss_axis, losses, "no step was done yet"), *_evaluation_figures(run)]
    rates = run.series("learning_rate")
    if len(rates.mean) and np.nanmax(rates.maximum) > np.nanmin(rates.minimum) * (1 + _SAME_RATE):
        figures.append(_figure(run, plot_axis(rate.axis_title, rate.axis), (("learning_rate", "", "s0"),), ""))
    if (run.series(STRENGTH).minimum < 1).any():
        figures.append(_figure(run, plot_axis(strength.axis_title, strength.axis), ((STRENGTH, "", "s0"),), ""))
    return figures


def _evaluation_figures(run: RunData) -> List[Figure]:
    """Return the figures of all metrics, and that of the losses of several outputs."""
    scores, missing, figures = scores_in(run.history), "it was not evaluated on held-out data yet", []
    for index, (output, metric) in enumerate(scores.metrics):
        series = tuple((scores.name(index, mode), MODE_NAMES[mode], _MODE_STYLES[mode]) for mode in reversed(MODES))
        axis = plot_axis(of_output(metric.heading, output), metric.axis)
        figures.append(_figure(run, axis, series, missing))
    if scores.outputs:
        losses = _loss_curves(tuple(map(loss_name, ("", *scores.outputs))), scores.outputs)
        measure = MEASURES["loss"]
        is_log = all(_spans_decades(run, key) for key, _, _ in losses)
        figures.append(_figure(run, plot_axis(HELD_OUT_LOSS, measure.axis, is_log), losses, missing))
    return figures


def _loss_curves(series: Sequence[str], outputs: Sequence[str]) -> Tuple[Tuple[str, str, str], ...]:
    """Return the curves of the series of the total loss and of the loss of each output."""
    names = (TOTAL, *outputs) if outputs else ("",)
    return tuple((key, name, f"s{index % 8}") for index, (key, name) in enumerate(zip(series, names)))


def tensor_figures(run: RunData, tensor: QuantizedTensor) -> List[Figure]:
    """Return all figures of a tensor."""
    figures = []
    for declared in TENSOR_CHARTS:
        if tensor.kind in declared.kinds:
            series = tuple((pattern.format(tensor.name), name, style) for pattern, name, style in declared.curves)
            axis = plot_axis(declared.measure.axis_title, declared.measure.axis)
            figures.append(_figure(run, axis, series, declared.missing, declared.size, tensor.name))
    return figures


def _figure(
    run: RunData,
    axis: Axis,
    series: Tuple[Tuple[str, str, str], ...],
    missing: str,
    size: Tuple[float, float] = WIDE,
    tensor: str = "",
) -> Figure:
    end = max(run.outcome.step, 1)
    width = width_for(end, int(size[0] / _PX_PER_POINT))
    curves = [Curve(name, _points(run, key, width), style, style in _PARTS) for key, name, style in series]
    drawn = [curve for curve in curves if np.isfinite(curve.points.mean).any()]
    picture = chart(axis, drawn, (0, end), size, tensor, markers_of(run.change_points, tensor))
    legend = tuple((curve.name, curve.style) for curve in drawn if curve.name)
    steps = curves[0].points.first
    was_quantized = bool(tensor) and run.active_at(tensor, steps).any()
    return Figure(axis.title, picture, size, _EXACT if was_quantized and _is_exact(curves) else missing, legend)


def _is_exact(curves: Sequence[Curve]) -> bool:
    """Return whether values are missing because the error is 0, which has no logarithm and an infinite SQNR."""
    values = np.concatenate([curve.points.mean for curve in curves])
    return bool(((values == 0) | (values == np.inf)).any())


def _points(run: RunData, key: str, width: int) -> Points:
    """Return a series in points of ``width`` steps."""
    found = run.series(key)
    is_single = key in run.history.names(EVALUATIONS) and len(found.mean) < _MANY_EVALUATIONS
    return thin(found, 1 if is_single else width)


def _spans_decades(run: RunData, key: str) -> bool:
    """Return whether a logarithmic axis suits a series: it is positive, and its means differ tenfold."""
    mean = run.series(key).mean
    mean = mean[np.isfinite(mean)]
    return bool(len(mean) and mean.min() > 0 and mean.max() / mean.min() > 10)


def explained() -> Markup:
    """Return the list of measures in the charts of tensors with their explanations."""
    measures = [declared.measure for declared in TENSOR_CHARTS]
    return element("dl", [join(element("dt", measure.label), element("dd", measure.help)) for measure in measures])
