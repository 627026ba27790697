"""Panel with the channels of all weights: ranges, outliers, and which weights are hard to quantize."""

from typing import Optional, Sequence, Tuple

from PyQt5 import QtWidgets

from qatviz.analysis.channels import REMEDIES, ChannelsOverview, Screened, screened
from qatviz.analysis.remedies import Remedy
from qatviz.errors import QatvizError
from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.run_model import RUN, SELECTION, SETTINGS, STATE
from qatviz.gui.model.watching import CHANNELS
from qatviz.gui.panels import declarations
from qatviz.gui.panels.channels.offers import Offers
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.flow_layout import flow_row
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.scene_table import SceneRows, SceneTable, TableContent
from qatviz.gui.widgets.work_row import CANCELLED, WorkRow
from qatviz.presentation.channels import (
    ChannelsLayout,
    ChannelsView,
    channels_values,
    overview_text,
    place_text,
    sorted_rows,
)
from qatviz.presentation.figure_caption import Caption
from qatviz.protocol.commands import EqualizeLayers
from qatviz.settings import QuantizerSettings

_ABOUT = (
    "The weights alone show what is hard to quantize, without data and before the first training step: a few extreme "
    "weights widen the range of all others (kurtosis), and channels of very different ranges can't share one scale."
)
_SORT_TIP = "Sort by this column, the largest first; by weights: in the order of the network"
_AGAIN_TIP = "Measure the channels of the run's last state"
_Known = Tuple[Optional[ChannelsOverview], Sequence[QuantizerSettings], Tuple[Screened, ...]]


