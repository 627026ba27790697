"""When panels are drawn: the newest state once, only what is visible and out of date, and never at the run's expense.

Drawing holds the interpreter lock, which the training thread needs between two steps. So the window spends a fixed
share of the time on drawing, and more of it only while the user does something.
"""

import time
from collections import deque
from typing import Deque, Dict, List, Tuple

from PyQt5 import QtCore

from qatviz.gui.widgets.panel import Panel

#: Milliseconds between two looks at what is new.
TICK_MS = 16
#: Part of the time that goes into drawing while the user only watches; and for a while after a touch.
WATCHING_SHARE, TOUCHED_SHARE = 0.06, 0.5
TOUCHED_S = 0.7
#: No rest is longer: a drawing that was held up once by something else does not leave the window as it is for seconds.
LONGEST_REST_S = 1.5
#: A tick goes on to the next panel only if both are drawn and painted within this time, as far as is known.
TICK_BUDGET_S = 0.008
#: Weight of the newest drawing of a panel in what it is expected to take.
_NEWEST = 0.3


class Frames(QtCore.QObject):
    """Draws panels in turn.

    Each tick draws panels that are visible and out of date, the one that waited longest first, until the tick's budget
    is spent; then it rests until drawing has taken no more than its share of the time.
    """

    def __init__(self, parent: QtCore.QObject = None, clock=time.perf_counter):
        super().__init__(parent)
        self._panels: List[Panel] = []
        self._clock = clock
        self._rest_until = self._touched_until = 0.0
        self._drawn: Deque[float] = deque(maxlen=200)
        self._expected: Dict[Panel, float] = {}
        #: What the last tick drew and Qt has not painted yet, with the seconds it took.
        self._unpainted: List[Tuple[Panel, float]] = []

    def add(self, panel: Panel) -> None:
        self._panels.append(panel)

    def touch(self) -> None:
        """The user did something: what follows from it is drawn without delay."""
        self._touched_until = self._clock() + TOUCHED_S
        self._rest_until = 0.0

    def tick(self) -> int:
        """Draw what is due; how many panels were drawn."""
        started = now = self._clock()
        if now < self._rest_until:
            return 0
        self._unpainted, spent = [], 0.0
        for panel in [panel for panel in self._panels if panel.is_due()]:
            expected = self._expected.get(panel, TICK_BUDGET_S)
            if self._unpainted and spent + expected > TICK_BUDGET_S:
                break
            begun = self._clock()
            panel.refresh()
            self._panels.remove(panel)
            self._panels.append(panel)  # the next time, others go first
            now = self._clock()
            spent += max(expected, now - begun)
            self._unpainted.append((panel, now - begun))
        if self._unpainted:
            self._drawn.append(now)
            self._rest_for(now - started)
        return len(self._unpainted)

    def draw_all(self) -> None:
        """Draw all that is due, whatever it takes: a window that is about to be shown is shown as it is meant to be."""
        for panel in self._panels:
            if panel.is_due():
                panel.refresh()

    def painted(self, seconds: float) -> None:
        """Time that Qt took to paint, later, what a tick has drawn: it counts, too."""
        for panel, drawing in self._unpainted:
            took = drawing + seconds / len(self._unpainted)
            before = self._expected.get(panel, took)
            self._expected[panel] = before + _NEWEST * (took - before)
        self._unpainted = []
        self._rest_for(seconds)

    def _rest_for(self, seconds: float) -> None:
        """Rest until so much drawing is no more than its share."""
        now = self._clock()
        share = TOUCHED_SHARE if now < self._touched_until else WATCHING_SHARE
        rest = max(self._rest_until, now) + seconds * (1 / share - 1)
        self._rest_until = min(rest, now + LONGEST_REST_S)

    def frames_per_second(self) -> float:
        """Of the last two seconds."""
        now = self._clock()
        return sum(1 for at in self._drawn if at > now - 2.0) / 2.0
