"""Panel with the run over time: loss, evaluations, quantization measures of tensors, and a marker for every change."""

import math
from typing import Callable, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import EVENTS, RUN, SELECTION, SNAPSHOT, STEPS
from qatviz.gui.panels import declarations
from qatviz.gui.panels.evolution.bar import EvolutionBar
from qatviz.gui.panels.evolution.canvas import Canvas
from qatviz.gui.panels.evolution.effects import MarkerEffects
from qatviz.gui.panels.evolution.kinds import KINDS, LOSS, PlotKind, loss_kind, score_kinds
from qatviz.gui.panels.evolution.markers import MARKED, Marker
from qatviz.gui.panels.evolution.menu import MarkerMenu
from qatviz.gui.panels.evolution.plot import SETTLE_S, EvolutionPlot, View
from qatviz.gui.panels.evolution.strip import MarkerStrip
from qatviz.gui.panels.evolution.time_axis import TimeAxis, TimeRuler
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.panel import Panel
from qatviz.presentation.chart import PLAIN, SELECTED
from qatviz.presentation.chart import Marker as ChartMarker
from qatviz.presentation.moments import OTHER_ROLE, SHOWN_ROLE
from qatviz.presentation.series import Clock, Points, SeriesReader, staircase
from qatviz.presentation.strength_series import HistoryWithStrength, strengths
from qatviz.protocol import events
from qatviz.protocol.timeline import value_at
from qatviz.telemetry.history import History, SeriesSource
from qatviz.telemetry.record.refill import STEPS as STEP_TRACK
from qatviz.telemetry.record.refill import scores_in

#: Maximum number of tensors in colour: more colours can't be distinguished.
MAX_TENSORS = 8
#: Minimum height of a plot with its heading, px: the three default plots fit into a window of 1280 × 770.
_PLOT_HEIGHT = 64
#: The same in lines of text, which may be larger.
_PLOT_LINES = 4.2


