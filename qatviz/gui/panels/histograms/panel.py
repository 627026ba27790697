"""Panel of histograms: a tile for each tensor with its float values and quantized levels overlaid."""

from typing import Dict, List, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.distribution import Distribution, distribution, extent, to_log2
from qatviz.gui.model.availability import ACTIVE_STATES
from qatviz.gui.model.frames import Effort
from qatviz.gui.model.ghost import ghost_of, has_ghosts
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import RUN, SETTINGS, SNAPSHOT, STATE, VALUES
from qatviz.gui.model.run_model import SELECTION as SELECTION_TOPIC
from qatviz.gui.panels import declarations
from qatviz.gui.panels.histograms.bar import BOTH, SELECTION, HistogramsBar
from qatviz.gui.panels.histograms.canvas import HistogramCanvas
from qatviz.gui.panels.histograms.grid import arrange
from qatviz.gui.panels.histograms.hint import FEW_BITS, LevelsHint
from qatviz.gui.panels.histograms.tile import Pending, TileBadge, TileContent
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import Label, note_style
from qatviz.gui.widgets.panel import Panel, is_in_view
from qatviz.gui.widgets.scene_painter import small_font
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.presentation.axis_range import steady_extent, steady_top
from qatviz.presentation.histogram import HistogramView, PendingGrid, top_count
from qatviz.protocol.snapshots import Snapshot, oldest_age_s
from qatviz.settings import NO_MAP, WEIGHTS, QuantizerSettings

#: Maximum time (s) for painting tiles in one frame; the others are painted in the next frames.
BUDGET_S = 0.003
#: Interval (ms) at which the age of the tiles is checked, and the time (s) that painting may add to it.
AGE_INTERVAL_MS, AGE_TOLERANCE_S = 500, 0.5
#: Fraction of the allowed age from which on painting a newer snapshot does not wait.
URGENT_SHARE = 0.75
#: Minimum height of the tiles below the hint, px, if not all tiles fit even without it. The hint is hidden if all fit
#: only without it. The legend is hidden if it would leave the tiles less.
MIN_TILES_PX = 160
_SQNR, _CLIPPED = MEASURES["sqnr_db"], MEASURES["clipped"]


