"""Plot of the evolution panel: heading, and the visible parts of the curves, read from the history."""

import time
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.bar import Smoothing
from qatviz.gui.panels.evolution.canvas import Canvas
from qatviz.gui.panels.evolution.kinds import LOSS, CurveSpec, PlotKind, curves_of
from qatviz.gui.panels.evolution.legend import Entry, Legend
from qatviz.gui.panels.evolution.time_axis import TimeAxis
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.figures.svg import IS_FIGURE
from qatviz.gui.widgets.scene_painter import small_font
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import UNKNOWN
from qatviz.presentation.chart import Axis, Curve, curve_of, plot_axis
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.palette import series_role
from qatviz.presentation.scene import DASHED, DOTTED, Stroke
from qatviz.presentation.series import NO_POINTS, Clock, Points, SeriesReader, estimates, smooth, width_for
from qatviz.telemetry.history import SeriesSource

#: Maximum number of points of a curve, and of all faint curves of a plot together.
_MAX_POINTS, _MAX_FAINT_POINTS = 2000, 6000
#: Interval (s) at which a curve is drawn while only its last point changes.
SETTLE_S = 0.5
_DASHES = {QtCore.Qt.DashLine: DASHED, QtCore.Qt.DotLine: DOTTED}
#: Stroke of the curves of all other tensors, behind those of the selected ones.
_FAINT = Stroke("muted", opacity=0.35)
#: Number of time constants before the visible part at which the moving average starts.
_LEAD = 4


class View(NamedTuple):
    """State that all plots share when they are drawn.

    ``tensors`` are drawn in colour, ``current`` among them with a wider line, and ``others`` faintly; ``hidden`` are
    the keys of curves that the legend hides. ``moment`` is the step of the past that is shown; None: the newest.
    ``setting`` returns the values of a tensor's setting over the run.
    """

    history: SeriesSource
    reader: SeriesReader
    axis: TimeAxis
    clock: Clock
    tensors: Tuple[str, ...]
    current: str
    others: Tuple[str, ...]
    hidden: FrozenSet[str]
    smoothed_steps: int
    moment: Optional[int] = None
    setting: Callable[[str], Points] = lambda _: NO_POINTS

    def points(self, kind: PlotKind, name: str, start: float, stop: float, width: int) -> Points:
        """Return the points of the curve ``name`` of a plot.

        Those of a setting are all of its changes; of other series, see :meth:`.SeriesReader.points`.
        """
        return self.setting(name) if kind.is_setting else self.reader.points(name, start, stop, width)

    def x_of(self, steps: np.ndarray) -> np.ndarray:
        return self.clock.seconds(steps) if self.axis.unit == "seconds" else np.asarray(steps, np.float64)

    def step_at(self, x: float) -> float:
        return float(self.clock.steps(x)) if self.axis.unit == "seconds" else float(x)


class _Drawn(NamedTuple):
    """Curve as it was read; ``values`` are those of the legend."""

    spec: CurveSpec
    points: Points
    values: np.ndarray


class _Drawing(NamedTuple):
    """Last drawing of a plot.

    Attributes
    ----------
    inputs : tuple
        Everything that it depends on, except the points.
    ends : list of (int, int) or None
        Number of points of each curve and first step of its last point; None without points.
    points : list of Points
    time : float
        When it was drawn, monotonic time, s.
    """

    inputs: Tuple[Any, ...]
    ends: List[Optional[Tuple[int, int]]]
    points: List[Points]
    time: float


