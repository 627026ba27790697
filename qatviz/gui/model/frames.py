"""Scheduler that draws visible, outdated panels without slowing down training.

Drawing holds the interpreter lock, which the training thread needs between two steps. So the window draws for a fixed
fraction of the time, and for a larger one only while the user interacts.
"""

import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Tuple

from PyQt5 import QtCore

from qatviz.gui.widgets.panel import Panel

#: Interval (ms) at which the window polls the run.
TICK_MS = 16
#: Fraction of the time spent on drawing while the user only watches, and for TOUCHED_S seconds after an interaction.
IDLE_FRACTION, TOUCHED_FRACTION = 0.06, 0.5
TOUCHED_S = 0.7
#: Maximum pause (s), so that one slow drawing does not freeze the window for seconds.
LONGEST_REST_S = 1.5
#: A tick draws a further panel only if all are expected to be drawn and painted within this time.
TICK_BUDGET_S = 0.008
#: Weight of the newest drawing in the moving average of a panel's drawing time.
_NEWEST = 0.3


class Frames(QtCore.QObject):
    """Scheduler of panel updates.

    Each tick updates visible, outdated panels, the one that has waited longest first, until the budget is spent; then
    it pauses until drawing has taken no more than its fraction of the time.
    """

    def __init__(self, parent: Optional[QtCore.QObject] = None, clock: Callable[[], float] = time.perf_counter):
        super().__init__(parent)
        self._panels: List[Panel] = []
        self._clock = clock
        self._rest_until = self._touched_until = 0.0
        self._drawn: Deque[float] = deque(maxlen=200)
        self._expected: Dict[Panel, float] = {}
        #: Panels that the last tick updated and Qt has not painted yet, with the seconds their update took.
        self._unpainted: List[Tuple[Panel, float]] = []

    def add(self, panel: Panel) -> None:
        """Schedule updates of ``panel``."""
        self._panels.append(panel)

    def touch(self) -> None:
        """Draw without delay for a while, because the user has interacted."""
        self._touched_until = self._clock() + TOUCHED_S
        self._rest_until = 0.0

    def tick(self) -> int:
        """Update panels that are due; return the number of panels updated."""
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
            self._panels.append(panel)  # the others come first next time
            now = self._clock()
            spent += max(expected, now - begun)
            self._unpainted.append((panel, now - begun))
        if self._unpainted:
            self._drawn.append(now)
            self._rest_for(now - started)
        return len(self._unpainted)

    def draw_all(self) -> None:
        """Update all panels that are due regardless of the budget, before the window is shown."""
        for panel in self._panels:
            if panel.is_due():
                panel.refresh()

    def painted(self, seconds: float) -> None:
        """Count the time that Qt took to paint the panels of the last tick."""
        for panel, drawing in self._unpainted:
            took = drawing + seconds / len(self._unpainted)
            before = self._expected.get(panel, took)
            self._expected[panel] = before + _NEWEST * (took - before)
        self._unpainted = []
        self._rest_for(seconds)

    def _rest_for(self, seconds: float) -> None:
        """Pause until ``seconds`` of drawing are no more than their fraction of the time."""
        now = self._clock()
        fraction = TOUCHED_FRACTION if now < self._touched_until else IDLE_FRACTION
        rest = max(self._rest_until, now) + seconds * (1 / fraction - 1)
        self._rest_until = min(rest, now + LONGEST_REST_S)

    def frames_per_second(self) -> float:
        """Return the number of ticks per second that drew something, over the last two seconds."""
        now = self._clock()
        return sum(1 for at in self._drawn if at > now - 2.0) / 2.0
