"""Picture of the buffers of an arena over time, with hover and clicks on operations."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.buffer_timeline import BufferTimeline
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.scene import Shape


class TimelineView(SceneWidget):
    """Timeline of buffers: hover explains a buffer, a click or the arrow keys select the layer of an operation."""

    #: Emitted with the layer of the operation that the user has chosen.
    chosen = QtCore.pyqtSignal(str)
    figure_name = "chip"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.shown: Optional[ChipEstimate] = None
        self._selected: Tuple[str, ...] = ()
        self.operation = 0
        self.setMouseTracking(True)
        self.setMinimumHeight(140)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName("Buffers in the arena by operation")

    def show_estimate(self, found: Optional[ChipEstimate], selected: Sequence[str]) -> None:
        """Show an estimate, or nothing, with the columns of the selected layers framed."""
        wanted = (found, tuple(selected))
        if wanted != (self.shown, self._selected):
            self.shown, self._selected = wanted
            self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        return [] if self.shown is None else self._places(self.shown).shapes(() if is_figure else self._selected)

    def caption(self) -> Caption:
        """Return the title of a saved figure."""
        return Caption("Buffers in the arena by operation", (self.shown.target.label,) if self.shown else (), [])

    def table(self) -> Dict[str, List[Any]]:
        """Return the buffers, by column."""
        places = self.shown.arena.places if self.shown is not None else ()
        return {
            "buffer": [place.name for place in places],
            "bytes": [place.nbytes for place in places],
            "address": [place.offset for place in places],
            "first_operation": [place.first for place in places],
            "last_operation": [place.last for place in places],
        }

    def _places(self, found: ChipEstimate) -> BufferTimeline:
        return BufferTimeline(found, self.width(), self.height(), self.metrics)

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip and self.shown is not None:
            lines = self._places(self.shown).text_at(event.pos().x(), event.pos().y())
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip("\n".join(lines)), self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        operation = -1 if self.shown is None else self._places(self.shown).operation_at(event.x())
        if operation >= 0 and event.button() == QtCore.Qt.LeftButton:
            self._choose(operation)
        else:
            super().mousePressEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        move = HORIZONTAL.get(event.key())
        if move is None or self.shown is None:
            super().keyPressEvent(event)
            return
        self._choose(min(max(self.operation + move, 0), len(self.shown.graph.operations) - 1))

    def _choose(self, operation: int) -> None:
        assert self.shown is not None, "operations are those of an estimate"
        self.operation = operation
        self.chosen.emit(self.shown.graph.operations[operation].layer)
