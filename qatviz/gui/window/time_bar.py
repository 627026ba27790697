"""Time slider below the tool bar: moves all panels to an earlier moment of the run, plays, compares two moments."""

from typing import List, Optional

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.edits import Edits
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import EVENTS, RUN, SNAPSHOT, RunModel
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.moments import OTHER_ROLE, SHOWN_ROLE
from qatviz.protocol.events import Event

#: Interval (ms) between two moments that are played.
PLAY_MS = 120
_HEIGHT, _MARGIN, _HANDLE, _GROOVE = 18, 9, 6.0, 4
#: Number of snapshots that Page Up and Page Down move by.
_PAGE = 10
#: The bar is as low as its text, because panels need the room.
_SLIM = "QToolBar { padding: 0px 3px; } QToolButton { padding: 0px 5px; margin: 0px; }"
#: Height of a window, in lines of text, below which the bar is hidden; and the events after which that is checked.
_LEAST_LINES = 44
_FITTING = (QtCore.QEvent.Resize, QtCore.QEvent.FontChange, QtCore.QEvent.Show)
_PLAY, _STOP = "▶", "■"
#: Longest usual text beside the slider.
_WIDEST_TEXT = " step 10,000,000"
_KEYS = {
    **HORIZONTAL,
    QtCore.Qt.Key_PageDown: -_PAGE,
    QtCore.Qt.Key_PageUp: _PAGE,
}


class TimeSlider(QtWidgets.QWidget):
    """Line of the run's snapshots with a handle at the shown moment, and one at the moment that it is compared with."""

    #: Emitted with the step to which a handle was moved: the first one, and the second one.
    moved = QtCore.pyqtSignal(float)
    other_moved = QtCore.pyqtSignal(float)
    #: Emitted when the first handle was moved to the newest snapshot.
    now_wanted = QtCore.pyqtSignal()

    def __init__(self, theme: Theme):
        super().__init__()
        self._theme = theme
        self.steps: List[int] = []
        self.changes: List[int] = []
        self.shown: Optional[int] = None
        self.other: Optional[int] = None
        self._drags_other = False
        self.setMinimumSize(160, _HEIGHT)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName("Time")
        self.setToolTip(
            "Snapshots of the run, with marks where settings changed. Drag or click to look back; arrow keys, Page Up "
            "and Page Down, Home and End, Escape for the present; with Shift, the second handle."
        )

    def show_past(self, steps: List[int], changes: List[int], shown: Optional[int], other: Optional[int]) -> None:
        """Show the steps of snapshots and changes, and the steps of the handles; None: the newest, and none."""
        state = (steps, changes, shown, other)
        if state != (self.steps, self.changes, self.shown, self.other):
            self.steps, self.changes, self.shown, self.other = state
            self.update()

    def place_of(self, step: float) -> float:
        """Return the position of a step, px."""
        low, high = (self.steps[0], self.steps[-1]) if self.steps else (0, 1)
        part = (step - low) / (high - low) if high > low else 1.0
        return _MARGIN + min(max(part, 0.0), 1.0) * (self.width() - 2 * _MARGIN)

    def step_at(self, x: float) -> int:
        """Return the step of the snapshot nearest to a position."""
        places = [abs(self.place_of(step) - x) for step in self.steps]
        return self.steps[int(np.argmin(places))]

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        middle = self.height() / 2
        color = self._theme.color
        groove = QtCore.QRectF(_MARGIN, middle - _GROOVE / 2, self.width() - 2 * _MARGIN, _GROOVE)
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(color("line"))
        painter.drawRoundedRect(groove, 2, 2)
        if not self.steps or not self.isEnabled():
            return
        painter.setPen(QtGui.QPen(color("muted"), 1))
        for place in sorted({round(self.place_of(step)) for step in self.steps}):
            painter.drawLine(place, int(middle + 4), place, int(middle + 6))
        painter.setPen(QtGui.QPen(color("accent"), 2))
        for place in sorted({round(self.place_of(step)) for step in self.changes}):
            painter.drawLine(place, int(middle - 8), place, int(middle - 3))
        for step, role in ((self.other, OTHER_ROLE), (self._first, SHOWN_ROLE)):
            if step is not None:
                painter.setPen(QtGui.QPen(color("text" if self.hasFocus() else "base"), 1))
                painter.setBrush(color(role))
                painter.drawEllipse(QtCore.QPointF(self.place_of(step), middle), _HANDLE, _HANDLE)

    @property
    def _first(self) -> int:
        """Step of the first handle."""
        return self.steps[-1] if self.shown is None else self.shown

    def move_to(self, step: int, is_other: bool = False) -> None:
        """Move a handle to the snapshot of a step."""
        if is_other:
            self.other_moved.emit(float(step))
        elif step == self.steps[-1]:
            self.now_wanted.emit()
        else:
            self.moved.emit(float(step))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() != QtCore.Qt.LeftButton or not self.steps:
            return
        distances = [abs(self.place_of(step) - event.x()) for step in (self._first, self.other) if step is not None]
        self._drags_other = len(distances) == 2 and distances[1] < distances[0]
        self.move_to(self.step_at(event.x()), self._drags_other)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.buttons() & QtCore.Qt.LeftButton and self.steps:
            self.move_to(self.step_at(event.x()), self._drags_other)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        is_other = bool(event.modifiers() & QtCore.Qt.ShiftModifier) and self.other is not None
        at = self.other if is_other and self.other is not None else self._first if self.steps else None
        if at is None:
            super().keyPressEvent(event)
        elif event.key() in _KEYS:
            index = int(np.searchsorted(self.steps, at)) + _KEYS[event.key()]
            self.move_to(self.steps[min(max(index, 0), len(self.steps) - 1)], is_other)
        elif event.key() in (QtCore.Qt.Key_Home, QtCore.Qt.Key_End):
            self.move_to(self.steps[0 if event.key() == QtCore.Qt.Key_Home else -1], is_other)
        elif event.key() == QtCore.Qt.Key_Escape:
            self.now_wanted.emit()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()


