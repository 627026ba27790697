"""Verdict on the shown tensor, with a button that applies a change that was computed to help."""

from typing import Any, Callable, Dict, Iterator, Optional, Tuple, Union

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.advice import Offer, estimated_trials
from qatviz.analysis.causes import tensor_facts
from qatviz.analysis.remedies import RunChange, TriedRemedy, remedies, tracking
from qatviz.analysis.verdict import BAD, GOOD, JUDGED, LEVEL_SYMBOLS, NO_LEVEL, WARNING, Verdict, levels, verdict
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.ghost import fresh_values
from qatviz.gui.model.remedy_trials import ABOUT_REMEDY, REMEDY_LASTS_S, RemedyTrials
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.offer_button import OfferButton
from qatviz.gui.widgets.theme import Theme
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import RUN, RUN_SETTINGS

#: Time (ms) between two computed changes, of a few milliseconds each, so that frames are drawn in between.
_TRIAL_INTERVAL_MS = 15
#: Age (s) from which an offer is computed again, from a newer snapshot.
_OFFER_LASTS_S = 5.0
#: Number of lines of the verdict.
_LINES = 3
_ABOUT_OFFER = (
    "Apply this change of settings. Its effect was computed on the tensor's values; Undo restores the settings."
)


class VerdictLine(QtWidgets.QWidget):
    """Verdict in words, and an offer of a change with its effect."""

    def __init__(self, model: RunModel, edits: Edits, theme: Theme, clock: Callable[[], float]):
        super().__init__()
        self._model, self._edits, self._theme, self._clock = model, edits, theme, clock
        self._level = NO_LEVEL
        self._offer: Union[Offer, TriedRemedy, RunChange, None] = None
        self._question: Tuple[Any, ...] = ()  # tensor and settings to which trials and offer belong
        self._tried_at = 0.0
        self._trials: Optional[Iterator[Optional[Offer]]] = None
        self._found: Optional[Offer] = None
        self._begin_trials: Callable[[], Iterator[Optional[Offer]]] = lambda: iter(())
        self._remedy_trials = RemedyTrials(model, self)
        self._remedy_trials.found.connect(self._offer_remedy)
        self._remedy_trials.done.connect(self._compute_changes)
        self._timer = QtCore.QTimer(self, interval=_TRIAL_INTERVAL_MS)
        self._timer.timeout.connect(self._advance)
        self.symbol, self.text = Label(LEVEL_SYMBOLS[NO_LEVEL]), Label(wordWrap=True)
        self.text.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        self.text.setAccessibleName("Verdict")
        self.text.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self.text.setAlignment(QtCore.Qt.AlignLeft | QtCore.Qt.AlignTop)
        self.symbol.setAlignment(QtCore.Qt.AlignLeft | QtCore.Qt.AlignTop)
        self.button = OfferButton()
        self.button.setToolTip(_ABOUT_OFFER)
        self.button.clicked.connect(self._apply)
        # The height stays the same, so that the plots below do not move.
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.button.setSizePolicy(policy)
        self.button.hide()
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(8, 0, 8, 4)
        layout.setVerticalSpacing(2)
        layout.addWidget(self.symbol, 0, 0)
        self._room = Isolated(self.text)
        layout.addWidget(self._room, 0, 1)
        layout.addWidget(self.button, 1, 1, QtCore.Qt.AlignLeft)
        layout.setColumnStretch(1, 1)

    def draw(self, view: TensorView) -> None:
        """Show the verdict on a tensor, and begin to compute what would help where something is wrong."""
        judged = self._judge(view)
        if judged.level != self._level:
            self._level = judged.level
            self.symbol.setText(LEVEL_SYMBOLS[judged.level])
            self.apply_theme()
        text = judged.text if view.channel is None else f"All channels together: {judged.text}"
        if text != self.text.text():
            self.text.setText(text)
            self.text.setToolTip(text)
        book, name = self._model.book, view.tensor.name
        can_change = view.is_live and view.ghost is None and self._model.run is not None and not self._model.ended
        if book is None or not can_change or judged.level < WARNING:
            self._clear()
            return
        # Values that are not quite recent are still better than a histogram, which has only counts.
        known = self._model.values.get(name)
        values = known.values if known is not None and known.values.size else None
        is_old = values is not None and fresh_values(self._model, name) is None
        plan, held = book.plan, book.run.freeze_ranges
        level = self._levels(view)
        known_remedies = remedies(view.tensor, view.settings, level, held)
        known_tracking = tracking(level, (self._edits.pending_book() or book).run)
        lasts = REMEDY_LASTS_S if known_remedies else _OFFER_LASTS_S
        question = (name, plan, view.settings, held, view.is_active, values is None, known_tracking, *known_remedies)
        if question != self._question:
            self._clear()
        elif self._is_trying or self._clock() - self._tried_at < lasts:
            return
        self._question, self._tried_at = question, self._clock()
        self._begin_trials = lambda: estimated_trials(view.snapshot, plan, name, view.settings, held, values, is_old)
        if known_tracking is None:
            self._remedy_trials.begin(name, known_remedies)
        else:
            self._offer = known_tracking
            self._show_offer()

    def apply_theme(self) -> None:
        colors = self._theme.colors
        role = {GOOD: colors.good, WARNING: colors.warning, BAD: colors.bad}.get(self._level, colors.muted)
        self.symbol.setStyleSheet(f"color: {role}")

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._room.setFixedHeight(_LINES * self.text.fontMetrics().lineSpacing() + 2)

    def hideEvent(self, event: QtGui.QHideEvent) -> None:
        super().hideEvent(event)
        self._clear()

    def _judge(self, view: TensorView) -> Verdict:
        model = self._model
        facts = tensor_facts(view.snapshot, model.book_at(view.snapshot), view.index, model.earlier_snapshot)
        measures = dict(zip(SNAPSHOT_MEASURES, view.snapshot.values[:, view.index].tolist()))
        settings = model.settings_at(view.snapshot, view.tensor.name)
        return verdict(measures, view.tensor, settings, view.is_active, facts=facts)

    def _levels(self, view: TensorView) -> Dict[str, int]:
        """Return the levels of the measures of the shown tensor."""
        column = view.snapshot.values[:, view.index : view.index + 1]
        found = levels(column, [view.tensor], [view.measured_with], [view.is_active])[:, 0]
        return {key: int(found[SNAPSHOT_MEASURES.index(key)]) for key in JUDGED}

    @property
    def _is_trying(self) -> bool:
        return self._trials is not None or self._remedy_trials.is_busy

    def _offer_remedy(self, tried: TriedRemedy) -> None:
        """Offer the first remedy that does no harm."""
        self._remedy_trials.cancel()
        self._offer = tried
        self._show_offer()

    def _compute_changes(self) -> None:
        """Compute changes of the grid, as no remedy helps."""
        self._trials = self._begin_trials()
        self._timer.start()

    def _advance(self) -> None:
        """Compute the next change; after the last, show the best."""
        if self._trials is None:
            self._timer.stop()
            return
        try:
            self._found = next(self._trials)
        except StopIteration:
            self._trials = None
            self._timer.stop()
            self._offer = self._found
            self._show_offer()

    def _show_offer(self) -> None:
        if self._offer is not None:
            self.button.setText(self._offer.text)
            about = ABOUT_REMEDY if isinstance(self._offer, TriedRemedy) else _ABOUT_OFFER
            if isinstance(self._offer, RunChange):
                about = f"{RUN_SETTINGS[self._offer.setting].help} Training stays the same."
            self.button.setToolTip(f"{self._offer.text}\n{about}")
        self.button.setVisible(self._offer is not None)

    def _clear(self) -> None:
        self._timer.stop()
        self._remedy_trials.cancel()
        self._trials = self._offer = self._found = None
        self._question = ()
        self._show_offer()

    def _apply(self) -> None:
        offer, name = self._offer, self._question[0]
        assert offer is not None, "the button is shown with an offer"
        self._clear()
        self._edits.edit([RUN if isinstance(offer, RunChange) else name], offer.setting, offer.value)
