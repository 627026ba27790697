"""Panel with all plots of the selected tensor: distribution, codes, error, channels, distribution over time."""

import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.pending import after_map
from qatviz.errors import RunStateError
from qatviz.gui.model.context import Context
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import RUN, SELECTION, SETTINGS, SNAPSHOT, STATE, VALUES
from qatviz.gui.panels import declarations
from qatviz.gui.panels.tensor.channels import ChannelsPlot
from qatviz.gui.panels.tensor.codes import CodesPlot
from qatviz.gui.panels.tensor.error import ErrorPlot
from qatviz.gui.panels.tensor.header import Header
from qatviz.gui.panels.tensor.overlay import OverlayPlot
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.time import TimePlot
from qatviz.gui.panels.tensor.verdict import VerdictLine
from qatviz.gui.panels.tensor.view import TensorView, channel_view, view_of
from qatviz.gui.panels.tensor.words import phrases_now
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.commands import InspectTensor
from qatviz.protocol.snapshots import Snapshot, TensorValues
from qatviz.quant.affine import AffineGrid
from qatviz.settings import QuantizerSettings

#: Interval (s) between requests for the values of a tensor, each of which costs a snapshot and a copy.
REQUEST_INTERVAL_S = 2.0
#: Longest expected caption, and the maximum number of its lines.
LONGEST_CAPTION = (
    "255 of 255 codes used · effective bits 16.0 of 16 · edge codes hold 12.3 % · all channels together, so"
)
MAX_LINES = 3
#: Minimum ratio of width to height, and minimum width (px), of a panel with its two plots side by side.
WIDE, MIN_WIDE_PX = 1.4, 560
#: Initial height of the upper plot, per cent of the panel.
UPPER_PERCENT = 52
CODES, ERROR, CHANNELS, TIME = "codes", "error", "channels", "time"


