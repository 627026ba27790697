"""Scheduler that draws visible, outdated panels without slowing down training.

Drawing holds the interpreter lock, which the training thread needs between two steps. So the window draws for a fixed
fraction of the time, and for a larger one only while the user interacts.
"""

import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Sequence, Tuple

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
TICK_BUDGET_S = 0.005
#: Maximum ratio of counted time to processor time. Wall time up to this ratio is explained by waiting for the
#: interpreter lock; during the rest, other programs had the processor, and drawing took nothing from training.
STRETCH = 1.5
#: Weight of the newest drawing in the moving average of a panel's drawing time.
_NEWEST = 0.3


class Effort:
    """Time that drawing takes from training: wall time, without the time that a loaded machine gave to other programs.

    With all of the wall time, a machine on which a tile takes ten times as long would also draw tiles a tenth as often.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, processor: Callable[[], float] = time.thread_time
    ):
        self._clock, self._processor = clock, processor
        self._start = clock(), processor()

    @property
    def seconds(self) -> float:
        """Seconds since the construction, on the thread of the caller."""
        wall, processor = self._start
        return min(self._clock() - wall, STRETCH * (self._processor() - processor))


class Frames(QtCore.QObject):
    """Scheduler of panel updates.

    Each tick updates visible, outdated panels, the one that has waited longest first, until the budget is spent; then
    it pauses until drawing has taken no more than its fraction of the time. A panel of which a part was drawn, or whose
    contents are about to be older than allowed, does not wait for the end of the pause.
    """

    def __init__(
        self,
        parent: Optional[QtCore.QObject] = None,
        clock: Callable[[], float] = time.perf_counter,
        processor: Callable[[], float] = time.thread_time,
    ):
        super().__init__(parent)
        self._panels: List[Panel] = []
        self._clock, self._processor = clock, processor
        self._rest_until = self._touched_until = 0.0
        self._drawn: Deque[float] = deque(maxlen=200)
        self._expected: Dict[Panel, float] = {}
        #: Panels that the last tick updated and Qt has not painted yet, with the seconds their update took.
        self._unpainted: List[Tuple[Panel, float]] = []

    def add(self, panel: Panel) -> None:
        """Schedule updates of ``panel``."""
        self._panels.append(panel)

    def touch(self, first: Sequence[Panel] = ()) -> None:
        """Draw without delay for a while, because the user has interacted; the panels ``first`` come first."""
        self._panels.sort(key=lambda panel: panel not in first)
        self._touched_until = self._clock() + TOUCHED_S
        self._rest_until = 0.0

    def tick(self) -> int:
        """Update panels that are due; return the number of panels updated."""
        first = [panel for panel in self._panels if panel.is_partial and panel.is_due()]
        if not first and self._clock() < self._rest_until:
            first = [panel for panel in self._panels if panel.is_urgent() and panel.is_due()]
            if not first:
                return 0
        self._unpainted, spent = [], 0.0
        for panel in first or [panel for panel in self._panels if panel.is_due()]:
            expected = self._expected.get(panel, TICK_BUDGET_S)
            if self._unpainted and spent + expected > TICK_BUDGET_S:
                break
            effort = Effort(self._clock, self._processor)
            panel.refresh()
            self._panels.remove(panel)
            self._panels.append(panel)  # the others come first next time
            took = effort.seconds
            spent += max(expected, took)
            self._unpainted.append((panel, took))
        if self._unpainted:
            self._drawn.append(self._clock())
            self._rest_for(sum(took for _, took in self._unpainted))
        return len(self._unpainted)

    def draw_all(self) -> None:
        """Update all panels that are due regardless of the budget, before the window is shown."""
        for panel in self._panels:
            if panel.is_due():
                panel.refresh()
                while panel.is_partial:
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
        """Lengthen the pause, so that ``seconds`` of drawing are no more than their fraction of the time."""
        now = self._clock()
        fraction = TOUCHED_FRACTION if now < self._touched_until else IDLE_FRACTION
        rest = max(self._rest_until, now) + seconds * (1 / fraction - 1)
        self._rest_until = min(rest, now + LONGEST_REST_S)

    def frames_per_second(self) -> float:
        """Return the number of ticks per second that drew something, over the last two seconds."""
        now = self._clock()
        return sum(1 for at in self._drawn if at > now - 2.0) / 2.0
