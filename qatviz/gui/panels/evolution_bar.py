"""The controls of the evolution panel."""

from typing import Dict, Optional, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.flow import FlowLayout
from qatviz.gui.panels.evolution_kinds import DEFAULT_SHOWN, KINDS, SMOOTHED_STEPS


class EvolutionBar(QtWidgets.QWidget):
    """Which plots are shown, of which tensors, over what, how smooth; remembered in ``settings``."""

    #: Something that concerns what is drawn; not the follow button.
    changed = QtCore.pyqtSignal()
    follow_asked = QtCore.pyqtSignal(bool)
    all_asked = QtCore.pyqtSignal()

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        shown = _words(settings.value("evolution/plots", ",".join(DEFAULT_SHOWN)))
        self.plots = {kind.key: _toggle(kind.button, kind.about, kind.key in shown)
                      for kind in KINDS}  # type: Dict[str, QtWidgets.QToolButton]
        self.all_tensors = _toggle("All tensors", "Draw all tensors of the network, faintly, behind the selected ones.",
                                   settings.value("evolution/all_tensors", False, bool))
        self.told = QtWidgets.QLabel()
        self.seconds = _toggle("Seconds", "The axis shows seconds of training (pauses left out) instead of steps.",
                               settings.value("evolution/seconds", False, bool))
        self.smoothing = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self.smoothing.setRange(0, len(SMOOTHED_STEPS) - 1)
        self.smoothing.setPageStep(1)
        self.smoothing.setFixedWidth(78)
        self.smoothing.setAccessibleName("Smoothing of the loss")
        self.smoothing.setValue(min(max(settings.value("evolution/smoothing", 0, int), 0), len(SMOOTHED_STEPS) - 1))
        self.smoothing_text = QtWidgets.QLabel()
        self.boxes = _toggle("Box", "Dragging zooms into a box instead of moving the picture. (Shift and dragging does the "
                             "other of the two.)", settings.value("evolution/boxes", False, bool))
        self.follow = _toggle("Follow", "Keep the newest step in view (F). Dragging a plot to the side ends it.", True)
        self.whole = QtWidgets.QToolButton()
        self.whole.setText("Whole run")
        self.whole.setToolTip("Show the run from its beginning, and follow it (Home, or a double click on a plot).")
        self._layout()
        self._connect()
        self._on_changed()

    def _layout(self) -> None:
        layout = FlowLayout(self)
        label = QtWidgets.QLabel("Smooth")
        tip = ("Draw the loss as a moving average over about so many steps (exponential: older ones count less); the loss of each "
               "step stays behind it, faintly.")
        for widget in (label, self.smoothing, self.smoothing_text):
            widget.setToolTip(tip)
        # What belongs together stays in one line.
        groups = [list(self.plots.values()), [self.all_tensors, self.told], [label, self.smoothing, self.smoothing_text],
                  [self.seconds, self.boxes, self.follow, self.whole]]
        for widget in groups[0]:
            layout.addWidget(widget)
        for group in groups[1:]:
            holder = QtWidgets.QWidget()
            row = QtWidgets.QHBoxLayout(holder)
            row.setContentsMargins(6, 0, 0, 0)
            row.setSpacing(4)
            for widget in group:
                row.addWidget(widget)
            layout.addWidget(holder)

    def _connect(self) -> None:
        for button in [*self.plots.values(), self.all_tensors, self.seconds, self.boxes]:
            button.toggled.connect(self._on_changed)
        self.smoothing.valueChanged.connect(self._on_changed)
        self.follow.clicked.connect(self.follow_asked)
        self.whole.clicked.connect(lambda: self.all_asked.emit())

    @property
    def shown(self) -> Sequence[str]:
        """Keys of the plots that are shown."""
        return [key for key, button in self.plots.items() if button.isChecked()]

    @property
    def smoothed_steps(self) -> int:
        """Time constant of the smoothing; 0: none."""
        return SMOOTHED_STEPS[self.smoothing.value()]

    def tell(self, text: str) -> None:
        """How many of the tensors are shown."""
        if text != self.told.text():
            self.told.setText(text)
            self.told.setVisible(bool(text))
            self.layout().invalidate()

    def _on_changed(self) -> None:
        self._settings.setValue("evolution/plots", ",".join(self.shown))
        for name in ("all_tensors", "seconds", "boxes"):
            self._settings.setValue("evolution/" + name, getattr(self, name).isChecked())
        self._settings.setValue("evolution/smoothing", self.smoothing.value())
        steps = self.smoothed_steps
        # Room for any of the texts, so that what follows does not move.
        self.smoothing_text.setFixedWidth(self.smoothing_text.fontMetrics().horizontalAdvance("1000") + 4)
        self.smoothing_text.setText(str(steps) if steps else "off")
        self.smoothing.setAccessibleDescription("{} steps".format(steps))
        self.changed.emit()


def _toggle(text: str, tip: str, on: bool) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.setChecked(on)
    button.setFocusPolicy(QtCore.Qt.StrongFocus)
    return button


def _words(text: object) -> Sequence[str]:
    return [word for word in str(text).split(",") if word]
