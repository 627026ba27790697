"""Plots of the evolution panel: their measures and curves."""

from typing import Callable, List, NamedTuple, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.measure_axis import MeasureAxis
from qatviz.measures import MEASURES
from qatviz.metric import MODE_NAMES, MODES
from qatviz.presentation.score_texts import HELD_OUT_LOSS, TOTAL, of_output
from qatviz.presentation.strength_series import STRENGTH
from qatviz.protocol.snapshots import STEP_SAMPLE
from qatviz.telemetry.score_series import DEFAULT_METRICS, ScoreSeries, loss_name, step_loss_name

#: Maximum number of tensors for which the parts of the error, clipping and rounding, have curves of their own; of more
#: tensors, only the current one has them.
_MAX_WITH_PARTS = 2
_SAMPLED = (
    f" Exact for tensors of up to {STEP_SAMPLE:,} values and at the steps of snapshots; otherwise an estimate from "
    f"{STEP_SAMPLE:,} values, with its standard error: ≈ 38.2 dB ± 0.3."
)
_FIRST_STEP, _FIRST_EVALUATION = (
    "Waiting for the first training step",
    "Waiting for the first evaluation on held-out data",
)
#: Sign in the keys of plots of further metrics, after that of the toggle that shows them.
_OF_OUTPUT = ":"


class PlotKind(NamedTuple):
    """Declaration of one plot.

    Attributes
    ----------
    key, button, title : str
        Name in the settings; text of the toggle; heading, with the unit.
    about : str
        One sentence that explains the term.
    axis : MeasureAxis
    text : callable
        Returns the text of a stored value, with its unit. For the series of a tensor, the keyword ``error`` is the
        standard error of the value.
    pattern : str
        Name of a tensor's series, with ``{}`` for the tensor's name; empty for plots of the whole run.
    waits_for : str
        Text that is shown while there are no values.
    mode_series : tuple of str
        Names of the series of evaluations in the :data:`qatviz.metric.MODES`; empty for other plots.
    outputs : tuple of str
        Names of several outputs whose losses are plotted; empty for other plots.
    is_setting : bool
        Whether a series is a setting of its tensor, which is constant between changes.
    """

    key: str
    button: str
    title: str
    about: str
    axis: MeasureAxis
    text: Callable[..., str]
    pattern: str = ""
    waits_for: str = _FIRST_STEP
    mode_series: Tuple[str, ...] = ()
    outputs: Tuple[str, ...] = ()
    is_setting: bool = False

    @property
    def is_evaluated(self) -> bool:
        """Whether it shows results of evaluations, each of which is a dot."""
        return bool(self.mode_series) or self.key == _HELD_OUT

    @property
    def group(self) -> str:
        """Key of the toggle that shows the plot."""
        return self.key.partition(_OF_OUTPUT)[0]


class CurveSpec(NamedTuple):
    """Series of one curve, and its style.

    ``key`` identifies its entry in the legend, ``name`` is the text there; ``color`` is a role, or an index in the
    palette's series.
    """

    series: str
    key: str
    name: str
    color: object
    about: str = ""
    style: int = QtCore.Qt.SolidLine
    width: int = 1
    in_legend: bool = True
    minor: bool = False  # whether part of it may lie outside the axis


#: Keys of plots, which users' settings refer to; that of evaluations is the same for every metric.
LOSS, SCORE, ERROR, RATE = "loss", "accuracy", "error", "learning_rate"
#: Key of the plot of the losses of several outputs on held-out data.
_HELD_OUT = f"{LOSS}{_OF_OUTPUT}held_out"


def loss_kind(outputs: Sequence[str]) -> PlotKind:
    """Return the plot of the loss of training steps, with a curve of each of several outputs."""
    return _kind(LOSS, "loss")._replace(outputs=tuple(outputs))


def score_kinds(scores: ScoreSeries) -> List[PlotKind]:
    """Return the plots of evaluations: by each metric, of each output, and of the losses of several outputs.

    That of the first metric is the first.
    """
    kinds = []
    for index, (output, metric) in enumerate(scores.metrics):
        kinds.append(
            PlotKind(
                f"{SCORE}{_OF_OUTPUT}{index}" if index else SCORE,
                "Metrics" if scores.outputs else metric.capitalized_title,
                of_output(metric.heading, output),
                f"{metric.about}: in float, with weights only, with activations only, and with both quantized.",
                metric.axis,
                metric.text,
                waits_for=_FIRST_EVALUATION,
                mode_series=tuple(scores.name(index, mode) for mode in MODES),
            )
        )
    if scores.outputs:
        loss = MEASURES["loss"]
        about = "Loss of each output on held-out data, quantized, and the weighted sum of these."
        title = HELD_OUT_LOSS
        kinds.append(
            PlotKind(
                _HELD_OUT,
                title,
                title,
                about,
                loss.axis,
                loss.text,
                waits_for=_FIRST_EVALUATION,
                outputs=scores.outputs,
            )
        )
    return kinds