class EvolutionPlot(QtWidgets.QWidget):
    """Legend above a canvas.

    Attributes
    ----------
    kind : PlotKind
    canvas : Canvas
    legend : Legend
    is_behind : bool
        Whether the last point of a curve has changed since it was drawn.
    """

    #: Emitted when the axis was made logarithmic or linear.
    log_toggled = QtCore.pyqtSignal()

    def __init__(
        self, theme: Theme, kind: PlotKind, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.theme, self._settings = theme, settings
        self.canvas, self.legend = Canvas(theme), Legend(theme, kind.title, kind.about)
        self.log = QtWidgets.QToolButton(checkable=True, text="log")
        self.log.setToolTip("Logarithmic axis: equal distances are equal ratios.")
        self._view: Optional[View] = None
        self._specs: List[CurveSpec] = []
        self._drawn: List[_Drawn] = []
        self._last: Optional[_Drawing] = None
        self.is_behind: bool = False
        head = QtWidgets.QHBoxLayout()
        head.addWidget(self.legend, 1)
        if kind.key == LOSS:
            self.smoothing = Smoothing(settings)
            head.addWidget(self.smoothing)
        head.addWidget(self.log)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        head.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self.canvas, 1)
        self._apply_kind(kind)
        self.log.toggled.connect(self._on_log)
        self.setAutoFillBackground(True)
        self.menu = FigureMenu(self)
        self.apply_theme()

    def set_kind(self, kind: PlotKind) -> None:
        """Replace the plot by another kind, whose settings are remembered by ``kind.key``."""
        if kind != self.kind:
            self.log.blockSignals(True)  # not a choice of the user
            self._apply_kind(kind)
            self.log.blockSignals(False)
            self.forget()

    def _apply_kind(self, kind: PlotKind) -> None:
        self.kind, self.figure_name = kind, kind.key
        self.legend.set_title(kind.title, kind.about)
        self.canvas.setAccessibleName(kind.title)
        self.log.setAccessibleName(f"{kind.title}: logarithmic axis")
        can_log, is_log = kind.axis.can_log, kind.axis.is_log
        self.log.setChecked(can_log and self._settings.value("evolution/log_" + kind.key, is_log, bool))
        self.log.setVisible(can_log)

    def apply_theme(self) -> None:
        """Apply the theme's colours."""
        palette = QtGui.QPalette(self.palette())
        palette.setColor(QtGui.QPalette.Window, self.theme.color("base"))
        self.setPalette(palette)
        self.log.setFont(small_font(self.font()))
        self.log.setMaximumHeight(self.legend.sizeHint().height())
        if self.kind.key == LOSS:
            self.smoothing.apply_font()
        self._last = None
        self.canvas.changed()
        self.legend.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        self.canvas.alone = bool(self.property(IS_FIGURE))  # a separate figure needs an axis
        super().paintEvent(event)

    def is_in_view(self) -> bool:
        """Return whether a part of the plot is within the panel."""
        # The plot's own region is empty: its opaque children cover it.
        parts: Sequence[QtWidgets.QWidget] = (self.canvas, self.legend)
        return any(not part.visibleRegion().isEmpty() for part in parts)

    def forget(self) -> None:
        """Drop all curves, because another run is shown."""
        self._specs, self._drawn, self._last = [], [], None
        self.canvas.set_curves([], self.canvas.x_range, self._axis())
        self.canvas.show_all_values()
        self.legend.set_entries([])

    def draw(self, view: View) -> bool:
        """Show the curves of ``view``; return whether there was anything new to draw."""
        self._view = view
        specs = curves_of(self.kind, view.tensors, view.current)
        shown = [spec for spec in specs if spec.key not in view.hidden and not self._is_off(spec, view.hidden)]
        start, stop = view.step_at(view.axis.low), view.step_at(view.axis.high)
        room = max(min(self.canvas.plot_rect.width() / 2, _MAX_POINTS), 50)
        lead = _LEAD * view.smoothed_steps if self.kind.key == LOSS else 0
        width = width_for(stop - start, room)
        points = [view.points(self.kind, spec.series, start - lead, stop, width) for spec in shown]
        x_range, log = (view.axis.low, view.axis.high), self.log.isChecked()
        inputs = (
            x_range,
            log,
            tuple(shown),
            view.others,
            view.axis.unit,
            view.smoothed_steps,
            view.history,
            self.theme.colors,
            self.canvas.size(),
        )
        self._drawn = [self._read(view, spec, found) for spec, found in zip(shown, points)]
        self._specs = specs
        is_new = self._needs_drawing(inputs, points)
        if is_new:
            curves = [self._curve(view, drawn) for drawn in sorted(self._drawn, key=lambda d: -d.spec.width)]
            is_empty = not any(
                len(curve.x) and curve.x[0] <= x_range[1] and x_range[0] <= curve.x[-1] for curve in curves
            )
            curves += [
                Curve(view.x_of(found.step), self._axis().places(found.mean), None, None, _FAINT)
                for found in self._faint_points(view, start, stop, room)
            ]
            self.canvas.x_name = view.axis.unit
            self.canvas.note = self._empty_note(view, shown) if is_empty else ""
            self.canvas.set_curves(curves, x_range, self._axis())
        self.update_legend(view)
        return is_new

    def _empty_note(self, view: View, shown: Sequence[CurveSpec]) -> str:
        """Return the reason why no curve is visible; empty if all are hidden by the user."""
        if not self.kind.is_setting and any(len(view.history.series(spec.series).mean) for spec in shown):
            return "No values in this part of the run"
        return self.kind.waits_for if shown else ""

    def _needs_drawing(self, inputs: Tuple[Any, ...], points: List[Points]) -> bool:
        """Return whether to draw now: for new points or another view, or if the last point moved a while ago."""
        ends = [(len(found.first), int(found.first[-1])) if len(found.first) else None for found in points]
        now, last = time.monotonic(), self._last
        if last is not None and (last.inputs, last.ends) == (inputs, ends):
            self.is_behind = any(new is not old for new, old in zip(points, last.points))
            if not self.is_behind or now - last.time < SETTLE_S:
                return False
        self._last, self.is_behind = _Drawing(inputs, ends, points, now), False
        return True

    def update_legend(self, view: View) -> None:
        """Show the values at the crosshair, at the shown moment, or the newest visible ones, in the legend."""
        x = self.canvas.crosshair
        step = round(view.step_at(view.axis.high if x is None else x), 0)  # as the text at the crosshair
        if x is None and view.moment is not None:
            step = float(view.moment)
        if x is not None and x > view.axis.newest:
            step = -1.0
        texts = {drawn.spec.series: self._text_at(view, drawn, step) for drawn in self._drawn}
        self.legend.set_entries(
            [
                Entry(
                    spec.key,
                    spec.name,
                    texts.get(spec.series, UNKNOWN),
                    _stroke(spec),
                    spec.key in view.hidden,
                    spec.about,
                )
                for spec in self._specs
                if spec.in_legend
            ]
        )

    def caption(self) -> Caption:
        """Return the title of a saved figure; names and values of the curves are in the plot's own heading."""
        return Caption(self.kind.title)

    def table(self) -> Dict[str, np.ndarray]:
        """Return the visible parts of the curves: steps, means, and the extremes where steps were folded."""
        columns: Dict[str, np.ndarray] = {}
        if self._view is None:
            return columns
        view = self._view
        start, stop = (int(view.step_at(x)) for x in (view.axis.low, view.axis.high))
        for drawn in self._drawn:
            name = drawn.spec.series
            if self.kind.is_setting:
                columns[name + " step"], columns[name] = drawn.points.step, drawn.points.mean
                continue
            series, errors = estimates(view.history, name, start, stop + 1)
            columns.setdefault("step", series.last_step)
            columns[name] = series.mean * np.float32(self.kind.axis.factor)
            if (series.count > 1).any():
                columns[name + " minimum"] = series.minimum * np.float32(self.kind.axis.factor)
                columns[name + " maximum"] = series.maximum * np.float32(self.kind.axis.factor)
            if errors.any():
                columns[name + " standard error"] = errors * self.kind.axis.factor
        return columns

    def _faint_points(self, view: View, start: float, stop: float, room: float) -> List[Points]:
        if not self.kind.pattern or not view.others:
            return []
        width = width_for(stop - start, min(room, max(_MAX_FAINT_POINTS / len(view.others), 30)))
        return [view.points(self.kind, self.kind.pattern.format(name), start, stop, width) for name in view.others]

    def _is_off(self, spec: CurveSpec, hidden: FrozenSet[str]) -> bool:
        """Return whether a curve is a part of the error of a hidden tensor."""
        return spec.key.startswith("part.") and "tensor." + spec.series.partition("/")[0] in hidden

    def _read(self, view: View, spec: CurveSpec, points: Points) -> _Drawn:
        smoothed = view.smoothed_steps and self.kind.key == LOSS
        return _Drawn(spec, points, smooth(points, view.smoothed_steps) if smoothed else points.mean)

    def _curve(self, view: View, drawn: _Drawn) -> Curve:
        points, axis = drawn.points, self._axis()
        curve = curve_of(points, view.x_of(points.step), axis, _stroke(drawn.spec), drawn.spec.minor)
        if self.kind.is_evaluated:
            curve = curve._replace(dots=True)
        if drawn.values is points.mean:
            return curve
        low, high = curve.low, curve.high
        if low is not None and high is not None and len(low) > 1 and (points.count <= 1).all():
            # No steps were folded: the band behind the average spans the values of the steps.
            low, high = np.fmin(low[:-1], low[1:]), np.fmax(high[:-1], high[1:])
            low, high = np.append(low, low[-1:]), np.append(high, high[-1:])
        return curve._replace(y=axis.places(drawn.values), low=low, high=high, stroke=curve.stroke._replace(width=2.0))

    def _text_at(self, view: View, drawn: _Drawn, step: float) -> str:
        """Return the value at ``step``, or the last one before it, with its error.

        It is the mean of the point that contains it only where the history has no single steps, or it is smoothed:
        what other panels show for this step is the same number.
        """
        points = drawn.points
        index = int(np.searchsorted(points.first, step, side="right")) - 1
        if index < 0:
            return self.kind.text(None)
        value = float(drawn.values[index])
        if drawn.values is not points.mean or self.kind.is_setting:
            return self.kind.text(value)
        first, last = int(points.first[index]), int(2 * points.step[index] - points.first[index])
        series, errors = estimates(view.history, drawn.spec.series, first, min(last, int(step)))
        known = np.flatnonzero(series.count > 0)
        error = float(errors.mean()) if len(errors) else 0.0
        if len(known) and series.count[known[-1]] == 1:
            value, error = float(series.mean[known[-1]]), float(errors[known[-1]])
        return self.kind.text(value, error=error) if self.kind.pattern else self.kind.text(value)

    def _axis(self) -> Axis:
        return plot_axis(self.kind.title, self.kind.axis, self.log.isChecked())

    def _on_log(self) -> None:
        self._settings.setValue("evolution/log_" + self.kind.key, self.log.isChecked())
        self.log_toggled.emit()


def _stroke(spec: CurveSpec) -> Stroke:
    role = series_role(spec.color) if isinstance(spec.color, int) else str(spec.color)
    return Stroke(role, float(spec.width), _DASHES.get(spec.style, ()))