class HistogramsPanel(Panel):
    """Grid of tiles. Only visible tiles that have changed are painted, for a few milliseconds at a time."""

    declaration = declarations.HISTOGRAMS
    topics = (SNAPSHOT, SETTINGS, SELECTION_TOPIC, VALUES, STATE, MOMENT)

    #: Emitted with the name of a tensor to show in full.
    tensor_opened = QtCore.pyqtSignal(str)
    #: Emitted when other tensors may have come into view, or left it.
    view_changed = QtCore.pyqtSignal()

    def _setup_ui(self) -> None:
        self.bar = HistogramsBar(self.theme, self.context.settings, self.name)
        self.hint = LevelsHint(self.theme, self.context.settings)
        self.canvas = HistogramCanvas(self.theme, self._tile)
        self.empty = EmptyText(self.canvas.viewport())
        self._note = Label(self)
        self._note.hide()
        self._note.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        self._style_note()
        self._plan: Optional[QuantizationPlan] = None
        self._snapshot: Optional[Snapshot] = None
        #: Number of the snapshot, and of the change of pending edits; they identify what a tile was painted from.
        self._serial: int = 0
        self._pending_serial: int = 0
        self._has_ghosts = self._was_in_view = False
        self._ranges: Dict[str, Tuple[float, float]] = {}
        self._tops: Dict[str, float] = {}
        self._common: Dict[str, Tuple[float, float]] = {}
        #: Step and training time of the snapshot in each tile.
        self._painted: Dict[str, Tuple[int, float]] = {}
        self._age_timer = QtCore.QTimer(self, interval=AGE_INTERVAL_MS)
        self._place_soon = QtCore.QTimer(self, singleShot=True, interval=0)  # when the bar has its new rows

    def _layout(self) -> None:
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self.hint)
        layout.addWidget(self.canvas, 1)
        self.setFocusProxy(self.canvas)

    def _connect(self) -> None:
        self.bar.changed.connect(self._on_options)
        self.hint.bits_wanted.connect(self._on_bits_wanted)
        self.canvas.picked.connect(self._on_picked)
        self.canvas.tensor_opened.connect(self.tensor_opened)
        self.canvas.moved.connect(self.mark_due)
        self.canvas.moved.connect(self.view_changed)
        self.edits.changed.connect(self._on_edits)
        self._age_timer.timeout.connect(self._show_age)
        self._age_timer.start()
        self._place_soon.timeout.connect(self._place_note)

    def apply_theme(self) -> None:
        self.bar.apply_theme()
        self.hint.apply_theme()
        self.canvas.apply_theme()
        self._style_note()
        self._place_soon.start()

    def _style_note(self) -> None:
        self._note.setFont(small_font(QtWidgets.QApplication.font()))
        self._note.setStyleSheet(note_style(self.theme))

    def _on_topic(self, topic: str) -> None:
        super()._on_topic(topic)
        self._check_view()
        if topic == RUN:
            # At once: a tile that becomes visible before the next frame would look up a tensor of the old run.
            self.canvas.set_names(())
            self._painted.clear()

    def _check_view(self) -> None:
        """Notice that another tab is in front, or no longer, about which Qt sends no event."""
        if is_in_view(self) != self._was_in_view:
            self._was_in_view = not self._was_in_view
            self.view_changed.emit()

    # Contents

    def update_from(self) -> None:
        self._check_view()
        plan, snapshot, names = self.model.plan, self.model.shown, self._names()
        self.canvas.set_size(self.bar.options.size)
        self.canvas.set_names(names if snapshot is not None else ())
        self.canvas.set_selected(self.model.selected, self.model.current)
        self.empty.show_text(self._empty_text(names))
        self._share_height()
        if plan is None or snapshot is None or not names:
            return
        self._update_ghosts()
        self._update_serials()
        self._common = self._common_ranges(plan, snapshot, names) if self.bar.options.common else {}
        if not self._draw(plan):
            self.mark_due()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_height()  # at once: what has no room now would cover the tiles until the next frame
        self._place_soon.start()

    def tensors_in_view(self) -> List[str]:
        """Return the tensors whose tiles are visible; with a common axis, which depends on all, those of all tiles."""
        if not is_in_view(self):
            return []
        return self.canvas.names() if self.bar.options.common else self.canvas.visible_names()

    def _share_height(self) -> None:
        """Show hint and legend, in this order, as far as they leave room for tiles."""
        model, tensor = self.model, None
        if model.snapshot is not None and model.moment is None and model.state in ACTIVE_STATES:
            tensor = None if self.hint.is_dismissed else self._hint_tensor()
        height, has_room = self.height() - MIN_TILES_PX, False
        if tensor is not None:
            has_room = self._has_room_for_hint(True)
            if not has_room and self._has_room_for_hint(False):
                has_room, height = True, 0
        self.bar.fit(self.width(), height)
        self.hint.update_from(*((tensor, model.settings_of(tensor.name)) if tensor and has_room else (None, None)))

    def _has_room_for_hint(self, with_legend: bool) -> bool:
        """Return whether as many tiles are visible with the hint as without it, or many anyway."""
        width = self.width()
        without = self.height() - self.bar.height_at(width, with_legend)
        room = without - self.hint.height_at(width)

        def fits(height: int) -> bool:
            smallest = self.canvas.smallest_height
            return arrange(len(self._names()), self.bar.options.size, width, height, smallest).total_height <= height

        return fits(room) or (room >= MIN_TILES_PX and not fits(without))

    def _hint_tensor(self) -> Optional[QuantizedTensor]:
        """Return the weights that the hint has changed, else the current or first weights of more than a few bits."""
        tensors = {t.name: t for t in self.model.tensors if t.kind == WEIGHTS}
        if self.hint.changed_tensor in tensors:
            return tensors[self.hint.changed_tensor]
        dense = [name for name in tensors if self._has_dense_levels(name)]
        name = self.model.current if self.model.current in dense else (dense or [""])[0]
        return tensors.get(name)

    def _has_dense_levels(self, name: str) -> bool:
        settings = self.model.settings_of(name)
        return self.model.is_active(name) and settings.num_bits > FEW_BITS + 1

    def _on_bits_wanted(self, name: str, bits: int) -> None:
        self.model.select([name], name)
        self.edits.edit([name], "num_bits", bits)

    def _names(self) -> List[str]:
        options = self.bar.options
        shown = [t.name for t in self.model.tensors if options.kind in (BOTH, t.kind)]
        if options.scope == SELECTION:
            shown = [name for name in shown if name in self.model.selected]
        return shown

    def _empty_text(self, names: List[str]) -> str:
        if self.model.plan is None:
            return self.model.no_run_text("No run. Its tensors are shown here once there is one.")
        if self.model.snapshot is None:
            return f"Waiting for the first histograms of {self.model.title}…"
        if not names:
            kind = self.bar.options.kind
            return "No tensor is selected." if kind == BOTH else f"The selection has no {kind}."
        return ""

    def _update_ghosts(self) -> None:
        self._has_ghosts = has_ghosts(self.model, self.edits)
        shown = self.model.shown
        known = () if shown is None else shown.histograms.values()
        self.bar.show_present(self._has_ghosts, any(histogram.frozen_bins is not None for histogram in known))

    def _update_serials(self) -> None:
        if self.model.plan is not self._plan:
            self._plan = self.model.plan
            self._forget_axes()
        if self.model.shown is not self._snapshot:
            self._snapshot = self.model.shown
            self._serial += 1

    def _show_age(self) -> None:
        """Show the age of the oldest visible tile if it exceeds the expected age, or the shown moment of the past."""
        if self.model.moment is not None:
            self._show_note(f"step {self.model.moment.step:,}")
            return
        step, seconds = self._oldest()
        age = self.model.age_s(seconds)
        is_old = age > oldest_age_s(len(self.model.tensors)) + AGE_TOLERANCE_S
        self._show_note(f"step {step:,}, {age:.0f} s old" if is_old else "")

    @property
    def note(self) -> str:
        """Step of the histograms if they are old, and their age; empty for new ones."""
        return self._note.text()

    def _show_note(self, text: str) -> None:
        """Show a text right of the legend or, without room there, over the last tile: it moves nothing."""
        if text != self.note:
            self._note.setText(text)
            self._note.setVisible(bool(text))
        if text:
            self._place_note()

    def _place_note(self) -> None:
        self._note.adjustSize()
        place, room = self._note.rect(), self.bar.free_room().translated(self.bar.pos())
        if place.width() <= room.width():
            place.moveCenter(room.center())
            place.moveRight(room.right())
        else:
            place.moveBottomRight(self.canvas.mapTo(self, self.canvas.viewport().geometry().bottomRight()))
        self._note.setGeometry(place)
        self._note.raise_()

    def _oldest(self) -> Tuple[int, float]:
        """Return step and training time of the snapshot in the oldest visible tile; infinite time without tiles."""
        shown = [self._painted[name] for name in self.canvas.visible_names() if name in self._painted]
        return min(shown, key=lambda place: place[1], default=(0, np.inf))

    def is_urgent(self) -> bool:
        newest = self.model.snapshot
        if not self._due or newest is None or self.model.moment is not None:
            return False
        _, seconds = self._oldest()
        if newest.seconds <= seconds:
            return False
        return self.model.age_s(seconds) > URGENT_SHARE * oldest_age_s(len(self.model.tensors))

    def _forget_axes(self) -> None:
        self._ranges.clear()
        self._tops.clear()

    def _draw(self, plan: QuantizationPlan) -> bool:
        """Paint outdated visible tiles; return whether none is left.

        Tiles of tensors that are being edited come first (the current tensor's before the others), then the longest
        waiting.
        """
        effort, has_painted = Effort(), False
        names = self.canvas.visible_names()
        edited = {name for name in names if self._has_ghosts and ghost_of(self.model, self.edits, name) is not None}

        def rank(name: str) -> Tuple[int, int]:
            group = 2 if name not in edited else int(name != self.model.current)
            return group, self.canvas.tile(name).drawn

        for name in sorted(names, key=rank):
            tensor, tile = plan.tensor(name), self.canvas.tile(name)
            key = (self._serial, self.model.shown_settings_of(name), self.bar.options, self._common.get(tensor.kind))
            pending = (self._pending_serial, id(self.model.values.get(name))) if self._has_ghosts else None
            if tile.key == (key, pending):
                continue
            if has_painted and effort.seconds > BUDGET_S:
                return False
            had_pending = tile.content is not None and tile.content.pending is not None
            if tile.key is not None and tile.key[0] == key and not had_pending and self._pending(name) is None:
                tile.key = (key, pending)
            else:
                self.canvas.draw(name, (key, pending))
                has_painted = True
        return True

    def _tile(self, name: str) -> Tuple[TileContent, HistogramView]:
        """Return the contents of a tensor's tile, and its axes."""
        plan, snapshot, measure = self.model.plan, self.model.shown, self.model.measure
        assert plan is not None, "tiles are those of a run"
        assert snapshot is not None, "there are tiles once there is a snapshot"
        if name not in snapshot.older or name not in self._painted:
            self._painted[name] = snapshot.step, snapshot.seconds
        tensor, index = plan.tensor(name), plan.index(name)
        is_on, representable = snapshot.enabled[index], (measure(name, "range_min"), measure(name, "range_max"))
        clipped, flushed = measure(name, "clipped"), measure(name, "flushed")
        shown = distribution(
            snapshot.histograms[name], snapshot.num_bits[index], is_on, representable, clipped, flushed
        )
        if self.bar.options.log2_values:
            shown = to_log2(shown)
        badge = _badge(tensor.kind, self.model.settings_at(snapshot, name), is_on)
        readout = _readout(measure(name, "sqnr_db"), measure(name, "frozen_weights"), clipped) if is_on else ()
        content = TileContent(name, badge, readout, shown, self._pending(name))
        return content, self._view(plan, snapshot, tensor, shown)

    def _pending(self, name: str) -> Optional[Pending]:
        ghost = ghost_of(self.model, self.edits, name) if self._has_ghosts else None
        if ghost is None:
            return None
        badge = _badge(ghost.tensor.kind, ghost.settings, ghost.active)
        if not ghost.active:
            return Pending(PendingGrid(np.nan, np.nan, np.nan), "→ " + badge.text, "→ float")
        error = ghost.quantity("sqnr_db", ghost.measures.sqnr_db).text
        grid = PendingGrid(ghost.low, ghost.high, ghost.scale)
        return Pending(grid, f"→ {badge.text} {error}", f"→ {badge.bits} {error}")

    # Axes

    def _extent(self, plan: QuantizationPlan, snapshot: Snapshot, tensor: QuantizedTensor) -> Tuple[float, float]:
        name = tensor.name
        is_on = snapshot.enabled[plan.index(name)]
        ends = (self.model.measure(name, "range_min"), self.model.measure(name, "range_max")) if is_on else None
        return extent(snapshot.histograms[name], ends, self.bar.options.log2_values)

    def _common_ranges(
        self, plan: QuantizationPlan, snapshot: Snapshot, names: List[str]
    ) -> Dict[str, Tuple[float, float]]:
        """Return the x axis that all tensors of a kind share, by kind."""
        ranges = {}
        tensors = [plan.tensor(name) for name in names]
        for kind in {tensor.kind for tensor in tensors}:
            lows, highs = zip(*(self._extent(plan, snapshot, tensor) for tensor in tensors if tensor.kind == kind))
            ranges[kind] = self._ranges[kind] = steady_extent(self._ranges.get(kind), min(lows), max(highs))
        return ranges

    def _view(
        self, plan: QuantizationPlan, snapshot: Snapshot, tensor: QuantizedTensor, shown: Distribution
    ) -> HistogramView:
        name, is_log = tensor.name, self.bar.options.log_counts
        if tensor.kind in self._common:
            low, high = self._common[tensor.kind]
        else:
            low, high = self._extent(plan, snapshot, tensor)
            low, high = self._ranges[name] = steady_extent(self._ranges.get(name), low, high)
        self._tops[name] = steady_top(self._tops.get(name, 0.0), top_count(shown, is_log))
        return HistogramView(low, high, self._tops[name], is_log)

    # User actions

    def _on_options(self) -> None:
        self._forget_axes()
        self.refresh()
        self.view_changed.emit()

    def _on_edits(self) -> None:
        self._pending_serial += 1
        self._update_ghosts()
        self.mark_due()

    def _on_picked(self, names: Tuple[str, ...], current: str) -> None:
        if self.bar.options.scope == SELECTION and len(names) == 1:
            # The tiles show the selection: a click must not remove the others.
            names = self.model.selected
        self.model.select(names, current)
        self.refresh()


def _readout(sqnr_db: float, frozen: float, clipped: float) -> Tuple[str, ...]:
    """Return the measures of a tile, the most important first; the fraction of frozen weights only if there are any."""
    shown = [_SQNR.text(sqnr_db)]
    if frozen > 0:
        shown.append(f"{MEASURES['frozen_weights'].text(frozen)} frozen")
    return (*shown, f"{_CLIPPED.text(clipped)} {_CLIPPED.name}")


def _badge(kind: str, settings: QuantizerSettings, is_on: bool) -> TileBadge:
    """Return a badge: ``w8 sym`` for symmetric 8-bit weights, ``a float`` for activations that are not quantized."""
    if not is_on:
        return TileBadge(kind[0] + " float")
    is_chosen = not settings.has_coded_map  # otherwise the map determines the grid
    flags = (
        (settings.effective_map != NO_MAP, settings.effective_map),
        (is_chosen and settings.symmetric, "sym"),
        (is_chosen and settings.narrow_range, "narrow"),
        (settings.per_channel, "ch"),
        (settings.power_of_two, "2ⁿ"),
    )
    return TileBadge(kind[0] + settings.text("num_bits", kind), tuple(text for is_set, text in flags if is_set))