def _kind(key: str, measure: str, pattern: str = "", waits_for: str = _FIRST_STEP) -> PlotKind:
    shown = MEASURES[measure]
    is_sampled = pattern.startswith("{}") and measure not in ("scale", "scale_gradient", "zero_point", "num_bits")
    about = shown.help + (_SAMPLED if is_sampled else "")
    return PlotKind(
        key, shown.short or shown.label, shown.axis_title, about, shown.axis, shown.text, pattern, waits_for
    )


#: Text while there are no values of oscillation.
NOT_TRACKED = "Waiting for “Track oscillation”, dampening or a freezing threshold"
KINDS = (
    loss_kind(()),
    *score_kinds(ScoreSeries(DEFAULT_METRICS, ())),
    _kind("sqnr", "sqnr_db", "{}/sqnr_db"),
    _kind(ERROR, "mse", "{}/mse"),
    _kind("scale", "scale", "{}/scale"),
    _kind("scale_gradient", "scale_gradient", "{}/scale_gradient", "No tensor has a learned range"),
    _kind("zero_point", "zero_point", "{}/zero_point"),
    _kind("flip_rate", "flip_rate", "snapshot:{}/flip_rate", "Waiting for a second snapshot to compare with"),
    _kind("oscillating", "oscillating", "snapshot:{}/oscillating", NOT_TRACKED),
    _kind("frozen_weights", "frozen_weights", "snapshot:{}/frozen_weights", "Waiting for a freezing threshold"),
    _kind(RATE, "learning_rate"),
    _kind(STRENGTH, STRENGTH),
    _kind("bits", "num_bits", "{}.num_bits")._replace(is_setting=True),
)
DEFAULT_SHOWN = (LOSS, SCORE, "sqnr")

_MODE_COLORS = dict(zip(MODES, ("float_values", 1, 2, "in_range")))
_MODE_ABOUT = dict(
    zip(
        MODES,
        (
            "Nothing is quantized.",
            "Only the weights are quantized.",
            "Only the activations are quantized.",
            "Weights and activations are quantized.",
        ),
    )
)
_PARTS = (
    ("clipping", QtCore.Qt.DashLine, MEASURES["mse_clipping"].help + " (Dashed.)"),
    ("rounding", QtCore.Qt.DotLine, MEASURES["mse_rounding"].help + " (Dotted.)"),
)


def curves_of(kind: PlotKind, tensors: Sequence[str], current: str) -> List[CurveSpec]:
    """Return the curves of a plot, in the order of the tensors, or with the most important one first."""
    if kind.mode_series:
        return [
            CurveSpec(
                series,
                "way." + mode,
                MODE_NAMES[mode],
                _MODE_COLORS[mode],
                _MODE_ABOUT[mode],
                width=2 if mode == "quantized" else 1,
            )
            for mode, series in reversed(list(zip(MODES, kind.mode_series)))
        ]
    if kind.outputs:
        if kind.is_evaluated:
            whole, series = loss_name(), [loss_name(output) for output in kind.outputs]
        else:
            whole, series = kind.key, [step_loss_name(output) for output in kind.outputs]
        total = CurveSpec(whole, "output.", TOTAL, 0, "Weighted sum of the losses.", width=2)
        names = zip(series, kind.outputs)
        return [total, *(CurveSpec(own, "output." + name, name, i) for i, (own, name) in enumerate(names, 1))]
    if not kind.pattern:
        return [CurveSpec(kind.key, kind.key, "", 0)]
    curves = [
        CurveSpec(kind.pattern.format(name), "tensor." + name, name, i, width=2 if name == current else 1)
        for i, name in enumerate(tensors)
    ]
    if kind.key == ERROR:
        detailed = tensors if len(tensors) <= _MAX_WITH_PARTS else [current]
        curves += [
            CurveSpec(
                f"{name}/mse_{part}",
                "part." + part,
                part,
                list(tensors).index(name),
                about,
                style,
                in_legend=name == detailed[0],
                minor=True,
            )
            for part, style, about in _PARTS
            for name in detailed
            if name in tensors
        ]
    return curves