class TensorPanel(Panel):
    """Plots of one tensor, with the ghost of pending edits.

    The upper plot shows the distribution; the pages below show codes, error, channels and the distribution over time.
    The cursor of the last page sets all plots to an earlier snapshot; a channel picked on the page of channels is shown
    alone in the other plots.
    """

    declaration = declarations.TENSOR
    topics = (RUN, SNAPSHOT, SETTINGS, SELECTION, VALUES, STATE, MOMENT)

    def __init__(
        self,
        context: Context,
        parent: Optional[QtWidgets.QWidget] = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self._channel: Optional[int] = None
        self._drawn: Dict[str, Tuple[Any, ...]] = {}
        self._tensor: Tuple[str, Optional[QuantizationPlan]] = ("", None)
        self._requested: Dict[str, float] = {}
        super().__init__(context, parent)
        self._restore()

    def _setup_ui(self) -> None:
        self.header = Header(self.theme)
        self.verdict = VerdictLine(self.model, self.edits, self.theme, self._clock)
        self.overlay = OverlayPlot(self.theme)
        self.pages = {
            CODES: _Page(
                "Codes",
                lambda: self._logarithmic(CodesPlot(self.theme)),
                "The stored integers, with a bar for each code: edge codes (lowest and highest) are yellow, unused "
                "codes shaded.",
            ),
            ERROR: _Page(
                "Error",
                lambda: self._logarithmic(ErrorPlot(self.theme)),
                "Quantized minus float values, in quantization steps: up to half a step it is rounding, beyond it "
                "clipping.",
            ),
            CHANNELS: _Page(
                "Channels",
                self._make_channels,
                "Range of values of each output channel, and the representable range: a channel that uses little of it "
                "uses few codes. Click a channel to see it alone in the histogram, the codes and the error.",
            ),
            TIME: _Page(
                "Over time",
                self._make_over_time,
                "Distribution at every snapshot, a column each; click, drag or use the arrow keys to go back to an "
                "earlier one.",
            ),
        }
        self.tabs = QtWidgets.QTabWidget(documentMode=True)
        self.tabs.tabBar().setAccessibleName("Plots of the tensor")
        for page in self.pages.values():
            self.tabs.addTab(page, page.label)
            self.tabs.setTabToolTip(self.tabs.count() - 1, page.about)
        self._content = QtWidgets.QWidget()
        self._empty = EmptyText(self)

    def _layout(self) -> None:
        self.splitter = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.overlay)
        self.splitter.addWidget(self.tabs)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([UPPER_PERCENT, 100 - UPPER_PERCENT])
        inner = QtWidgets.QVBoxLayout(self._content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(2)
        inner.addWidget(self.header)
        inner.addWidget(self.verdict)
        inner.addWidget(self.splitter, 1)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(Isolated(self._content))  # its height does not follow from its width

    def _connect(self) -> None:
        self.edits.changed.connect(self.mark_due)
        self.header.tensor_chosen.connect(lambda name: self.model.select([name], name))
        self.header.back.clicked.connect(lambda: self._on_cursor_moved(None))
        self.header.all_channels.clicked.connect(lambda: self._on_channel_picked(None))
        self.header.log.toggled.connect(self._on_log)
        self.tabs.currentChanged.connect(self._on_tab)

    def _logarithmic(self, plot: TensorPlot) -> TensorPlot:
        plot.is_log = self.header.log.isChecked()
        return plot

    def _make_channels(self) -> ChannelsPlot:
        plot = ChannelsPlot(self.theme)
        plot.channel_picked.connect(self._on_channel_picked)
        return plot

    def _make_over_time(self) -> TimePlot:
        plot = TimePlot(self.theme)
        plot.cursor_moved.connect(self._on_cursor_moved)
        self.pages[TIME].add_legend(plot)
        return plot

    def _restore(self) -> None:
        settings = self.context.settings
        self.header.log.setChecked(settings.value("tensor/log", False, bool))
        tab = settings.value("tensor/tab", CODES, str)
        self.tabs.setCurrentIndex(list(self.pages).index(tab) if tab in self.pages else 0)

    @property
    def tab(self) -> str:
        """Name of the open page."""
        return list(self.pages)[self.tabs.currentIndex()]

    @property
    def codes(self) -> CodesPlot:
        return self.pages[CODES].plot

    @property
    def error(self) -> ErrorPlot:
        return self.pages[ERROR].plot

    @property
    def channels(self) -> ChannelsPlot:
        return self.pages[CHANNELS].plot

    @property
    def over_time(self) -> TimePlot:
        return self.pages[TIME].plot

    def _plots(self) -> List[TensorPlot]:
        """Return the plots that have been created."""
        return [self.overlay] + [page.plot for page in self.pages.values() if page.is_made]

    # Drawing

    def update_from(self) -> None:
        model = self.model
        self.header.show_tensors(model.tensors, model.current)
        if self._tensor != (model.current, model.plan):
            self._begin_tensor()
        view = view_of(model, self.edits)
        if view is None:
            self._show_nothing()
            return
        self._content.show()
        self._empty.show_text("")
        self._request_values()
        values = self.model.values.get(view.tensor.name)
        of_channel = (self._channel, None if self._channel is None else values)
        chosen = (model.moment, view.ghost, view.settings, self.header.log.isChecked(), self.theme.colors, *of_channel)
        inputs = (view.snapshot, *chosen)
        page_inputs = (*inputs, self.tab, values, self._can_request(), model.snapshot, len(model.snapshots))
        is_next_snapshot = "upper" in self._drawn and not _differ(self._drawn["upper"][1:], inputs[1:])
        if self._is_new("upper", *inputs):
            shown = self._channel_alone(view)
            self.header.draw(shown)
            self.verdict.draw(shown)
            self.overlay.draw(shown)
            self._name_figures(view, shown)
            if is_next_snapshot:  # nobody waits for it: the page is drawn in a frame of its own
                self.mark_partial()
                return
        if self._is_new("page", *page_inputs):
            shown = self._channel_alone(view)
            self._draw_page(view, shown)
            self._name_figures(view, shown)

    def _channel_alone(self, view: TensorView) -> TensorView:
        """Return the view of the picked channel; that of all channels if none is picked or its values are not known."""
        values = self.model.values.get(view.tensor.name)
        if self._channel is None or values is None or not view.is_live or not np.isfinite(values.values).all():
            return view
        return channel_view(view, self._channel, values, self._snapshot_of(values, view))

    def _is_new(self, part: str, *inputs: Any) -> bool:
        """Return whether the inputs of ``part`` have changed since the last call."""
        old = self._drawn.get(part, ())
        self._drawn[part] = inputs
        return _differ(old, inputs)

    def _draw_page(self, view: TensorView, shown: TensorView) -> None:
        """Draw the open page: of ``view`` where all channels are drawn, else of ``shown``, which may be one channel."""
        page = self.pages[self.tab]
        if self.tab == CODES:
            self.codes.draw(shown)
        elif self.tab == ERROR:
            self._draw_error(shown)
        elif self.tab == CHANNELS:
            self.channels.draw(view, self._channel)
        else:
            self.over_time.draw(self.model.past(), view.tensor.name, view.index, self.model.moment)
        page.caption.setText(page.plot.summary)

    def _name_figures(self, view: TensorView, shown: TensorView) -> None:
        """Give the plots the title and the details of saved figures."""
        for plot in self._plots():
            of = view if isinstance(plot, (ChannelsPlot, TimePlot)) else shown
            plot.subject = of.tensor.name + (f", channel {of.channel.index}" if of.channel is not None else "")
            plot.details = (self.model.title, f"step {of.snapshot.step:,}", *phrases_now(of))

    def _draw_error(self, view: TensorView) -> None:
        values = self.model.values.get(view.tensor.name)
        if not view.is_active and view.is_live:
            self.error.draw(None, None, None, "Not quantized: there is no error.")
        elif values is None:
            self.error.draw(
                None,
                None,
                None,
                "Waiting for the tensor's values."
                if self._can_request()
                else "The run ended before the tensor's values were read.",
            )
        else:
            grid = view.grid if view.channel is not None else self._grid_of_values(values, view)
            if view.channel is not None:
                values, mapped = replace(values, values=view.channel.values), view.channel.mapped
            else:
                settings = self.model.settings_at(self._snapshot_of(values, view), view.tensor.name)
                mapped = after_map(values.values, settings, view.tensor)
            self.error.draw(values, grid, view.ghost, "Not quantized at the step of its values.", mapped)

    def _grid_of_values(self, values: TensorValues, view: TensorView) -> Optional[AffineGrid]:
        """Return the grid in effect when ``values`` were read: that of the snapshot they came with."""
        return replace(view, snapshot=self._snapshot_of(values, view)).grid

    def _snapshot_of(self, values: TensorValues, view: TensorView) -> Snapshot:
        """Return the snapshot that ``values`` came with, or the nearest."""
        if values.step == view.snapshot.step:
            return view.snapshot
        return min(
            reversed(self.model.past()), key=lambda snapshot: abs(snapshot.step - values.step), default=view.snapshot
        )

    def _show_nothing(self) -> None:
        self._drawn.clear()
        self._content.hide()
        self._empty.show_text(
            self.model.no_run_text("No run is open.")
            if self.model.plan is None
            else f"Waiting for the first histograms of {self.model.title}…"
        )

    def _begin_tensor(self) -> None:
        if self._tensor[1] is not self.model.plan:
            self._requested.clear()
        self._tensor = (self.model.current, self.model.plan)
        self._channel = None
        self._drawn.clear()
        for plot in self._plots():
            plot.forget_ranges()

    # Values

    def _can_request(self) -> bool:
        return self.model.run is not None and not self.model.ended

    def _request_values(self) -> None:
        """Request the tensor's values if they are unknown, or if they are needed and older than the newest snapshot."""
        name, newest = self.model.current, self.model.snapshot
        known = self.model.values.get(name)
        is_old = known is not None and newest is not None and known.step < newest.step
        is_used = self.tab == ERROR or self._channel is not None or bool(self.edits.pending)
        wanted = known is None or (is_old and is_used)
        now = self._clock()
        if not wanted or not self._can_request() or now - self._requested.get(name, -1e9) < REQUEST_INTERVAL_S:
            return
        self._requested[name] = now
        try:
            self.model.send(InspectTensor(name))
        except RunStateError:
            return  # the run has just ended, and its last event is not read yet

    # User actions

    def _on_cursor_moved(self, snapshot: Optional[Snapshot]) -> None:
        self.model.look_back(None if snapshot is None else snapshot.step)
        self.refresh()

    def _on_channel_picked(self, channel: Optional[int]) -> None:
        self._channel = channel
        self.overlay.forget_ranges()
        self.refresh()

    def _on_log(self, on: bool) -> None:
        self.overlay.is_log = on
        for page in (self.pages[CODES], self.pages[ERROR]):
            if page.is_made:
                page.plot.is_log = on
        self.context.settings.setValue("tensor/log", on)
        self.mark_due()

    def _on_tab(self, index: int) -> None:
        self.context.settings.setValue("tensor/tab", self.tab)
        self.mark_due()

    def apply_theme(self) -> None:
        self._drawn.clear()
        self.header.apply_theme()
        self.verdict.apply_theme()
        for plot in self._plots():
            plot.apply_theme()
        if self.pages[TIME].is_made:
            self.pages[TIME].add_legend(self.over_time)

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        is_wide = self.width() >= max(WIDE * self.height(), MIN_WIDE_PX)
        self.splitter.setOrientation(QtCore.Qt.Horizontal if is_wide else QtCore.Qt.Vertical)


def _differ(before: Tuple[Any, ...], now: Tuple[Any, ...]) -> bool:
    """Return whether inputs of a drawing differ.

    Numbers and settings are compared by value. Other inputs are never changed in place, so that their identity is
    sufficient.
    """
    by_value = (int, QuantizerSettings)
    pairs = zip(before, now)
    return len(before) != len(now) or any(a is not b and not (isinstance(a, by_value) and a == b) for a, b in pairs)


class _Page(QtWidgets.QWidget):
    """Page with a plot below its caption; the plot is created when first shown, so that the window opens sooner."""

    def __init__(self, label: str, make: Callable[[], TensorPlot], about: str):
        super().__init__()
        self.label, self.about, self._make = label, about, make
        self._plot: Optional[TensorPlot] = None
        self.caption = Label(wordWrap=True)
        self.caption.setToolTip(about)
        self.caption.setAlignment(QtCore.Qt.AlignLeft | QtCore.Qt.AlignTop)  # whole lines, where some have no room
        self.caption.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self._line = QtWidgets.QHBoxLayout()
        self._line.setContentsMargins(8, 3, 8, 0)
        self._room = Isolated(self.caption)
        self._line.addWidget(self._room, 1)
        self._legend: Optional[QtWidgets.QLabel] = None
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._line)

    @property
    def is_made(self) -> bool:
        """True once the plot has been created."""
        return self._plot is not None

    @property
    def plot(self) -> TensorPlot:
        if self._plot is None:
            self._plot = self._make()
            self.layout().addWidget(self._plot, 1)
            self._plot.show()  # at once: the layout of a visible page would show it later
        return self._plot

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        # The height does not depend on the text, so that the plot below does not move.
        metrics = self.caption.fontMetrics()
        lines = 1 + metrics.horizontalAdvance(LONGEST_CAPTION) // max(self.width() - 16, 1)
        self._room.setFixedHeight(min(lines, MAX_LINES) * metrics.lineSpacing() + 2)

    def add_legend(self, plot: TimePlot) -> None:
        """Show the colours of the heat map beside the caption."""
        if self._legend is None:
            least, most = [Label(end) for end in plot.legend_ends]
            self._legend = Label()
            self._legend.setToolTip("Fraction of the values in a bin; colours are logarithmic.")
            for part in (least, self._legend, most):
                self._line.addWidget(part)
        self._legend.setPixmap(plot.legend(60, 10))
