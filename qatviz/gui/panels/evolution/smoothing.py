"""The slider that smooths the loss."""

from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.panels.evolution.measures import small_font

#: Time constants that can be chosen, in steps; 0: no smoothing.
SMOOTHED_STEPS = (0, 5, 10, 20, 50, 100, 200, 500, 1000)
_KEY = "evolution/smoothing"


class Smoothing(QtWidgets.QWidget):
    """A small slider with its value, remembered in ``settings``."""

    changed = QtCore.pyqtSignal()

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        self.slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self.slider.setRange(0, len(SMOOTHED_STEPS) - 1)
        self.slider.setPageStep(1)
        self.slider.setFixedWidth(64)
        self.slider.setAccessibleName("Smoothing of the loss")
        self.slider.setValue(min(max(settings.value(_KEY, 0, int), 0), len(SMOOTHED_STEPS) - 1))
        self.text = QtWidgets.QLabel()
        self.setToolTip(
            "Draw the loss as a moving average over about so many steps (exponential: older ones count "
            "less); the loss of each step stays behind it, faintly."
        )
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(4)
        row.addWidget(self.slider)
        row.addWidget(self.text)
        self.apply_font()
        self.slider.valueChanged.connect(self._on_moved)

    def apply_font(self) -> None:
        """Small text, in proportion to the application's."""
        self.text.setFont(small_font(self.font()))
        self.setMaximumHeight(self.text.fontMetrics().height() + 4)
        self._tell()

    @property
    def steps(self) -> int:
        """Time constant; 0: none."""
        return SMOOTHED_STEPS[self.slider.value()]

    def _tell(self) -> None:
        # Room for any of the texts, so that the slider does not move.
        self.text.setFixedWidth(self.text.fontMetrics().horizontalAdvance("smooth 1000") + 2)
        self.text.setText(f"smooth {self.steps}" if self.steps else "smooth: off")
        self.slider.setAccessibleDescription(f"{self.steps} steps" if self.steps else "off")

    def _on_moved(self) -> None:
        self._settings.setValue(_KEY, self.slider.value())
        self._tell()
        self.changed.emit()
