"""The plots of the evolution panel: what each draws of a run's history."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from PyQt5 import QtCore

from qatviz.metric import ACCURACY, WAYS, Metric

#: With more tensors than these, only the current one's parts of the error are drawn.
_PARTS_OF_AT_MOST = 2


class PlotKind(NamedTuple):
    """One plot.

    Attributes
    ----------
    key, button, title : str
        Name in the settings; text of the toggle; heading, with the unit.
    pattern : str
        Series of a tensor, with its name for ``{}``; empty for plots of the whole run.
    ways : str
        Series of the four evaluations, with the names of :data:`qatviz.metric.WAYS` for ``{}``; else empty.
    about : str
        Explains the term in a sentence.
    unit : str
        Follows a value.
    factor : float
        From the history's unit to the shown one.
    can_log, log : bool
        Whether a logarithmic axis makes sense, and is the default.
    limits : tuple
        The axis never reaches beyond.
    least : float
        Smallest height of the axis in the shown unit: noise shall not look like news.
    digits : int or None
        Decimals of a value; None: as many as it needs.
    waits_for : str
        Said while there is nothing to draw.
    """

    key: str
    button: str
    title: str
    pattern: str = ""
    about: str = ""
    unit: str = ""
    factor: float = 1.0
    can_log: bool = False
    log: bool = False
    limits: Tuple[float, float] = (-float("inf"), float("inf"))
    least: float = 0.0
    digits: Optional[int] = None
    waits_for: str = "waits for the first step"
    ways: str = ""


class CurveSpec(NamedTuple):
    """One curve: its series, and how it is drawn. ``color``: a number in the theme's series, or a name of the theme."""

    series: str
    key: str
    name: str
    color: object
    about: str = ""
    style: int = QtCore.Qt.SolidLine
    width: int = 1
    in_legend: bool = True
    minor: bool = False  # the axis need not show all of it


#: The plot of evaluations, whatever their metric, goes by the name that the settings of users know.
LOSS, SCORE, ERROR, RATE = "loss", "accuracy", "error", "learning_rate"


def score_kind(metric: Metric) -> PlotKind:
    """The plot of what evaluations measure."""
    shares = metric.factor * metric.highest
    return PlotKind(
        SCORE,
        metric.title[0].upper() + metric.title[1:],
        metric.heading,
        unit=metric.unit,
        factor=metric.factor,
        can_log=not metric.unit,
        limits=(-1.0, shares + 1.0) if metric.unit else (-float("inf"), float("inf")),
        least=2.0 if metric.unit else 0.0,
        digits=1 if metric.unit else None,
        waits_for="waits for the first evaluation on held-out data",
        about=f"{metric.about}: with float values, with only the weights quantized, only the activations, and both.",
        ways=metric.name + ".{}",
    )


KINDS = (
    PlotKind(
        LOSS,
        "Loss",
        "Loss",
        can_log=True,
        about="What training makes small: how far the network's answers are from the right ones, on the batch of "
        "each step, with quantization as it is set.",
    ),
    score_kind(ACCURACY),
    PlotKind(
        "sqnr",
        "SQNR",
        "SQNR (dB)",
        "{}/sqnr_db",
        unit=" dB",
        least=6.0,
        digits=1,
        about="Signal-to-quantization-noise ratio: how much larger the values are than the error of quantizing "
        "them; one bit more gives about 6 dB.",
    ),
    PlotKind(
        ERROR,
        "Error",
        "Error (MSE)",
        "{}/mse",
        can_log=True,
        log=True,
        about="Mean squared difference of float and quantized values. It is the sum of a clipping part (values "
        "outside the range) and a rounding part (between two levels).",
    ),
    PlotKind(
        "scale",
        "Scale",
        "Scale",
        "{}/scale",
        can_log=True,
        log=True,
        about="The step between two neighbouring quantized values (of the coarsest channel, where quantized per "
        "channel).",
    ),
    PlotKind(
        "zero_point",
        "Zero point",
        "Zero point",
        "{}/zero_point",
        least=4.0,
        digits=0,
        about="The integer code that stands for the value 0; 0 where the grid is symmetric.",
    ),
    PlotKind(
        "flip_rate",
        "Flips",
        "Flip rate (%)",
        "snapshot:{}/flip_rate",
        unit=" %",
        factor=100.0,
        limits=(-1.0, 101.0),
        least=1.0,
        digits=2,
        waits_for="waits for a second snapshot to compare with",
        about="Share of the integer codes that changed from one snapshot to the next: weights that swing between "
        "two codes keep it high.",
    ),
    PlotKind(
        RATE,
        "Rate",
        "Learning rate",
        can_log=True,
        log=True,
        about="The factor that turns a gradient into a step of the weights.",
    ),
)
DEFAULT_SHOWN = (LOSS, SCORE, "sqnr")

_WAY_COLORS = dict(zip(WAYS, ("float_values", 1, 2, "in_range")))
_WAY_ABOUT = dict(
    zip(
        WAYS,
        (
            "Nothing is quantized.",
            "Only the weights are quantized.",
            "Only the activations are quantized.",
            "Weights and activations are quantized.",
        ),
    )
)
_PARTS = (
    ("clipping", QtCore.Qt.DashLine, "Part of the error from values outside the range (dashed)."),
    ("rounding", QtCore.Qt.DotLine, "Part of the error from values between two levels (dotted)."),
)


def curves_of(kind: PlotKind, tensors: Sequence[str], current: str) -> List[CurveSpec]:
    """The curves of a plot, for the tensors in their order; the most important one first."""
    if kind.ways:
        return [
            CurveSpec(
                kind.ways.format(way),
                "way." + way,
                way.replace("_only", ""),
                _WAY_COLORS[way],
                _WAY_ABOUT[way],
                width=2 if way == "quantized" else 1,
            )
            for way in reversed(WAYS)
        ]
    if not kind.pattern:
        return [CurveSpec(kind.key, kind.key, "", 0)]
    curves = [
        CurveSpec(kind.pattern.format(name), "tensor." + name, name, i, width=2 if name == current else 1)
        for i, name in enumerate(tensors)
    ]
    if kind.key == ERROR:
        detailed = tensors if len(tensors) <= _PARTS_OF_AT_MOST else [current]
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