class EvolutionPanel(Panel):
    """Plots over a common axis of steps or seconds, with zoom, crosshair and markers.

    Attributes
    ----------
    axis : TimeAxis
        Visible part of the run.
    plots : dict of str to EvolutionPlot
    effects : MarkerEffects
        Markers and their effects.
    selected_step : int or None
        Step of the highlighted marker.
    """

    declaration = declarations.EVOLUTION
    topics = (STEPS, SNAPSHOT, EVENTS, SELECTION, MOMENT)

    #: Emitted with the step of a marker that was chosen.
    marker_activated = QtCore.pyqtSignal(int)

    def _setup_ui(self) -> None:
        self.bar = EvolutionBar(self.context.settings)
        self.effects = MarkerEffects(self.model)
        self.strip = MarkerStrip(self.theme, self.effects.text)
        self.plots = {kind.key: EvolutionPlot(self.theme, kind, self.context.settings) for kind in KINDS}
        self._by_age: List[EvolutionPlot] = list(self.plots.values())  # the plot that was drawn longest ago is first
        self._drawn_range: Optional[Tuple[float, float]] = None
        self.scroll = QtWidgets.QScrollArea(widgetResizable=True, frameShape=QtWidgets.QFrame.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.scroll.setFocusPolicy(QtCore.Qt.NoFocus)
        self.ruler = TimeRuler(self.theme)
        self.empty = EmptyText(self.scroll)
        self.axis = TimeAxis("seconds" if self.bar.seconds.isChecked() else "step")
        self.selected_step: Optional[int] = None
        self._hidden: Set[str] = set()
        self._crosshair_text = ""
        self._settle = QtCore.QTimer(self, singleShot=True, interval=int(1000 * SETTLE_S))
        self._forget_run()

    def _layout(self) -> None:
        stack = QtWidgets.QWidget()
        inner = QtWidgets.QVBoxLayout(stack)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(1)
        for plot in self.plots.values():
            inner.addWidget(plot, 1)
        self._stack = inner
        self.scroll.setWidget(stack)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self.strip)
        layout.addWidget(self.scroll, 1)
        layout.addWidget(self.ruler)
        self._show_plots()

    def _connect(self) -> None:
        self.bar.changed.connect(self._on_bar)
        self.bar.follow_requested.connect(self._on_follow)
        self.bar.whole_run_requested.connect(self._on_all)
        self.strip.chosen.connect(self._on_flag)
        self.strip.moved.connect(self._choose)
        self.model.happened.connect(self._on_happened)
        self._settle.timeout.connect(self.mark_due)
        for plot in self.plots.values():
            self._connect_plot(plot)
        self.plots[LOSS].smoothing.changed.connect(self._redraw)
        for key, slot in (
            ("F", lambda: self._on_follow(True)),
            ("Home", self._on_all),
            ("+", lambda: self._zoom(0.5)),
            ("=", lambda: self._zoom(0.5)),
            ("-", lambda: self._zoom(2.0)),
        ):
            QtWidgets.QShortcut(key, self, slot, context=QtCore.Qt.WidgetWithChildrenShortcut)

    def _connect_plot(self, plot: EvolutionPlot) -> None:
        canvas = plot.canvas
        canvas.tip_of = self._tip_at
        canvas.hovered.connect(self._on_hovered)
        canvas.panned.connect(self._moving(lambda distance: self.axis.pan(distance)))
        canvas.zoomed.connect(self._moving(lambda factor, at: self.axis.zoom(factor, at)))
        canvas.boxed.connect(self._moving(lambda low, high: self.axis.show_range(low, high)))
        canvas.clicked.connect(self._on_clicked)
        canvas.whole_run_requested.connect(self._on_all)
        plot.legend.toggled.connect(self._on_curve_toggled)
        plot.log_toggled.connect(self._redraw)

    def _set_further_plots(self, kinds: Sequence[PlotKind]) -> None:
        """Replace the plots of further metrics and outputs; each is below those of its toggle."""
        for key in [key for key, plot in self.plots.items() if key != plot.kind.group]:
            plot = self.plots.pop(key)
            self._by_age.remove(plot)
            self._stack.removeWidget(plot)
            plot.hide()
            plot.deleteLater()
        for kind in kinds:
            place = max(self._stack.indexOf(plot) for plot in self.plots.values() if plot.kind.group == kind.group)
            plot = self.plots[kind.key] = EvolutionPlot(self.theme, kind, self.context.settings)
            self._by_age.append(plot)
            self._stack.insertWidget(place + 1, plot, 1)
            self._connect_plot(plot)
        self._show_plots()

    def go_to(self, step: int) -> None:
        """Show ``step`` in the middle, and highlight the marker nearest to it."""
        self._check_run()
        if self._history is None:
            return
        self.effects.update()
        nearest = self.effects.nearest(step)
        self.selected_step = nearest.step if nearest is not None else None
        self._update_axis(self._history)
        self.axis.centre(float(self._view().x_of(step)))
        self._redraw()

    # Drawing

    def update_from(self) -> None:
        self._check_run()
        waiting = self._waits_for()
        self.empty.show_text(waiting)
        self.scroll.widget().setVisible(not waiting)
        self.strip.setVisible(not waiting)
        self.ruler.setVisible(not waiting)
        if waiting or self._history is None:
            return
        self._update_axis(self._history)
        self.effects.update()
        view = self._view()
        self._draw_plots(view)
        self._draw_markers(view)
        self.bar.follow.setChecked(self.axis.follow)
        more = len(self.model.selected) > MAX_TENSORS
        self.bar.set_note(f"{MAX_TENSORS} of {len(self.model.selected)} selected shown" if more else "")
        self.effects.measure()
        if any(plot.is_behind for plot in self._visible_plots()) and not self._settle.isActive():
            self._settle.start()

    def _draw_plots(self, view: View) -> None:
        """Draw all plots if the visible part has moved or the user has acted; otherwise one with news per frame."""
        x_range = self.axis.low, self.axis.high
        for plot in sorted(self._visible_plots(), key=self._by_age.index):
            if plot.draw(view):
                self._by_age.remove(plot)
                self._by_age.append(plot)
                if x_range == self._drawn_range:
                    self.mark_partial()
                    break
        self._drawn_range = x_range

    def apply_theme(self) -> None:
        for plot in self.plots.values():
            plot.apply_theme()
        self.bar.apply_font()
        self._show_plots()
        self.strip.updateGeometry()
        self.strip.update()
        self.ruler.update()

    def _waits_for(self) -> str:
        if self.model.plan is None:
            return self.model.no_run_text(
                "No run yet.\nLoss, accuracy and the quantization error of each tensor are drawn "
                "here over the training steps."
            )
        if self.model.history is None or self.model.history.last_step(STEP_TRACK) is None:
            return "Waiting for the first training step…"
        if not self.bar.shown:
            return "No plot is selected: switch one on above."
        return ""

    def _visible_plots(self) -> Iterable[EvolutionPlot]:
        return (plot for plot in self.plots.values() if plot.is_in_view())

    def _forget_run(self) -> None:
        self._history: Optional[History] = None
        self._drawn_history: Optional[SeriesSource] = None
        self._reader: Optional[SeriesReader] = None
        self._clock = Clock()
        self._first_step: Optional[int] = None
        self.selected_step = None
        self.effects.forget()

    def _check_run(self) -> None:
        """Reset the panel if the model shows another run."""
        if self.model.history is self._history:
            return
        self._forget_run()
        self._history = self.model.history
        for plot in self.plots.values():
            plot.forget()
        if self._history is None:
            return
        scores = scores_in(self._history)
        kind, *further = score_kinds(scores)
        for own in (kind, loss_kind(scores.outputs)):
            self.plots[own.key].set_kind(own)
        self.bar.name_plot(kind)
        self._set_further_plots(further)
        self._drawn_history = HistoryWithStrength(self._history, self._strengths)
        self._reader = SeriesReader(self._drawn_history)
        self._start_clock()
        self.axis.begin = self.axis.newest = 0.0
        self.axis.reset()

    def _strengths(self, steps: np.ndarray) -> np.ndarray:
        return strengths(steps, self.model.values_of)

    def _start_clock(self) -> None:
        """Rebuild the clock from the snapshots and steps of the present branch."""
        self._clock = Clock()
        for snapshot in self.model.snapshots:
            self._clock.add(snapshot.step, snapshot.seconds)
        for record in self.model.recent_steps:
            self._clock.add(record.step, record.seconds)

    def _update_axis(self, history: History) -> None:
        newest = history.last_step(STEP_TRACK) or 0
        if self.model.recent_steps:
            last = self.model.recent_steps[-1]
            self._clock.add(last.step, last.seconds)
        if self._first_step is None and newest:
            self._first_step = int(history.series("loss").first_step[0]) - 1
        ends = self._view().x_of([self._first_step or 0, newest])
        self.axis.update(*map(float, ends))

    def _view(self) -> View:
        model, history, reader = self.model, self._drawn_history, self._reader
        assert history is not None, "only a run has a view"
        assert reader is not None, "a history has a reader"
        tensors = tuple(model.selected or (model.current,))
        if len(tensors) > MAX_TENSORS:
            tensors = tensors[:MAX_TENSORS]
        others: Tuple[str, ...] = ()
        if self.bar.all_tensors.isChecked():
            others = tuple(t.name for t in model.tensors if t.name not in tensors)
        return View(
            history,
            reader,
            self.axis,
            self._clock,
            tensors,
            model.current if model.current in tensors else tensors[0],
            others,
            frozenset(self._hidden),
            self.plots[LOSS].smoothing.steps,
            None if model.moment is None else model.moment.step,
            self._setting,
        )

    def _setting(self, path: str) -> Points:
        """Return the values of a tensor's setting over the run; NaN while the tensor is not quantized."""
        model, end = self.model, self.model.step
        tensor = path.rpartition(".")[0]
        enabled = model.values_of(tensor + ".enabled")
        values = model.values_of(path)
        steps = sorted({step for step, _ in (*values, *enabled)})
        shown = [(at, value_at(values, at) if value_at(enabled, at) else math.nan) for at in steps]
        return staircase(shown, end)

    def _show_plots(self) -> None:
        shown = self.bar.shown
        height = max(_PLOT_HEIGHT, int(_PLOT_LINES * self.fontMetrics().height()))
        self.scroll.setMinimumHeight(height)
        for plot in self.plots.values():
            plot.setVisible(plot.kind.group in shown)
            plot.setMinimumHeight(height)
            plot.canvas.boxes = self.bar.boxes.isChecked()

    def _redraw(self) -> None:
        """Redraw at once after a user action."""
        self.mark_due()
        self._drawn_range = None
        if self.isVisible():
            self.refresh()

    # Markers

    def _draw_markers(self, view: View) -> None:
        x = view.x_of([marker.step for marker in self.effects.markers])
        lines = [
            ChartMarker(at, marker.color, SELECTED if marker.step == self.selected_step else PLAIN)
            for at, marker in zip(x.tolist(), self.effects.markers)
        ]
        shown = ((self.model.moment, SHOWN_ROLE), (self.model.other_moment, OTHER_ROLE))
        moments = tuple((float(view.x_of(np.float64(at.step))), role) for at, role in shown if at is not None)
        for plot in self._visible_plots():
            plot.canvas.set_markers(lines)
            plot.canvas.set_moments(moments)
        canvas, offset = self._first_canvas()
        rect = canvas.plot_rect.translated(offset, 0)
        self.strip.set_markers(
            self.effects.markers,
            [canvas.pixel_of(at) + offset for at in x.tolist()],
            rect.left(),
            rect.right(),
            self.selected_step,
        )
        self._draw_ruler()

    def _draw_ruler(self) -> None:
        canvas, offset = self._first_canvas()
        rect = canvas.plot_rect.translated(offset, 0)
        self.ruler.set_view(
            canvas.x_range, rect.left(), rect.right(), self.axis.unit, canvas.crosshair, self._crosshair_text
        )

    def _first_canvas(self) -> Tuple[Canvas, int]:
        """Return the canvas of a shown plot, and its distance from the panel's left edge."""
        canvas = self.plots[self.bar.shown[0]].canvas
        return canvas, canvas.mapTo(self, QtCore.QPoint(0, 0)).x()

    def _tip_at(self, x: float, tolerance: float) -> str:
        marker = self._marker_at(x, tolerance)
        return self.effects.text([marker]) if marker is not None else ""

    def _marker_at(self, x: float, tolerance: float) -> Optional[Marker]:
        if self._history is None or not self.effects.markers:
            return None
        places = self._view().x_of([marker.step for marker in self.effects.markers])
        distance, marker = min(zip(abs(places - x).tolist(), self.effects.markers), key=lambda pair: pair[0])
        return marker if distance <= tolerance else None

    def menu_of(self, markers: Sequence[Marker]) -> MarkerMenu:
        """Return the menu of markers, newest first."""
        return MarkerMenu(self.model, self.edits, self.effects, markers, self.go_to, self)

    # Signals

    def _moving(self, move: Callable[..., None]) -> Callable[..., None]:
        """Return a slot that calls ``move`` and redraws, if there is a run."""

        def moved(*where: float) -> None:
            if self._history is not None:
                move(*where)
                self._redraw()

        return moved

    def _zoom(self, factor: float) -> None:
        self._moving(lambda: self.axis.zoom(factor))()

    def _on_topic(self, topic: str) -> None:
        super()._on_topic(topic)
        if topic in (EVENTS, RUN):
            self.effects.mark_due()

    def _on_happened(self, event: events.Event) -> None:
        if isinstance(event, events.Restored) and self._history is self.model.history and self._reader is not None:
            self._reader.forget()
            self._start_clock()
            self.effects.drop_effects()
            self._first_step = None
        if isinstance(event, MARKED):
            self.effects.mark_due()

    def _on_bar(self) -> None:
        unit = "seconds" if self.bar.seconds.isChecked() else "step"
        if unit != self.axis.unit and self._history is not None:
            self._change_unit(unit)
        self._show_plots()
        self._redraw()

    def _change_unit(self, unit: str) -> None:
        convert = self._clock.seconds if unit == "seconds" else self._clock.steps
        axis = self.axis
        follow, span = axis.follow, axis.span
        low, high = (float(convert(x)) for x in (axis.low, axis.high))
        axis.unit, axis.begin, axis.newest = unit, float(convert(axis.begin)), float(convert(axis.newest))
        axis.show_range(low, high)
        if follow:
            axis.follow, axis.span = True, None if span is None else high - low
            if span is None:
                axis.follow_all()

    def _on_follow(self, on: bool) -> None:
        if on:
            self.axis.follow_newest()
        else:
            self.axis.show_range(self.axis.low, self.axis.high)
        self._redraw()

    def _on_all(self) -> None:
        self.axis.follow_all()
        for plot in self.plots.values():
            plot.canvas.show_all_values()
        self._redraw()

    def _on_hovered(self, x: Optional[float]) -> None:
        text = ""
        if x is not None and self._history is not None:
            view = self._view()
            step = max(view.step_at(x), 0.0)
            text = f"step {step:,.0f}"
            if len(self._clock) > 1:
                text += f" · {float(self._clock.seconds(step)):,.1f} s"
        self._crosshair_text = text
        for plot in self.plots.values():
            plot.canvas.set_crosshair(x)
        if self._history is not None and not self._waits_for():
            view = self._view()
            for plot in self._visible_plots():
                plot.update_legend(view)
            self._draw_ruler()

    def _on_clicked(self, x: float, tolerance: float) -> None:
        marker = self._marker_at(x, tolerance)
        step = float(self._view().step_at(x)) if marker is None else float(marker.step)
        self.model.look_back(step)
        if marker is not None:
            self._choose([marker])
        elif self.selected_step is not None:
            self.selected_step = None
            self._redraw()

    def _on_flag(self, markers: Sequence[Marker], point: QtCore.QPoint) -> None:
        self._choose(markers)
        self.menu_of(markers).popup(point)

    def _choose(self, markers: Sequence[Marker]) -> None:
        self.selected_step = markers[-1].step
        self._redraw()
        self.marker_activated.emit(self.selected_step)

    def _on_curve_toggled(self, key: str) -> None:
        self._hidden.symmetric_difference_update([key])
        self._redraw()
