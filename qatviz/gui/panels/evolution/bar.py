"""Controls of the evolution panel."""

from typing import Dict, Optional, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.panels.evolution.kinds import DEFAULT_SHOWN, KINDS, PlotKind
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.scene_painter import small_font

#: Time constants of smoothing to choose from, training steps; 0 for none.
SMOOTHED_STEPS = (0, 5, 10, 20, 50, 100, 200, 500, 1000)
_SMOOTHING_KEY = "evolution/smoothing"


class EvolutionBar(QtWidgets.QWidget):
    """Choice of plots, tensors and axis, remembered in ``settings``."""

    #: Emitted when an option of the plots has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with whether to follow the run.
    follow_requested = QtCore.pyqtSignal(bool)
    #: Emitted when the user wants to see the whole run.
    whole_run_requested = QtCore.pyqtSignal()

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        shown = _parts(settings.value("evolution/plots", ",".join(DEFAULT_SHOWN)))
        self.plots: Dict[str, QtWidgets.QToolButton] = {
            kind.key: _toggle(kind.button, kind.about, kind.key in shown) for kind in KINDS
        }
        self.note = Label()
        self.view = QtWidgets.QToolButton(text="View", popupMode=QtWidgets.QToolButton.InstantPopup)
        self.view.setToolTip("Tensors, time axis, and the effect of dragging.")
        self.view.setFocusPolicy(QtCore.Qt.StrongFocus)
        menu = QtWidgets.QMenu(self.view)
        menu.setToolTipsVisible(True)
        self.view.setMenu(menu)
        self.all_tensors = self._option(
            menu, "all_tensors", "All tensors", "Draw all tensors of the network, faintly, behind the selected ones."
        )
        self.seconds = self._option(
            menu, "seconds", "Seconds instead of steps", "Show seconds of training on the axis, without pauses."
        )
        self.boxes = self._option(
            menu,
            "boxes",
            "Dragging zooms into a box",
            "Dragging zooms into the dragged box instead of panning; Shift does the opposite.",
        )
        menu.addSeparator()
        self.whole = menu.addAction("Whole run\tHome", self.whole_run_requested)
        self.whole.setToolTip("Show the run from its beginning and follow it (or double-click a plot).")
        self.follow = _toggle("Follow", "Keep the newest step in view (F). Panning ends it.", True)
        self._layout()
        self._connect()
        self._on_changed()

    def _option(self, menu: QtWidgets.QMenu, name: str, text: str, tip: str) -> QtWidgets.QAction:
        action = menu.addAction(text)
        action.setToolTip(tip)
        action.setCheckable(True)
        action.setChecked(self._settings.value("evolution/" + name, False, bool))
        return action

    def _layout(self) -> None:
        layout = FlowLayout(self, spacing=3)
        layout.setContentsMargins(3, 2, 3, 2)
        for widget in [*self.plots.values(), self.follow, self.view, self.note]:
            layout.addWidget(widget)
        self.apply_font()

    def apply_font(self) -> None:
        """Apply a small font, in proportion to the application's."""
        for widget in [*self.plots.values(), self.follow, self.view, self.note]:
            widget.setFont(small_font(self.font()))

    def _connect(self) -> None:
        for button in [*self.plots.values(), self.all_tensors, self.seconds, self.boxes]:
            button.toggled.connect(self._on_changed)
        self.follow.clicked.connect(self.follow_requested)

    @property
    def shown(self) -> Sequence[str]:
        """Keys of the shown plots."""
        return [key for key, button in self.plots.items() if button.isChecked()]

    def name_plot(self, kind: PlotKind) -> None:
        """Set text and tooltip of the toggle ``kind.key``."""
        button = self.plots[kind.key]
        if button.text() != kind.button:
            button.setText(kind.button)
            self.layout().invalidate()
        button.setToolTip(kind.about)

    def set_note(self, text: str) -> None:
        """Show a note on the number of tensors; empty for none."""
        if text != self.note.text():
            self.note.setText(text)
            self.note.setVisible(bool(text))
            self.layout().invalidate()

    def _on_changed(self) -> None:
        self._settings.setValue("evolution/plots", ",".join(self.shown))
        for name in ("all_tensors", "seconds", "boxes"):
            self._settings.setValue("evolution/" + name, getattr(self, name).isChecked())
        self.changed.emit()


class Smoothing(QtWidgets.QWidget):
    """Small slider with its value, remembered in ``settings``."""

    #: Emitted when the user has moved the slider.
    changed = QtCore.pyqtSignal()

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        self.slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self.slider.setRange(0, len(SMOOTHED_STEPS) - 1)
        self.slider.setPageStep(1)
        self.slider.setFixedWidth(64)
        self.slider.setAccessibleName("Smoothing of the loss")
        self.slider.setValue(min(max(settings.value(_SMOOTHING_KEY, 0, int), 0), len(SMOOTHED_STEPS) - 1))
        self.text = Label()
        self.setToolTip(
            "Draw the loss as an exponential moving average with this time constant in steps; the loss of each step is "
            "drawn faintly behind it."
        )
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(4)
        row.addWidget(self.slider)
        row.addWidget(self.text)
        self.apply_font()
        self.slider.valueChanged.connect(self._on_moved)

    def apply_font(self) -> None:
        """Apply a small font, in proportion to the application's."""
        self.text.setFont(small_font(self.font()))
        self.setMaximumHeight(self.text.fontMetrics().height() + 4)
        self._show_text()

    @property
    def steps(self) -> int:
        """Time constant in training steps; 0 for none."""
        return SMOOTHED_STEPS[self.slider.value()]

    def _show_text(self) -> None:
        # The width of the longest text, so that the slider does not move.
        self.text.setFixedWidth(self.text.fontMetrics().horizontalAdvance("smooth 1000") + 2)
        self.text.setText(f"smooth {self.steps}" if self.steps else "smooth: off")
        self.slider.setAccessibleDescription(f"{self.steps} steps" if self.steps else "off")

    def _on_moved(self) -> None:
        self._settings.setValue(_SMOOTHING_KEY, self.slider.value())
        self._show_text()
        self.changed.emit()


def _toggle(text: str, tip: str, on: bool) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.setChecked(on)
    button.setFocusPolicy(QtCore.Qt.StrongFocus)
    return button


def _parts(text: object) -> Sequence[str]:
    return [part for part in str(text).split(",") if part]