def _changes(event: Event) -> bool:
    """Return whether an event changed settings."""
    return len(getattr(event, "changes", ())) > 0


class TimeBar(QtWidgets.QToolBar):
    """Tool bar with the time slider, a button to play, the shown step, “Now” and “Compare”.

    In a low window, it leaves its room to the panels: a click in the Evolution panel, and “Over time” of the Tensor
    panel, look back there, too.
    """

    #: Emitted when two moments begin to be compared.
    comparison_begun = QtCore.pyqtSignal()

    def __init__(self, model: RunModel, edits: Edits, theme: Theme):
        super().__init__("Time")
        self.text = Label()
        self.setObjectName("time")
        self.setMovable(False)
        self.setContextMenuPolicy(QtCore.Qt.PreventContextMenu)
        self.setStyleSheet(_SLIM)
        self._model, self._edits, self._theme = model, edits, theme
        self.play = QtWidgets.QToolButton(text=_PLAY, checkable=True, toolTip="Play the run from the shown moment")
        self.play.setAccessibleName("Play")
        self.slider = TimeSlider(theme)
        self._fit_text()
        shown = Isolated(self.text)  # a new text must not lay out the window
        self.now = QtWidgets.QToolButton(text="Now", toolTip="Show the present state again")
        self.compare = QtWidgets.QToolButton(text="Compare", checkable=True)
        self.compare.setToolTip("Compare the shown moment with that of a second handle, in “Two moments”")
        for widget in (self.play, self.slider, shown, self.now, self.compare):
            self.addWidget(widget)
            if isinstance(widget, QtWidgets.QToolButton):
                widget.setFocusPolicy(QtCore.Qt.TabFocus)  # a click leaves the keys where they went before
        self.timer = QtCore.QTimer(self, interval=PLAY_MS)
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        self._model.changed.connect(self._on_topic)
        self._edits.changed.connect(self._on_edits)
        self._theme.changed.connect(self.slider.update)
        self.slider.moved.connect(self._model.look_back)
        self.slider.other_moved.connect(self._model.compare_with)
        self.slider.now_wanted.connect(lambda: self._model.look_back(None))
        self.now.clicked.connect(self._on_now)
        self.play.toggled.connect(self._on_play)
        self.compare.toggled.connect(self._on_compare)
        self.timer.timeout.connect(self._advance)

    def follow(self, window: QtWidgets.QMainWindow) -> None:
        """Show the bar while there is room for it in ``window``; call this after all else that follows its size."""
        window.installEventFilter(self)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() in _FITTING and isinstance(watched, QtWidgets.QMainWindow):
            has_room = watched.height() >= _LEAST_LINES * watched.fontMetrics().height()
            if has_room == self.isHidden():
                self.setVisible(has_room)
                watched.layout().activate()  # before the docks are fitted
        return False

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self._fit_text()

    def _fit_text(self) -> None:
        self.text.setFixedWidth(self.fontMetrics().horizontalAdvance(_WIDEST_TEXT))

    def _on_topic(self, topic: str) -> None:
        if topic == RUN:
            self.play.setChecked(False)
        if topic in (RUN, SNAPSHOT, MOMENT, EVENTS):
            self.refresh()

    def refresh(self) -> None:
        """Show the present past and moments."""
        model = self._model
        steps = [snapshot.step for snapshot in model.past()]
        surviving = [logged.event for logged in model.log if logged.survives]
        changes = [event.step for event in surviving if steps and event.step >= steps[0] and _changes(event)]
        other = model.other_moment
        can_look_back = len(steps) > 1
        for widget in (self.play, self.slider, self.compare):
            widget.setEnabled(can_look_back)
        self.now.setEnabled(model.moment is not None)
        self.compare.blockSignals(True)
        self.compare.setChecked(other is not None)
        self.compare.blockSignals(False)
        moment = None if model.moment is None else model.moment.step
        self.slider.show_past(steps, changes, moment, None if other is None else other.step)
        self.text.setText("" if moment is None else f" step {moment:,}")

    def _on_edits(self) -> None:
        """Return to the present when settings are edited: they are those of the present."""
        if self._edits.pending:
            self._on_now()

    def _on_now(self) -> None:
        self.play.setChecked(False)
        self._model.look_back(None)

    def _on_play(self, on: bool) -> None:
        self.play.setText(_STOP if on else _PLAY)
        self.play.setToolTip("Stop playing" if on else "Play the run from the shown moment")
        if not on:
            self.timer.stop()
            return
        if self._model.moment is None and self.slider.steps:  # from the beginning
            self._model.look_back(self.slider.steps[0])
        self.timer.start()

    def _advance(self) -> None:
        """Show the next moment; end at the present."""
        steps, moment = self.slider.steps, self._model.moment
        later = [] if moment is None else [step for step in steps if step > moment.step]
        if later:
            self._model.look_back(later[0])
        if self._model.moment is None:
            self.play.setChecked(False)

    def _on_compare(self, on: bool) -> None:
        self._model.compare_with(self.slider.steps[0] if on and self.slider.steps else None)
        if on:
            self.comparison_begun.emit()
