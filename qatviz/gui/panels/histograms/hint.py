"""Line over the tiles that answers why trained weights still look like floats."""

from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.scene_painter import small_font
from qatviz.gui.widgets.theme import Theme
from qatviz.network.plan import QuantizedTensor
from qatviz.settings import QuantizerSettings

#: Bits that make levels visible at a glance.
FEW_BITS = 2
_QUESTION = (
    "Why do my weights still look like floats? The network computes with rounded copies (blue); the levels of {} bits "
    "are too dense to see."
)
_SHOW = f"Show {FEW_BITS} bits"
_DISMISSED = "histograms/hint_dismissed"


class LevelsHint(QtWidgets.QFrame):
    """Question, answer, and a button that sets few bits, or the former bits again.

    Once closed, it is never shown again; ``settings`` remembers this.
    """

    #: Emitted with a tensor and the number of bits that it shall have.
    bits_wanted = QtCore.pyqtSignal(str, int)

    def __init__(self, theme: Theme, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme, self._settings = theme, settings
        self._tensor, self._bits = "", 0
        self._changed, self._is_applied = "", False
        self.setObjectName("hint")
        self.text = Label(_QUESTION.format(8), wordWrap=True)
        self.text.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self.button = QtWidgets.QPushButton(_SHOW)
        self.close_button = QtWidgets.QToolButton(text="✕", autoRaise=True, toolTip="Don't show this again")
        self.close_button.setAccessibleName("Don't show this again")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 4, 2)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.button)
        layout.addWidget(self.close_button)
        self.button.clicked.connect(self._on_button)
        self.close_button.clicked.connect(self._dismiss)
        self.apply_theme()
        self.hide()

    def apply_theme(self) -> None:
        colors = self._theme.colors
        for part in (self.text, self.button):
            part.setFont(small_font(self.font()))
        self.setStyleSheet(f"#hint {{ background: {colors.raised}; border-left: 3px solid {colors.accent}; }}")

    @property
    def is_dismissed(self) -> bool:
        return self._settings.value(_DISMISSED, False, bool)

    def height_at(self, width: int) -> int:
        """Return the height of the line at a width, shown or not."""
        return self.layout().totalHeightForWidth(width)

    def update_from(self, tensor: Optional[QuantizedTensor], settings: Optional[QuantizerSettings]) -> None:
        """Show the line about weights of many bits; hide it without such weights, and once it has been closed."""
        if self.is_dismissed or tensor is None or settings is None:
            self._changed = ""
            self.hide()
            return
        is_few = settings.num_bits == FEW_BITS
        if self._is_applied and not is_few:
            self._changed = ""  # the change was undone, or another run is shown
        self._is_applied = bool(self._changed) and is_few
        if self._changed != tensor.name:
            self._changed, self._tensor, self._bits = "", tensor.name, settings.num_bits
            self._show(
                _QUESTION.format(settings.num_bits),
                _SHOW,
                f"Set {tensor.name} to {FEW_BITS} bits. Undo restores {settings.num_bits} bits.",
            )

    def _show(self, text: str, button: str, tip: str) -> None:
        self.text.setText(text)
        self.button.setText(button)
        self.button.setToolTip(tip)
        self.show()

    def _on_button(self) -> None:
        if self._changed:
            self.bits_wanted.emit(self._changed, self._bits)
            self._dismiss()
            return
        self._changed = self._tensor
        self._show(
            f"{self._tensor} has {FEW_BITS} bits now: the network computes with the few blue levels; training "
            "updates the grey floats.",
            f"Restore {self._bits} bits",
            f"Set {self._tensor} to {self._bits} bits again.",
        )
        self.bits_wanted.emit(self._tensor, FEW_BITS)

    def _dismiss(self) -> None:
        self._settings.setValue(_DISMISSED, True)
        self._changed = ""
        self.hide()

    @property
    def changed_tensor(self) -> str:
        """Name of the tensor that the button has changed; empty before."""
        return self._changed