class ChannelsPanel(Panel):
    """Table of weight tensors with a box for each channel, measures and verdicts."""

    declaration = declarations.CHANNELS
    needs = CHANNELS
    topics = (RUN, STATE, SETTINGS, SELECTION, CHANNELS)

    def _setup_ui(self) -> None:
        self.boxes = _choice("Boxes", ("Box per channel", "Box per layer"), "One box for each channel, or each layer")
        self.order = _choice("Order of channels", ("In order", "By range"), "Order of the channels within a layer")
        self.scale = _choice("Scale", ("Own scale", "Common scale"), "Scale of values: of each layer, or of all layers")
        self.equalize = QtWidgets.QPushButton("Equalize layers")
        self.offers = Offers(self.model, self.edits, len(REMEDIES))
        self.note = Label(wordWrap=True)
        self.note.setToolTip(_ABOUT)
        self.table = SceneTable(SceneRows(self.theme, "Channels of the weights"), _SORT_TIP, self._caption)
        #: Channels and settings of the rows that were screened last, and the rows.
        self._known: _Known = (None, (), ())
        self.work = BackgroundWork(self.model, self)  # on a run that has ended; all requests are True
        self.progress = WorkRow()
        self.again = push_button("Measure again", _AGAIN_TIP)
        self.again.hide()

    def _layout(self) -> None:
        choices, offers = (self.boxes, self.order, self.scale), (self.equalize, *self.offers.buttons)
        bar = flow_row(*choices, *offers, self.again, self.progress, spacing=6)
        head = QtWidgets.QVBoxLayout()
        head.setContentsMargins(6, 4, 6, 4)
        head.setSpacing(3)
        head.addLayout(bar)
        head.addWidget(self.note)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self.table, 1)

    def _connect(self) -> None:
        for box in (self.boxes, self.order, self.scale):
            box.currentIndexChanged.connect(self.refresh)
        self.table.reordered.connect(self.refresh)
        self.equalize.clicked.connect(self._on_equalize)
        self.table.selected.connect(self._on_selected)
        self.work.changed.connect(self.mark_due)
        self.progress.cancel.clicked.connect(lambda: self.work.cancel(CANCELLED))
        self.again.clicked.connect(lambda: self.work.begin(True))

    def apply_theme(self) -> None:
        self.table.changed()

    def update_from(self) -> None:
        rows, view, content = self._screened(), self._view(), None
        self.order.setEnabled(not view.per_layer)
        if rows:
            ordered = sorted_rows(rows, self.table.sorted_by)
            content = TableContent(
                [row.ranges.tensor for row in ordered],
                lambda width, metrics: ChannelsLayout(ordered, view, width, metrics, self.table.room),
                lambda places, x, y: _text_at(ordered, places, x, y),
                lambda: channels_values(ordered),
            )
        self.table.show_content(content, self.model.selected, self._empty_text())
        self._offer(rows)
        failure = self._failure()
        texts = [f"Not measured: {failure}" if failure else "", overview_text(rows, has_verdict=False) if rows else ""]
        self.note.setText("\n".join(filter(None, texts)))
        if self.model.ended and self.model.run is not None and self.work.question is None:
            self.work.begin(True)
        self.progress.show_fraction(self.work.fraction_if_busy)
        self.again.setVisible(bool(self.work.message))

    # Implementation

    def _offer(self, rows: Sequence[Screened]) -> None:
        """Show the button for an equalization if a trial of it has made the ranges of channels more alike."""
        offers = [row for row in rows if row.equalized_ratio is not None]
        self.equalize.setVisible(bool(offers))
        if offers:
            worst = max(offers, key=lambda row: row.measures["range_ratio"])
            reason = self.model.unavailable_text()
            self.equalize.setEnabled(not reason)
            self.equalize.setToolTip(
                reason
                or f"In a trial, the range ratio of {worst.ranges.tensor} fell from "
                f"{worst.measures['range_ratio']:.3g} to {worst.equalized_ratio:.2g}. The network in float stays the "
                "same; Rewind undoes it."
            )
        self._offer_remedies(rows)

    def _offer_remedies(self, rows: Sequence[Screened]) -> None:
        """Offer what the verdict on the current tensor names; if that is good, the worst verdict."""
        book = self.model.book
        tensor, rank = "", (False, 0)
        remedies: Tuple[Remedy, ...] = ()
        if book is not None and not self.model.unavailable_text() and not book.run.freeze_ranges:
            for row in rows:
                now, row_rank = book.of(row.ranges.tensor), (row.ranges.tensor == self.model.current, row.verdict.level)
                named = tuple(remedy for remedy in row.remedies if getattr(now, remedy.setting) != remedy.value)
                if named and row_rank > rank:
                    tensor, remedies, rank = row.ranges.tensor, named, row_rank
        self.offers.show_remedies(tensor, remedies)

    def _on_equalize(self) -> None:
        try:
            self.model.send(EqualizeLayers())
        except QatvizError as error:
            self.edits.refused.emit(str(error))

    def _view(self) -> ChannelsView:
        return ChannelsView(*(box.currentIndex() == 1 for box in (self.boxes, self.order, self.scale)))

    def _screened(self) -> Tuple[Screened, ...]:
        """Return the tensors with verdicts under the settings in effect and pending."""
        found = self.model.channels
        if found is None:
            return ()
        book = self.edits.pending_book() or self.model.book
        assert book is not None, "a run has settings"
        known, settings, rows = self._known
        if known is not found or settings != book.quantizers:
            rows = tuple(
                screened(ranges, book.of(ranges.tensor), found.equalized.get(ranges.tensor)) for ranges in found.tensors
            )
            self._known = found, book.quantizers, rows
        return rows

    def _empty_text(self) -> str:
        if self.model.run is None:
            return self.model.no_run_text("No run. The channels of its weights are shown here once there is one.")
        return "" if self._failure() else "Measuring the channels of all weights…"

    def _failure(self) -> str:
        return self.work.message or self.model.watch_failures.get(CHANNELS, "")

    def _caption(self) -> Caption:
        found = self.model.channels
        return Caption("Channels of the weights", () if found is None else (f"step {found.step:,}",), [])

    def _on_selected(self, name: str, is_added: bool) -> None:
        others = set(self.model.selected) if is_added else set()
        self.model.select(others | {name}, name)
        self.refresh()


def _choice(name: str, texts: Sequence[str], tip: str) -> QtWidgets.QComboBox:
    box = QtWidgets.QComboBox(toolTip=tip, accessibleName=name)
    box.addItems(list(texts))
    return box


def _text_at(rows: Sequence[Screened], places: ChannelsLayout, x: float, y: float) -> Sequence[str]:
    place = places.place_at(x, y)
    return [] if place is None else place_text(rows[place.row], place.channel)
