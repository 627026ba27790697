"""The row above the histograms: which tensors, which axes, how large, and what the colours mean."""

from typing import Any, NamedTuple, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.histograms.flow import FlowLayout
from qatviz.gui.panels.histograms.layout import FIT, LARGE, MEDIUM, SMALL
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.settings import ACTIVATIONS, WEIGHTS

ALL, SELECTION, BOTH = "all", "selection", "both"


class Options(NamedTuple):
    """What the user chose."""

    scope: str = ALL
    kind: str = BOTH
    log_counts: bool = False
    log2_values: bool = False
    common: bool = False
    size: str = FIT


#: (option, accessible name, what it does, choices with their labels)
_CHOICES = (
    (
        "scope",
        "Tensors",
        "Which tensors have a tile: all of the network, or those that are selected.",
        ((ALL, "All tensors"), (SELECTION, "Selection")),
    ),
    (
        "kind",
        "Kind of tensor",
        "Weights are what is trained; activations are what flows from layer to layer, the network's input included.",
        ((BOTH, "All kinds"), (WEIGHTS, "Weights"), (ACTIVATIONS, "Activations")),
    ),
    (
        "size",
        "Size of the tiles",
        "How large the tiles are: as large as fits without scrolling, or of a fixed size.",
        ((FIT, "Fit"), (SMALL, "Small"), (MEDIUM, "Medium"), (LARGE, "Large")),
    ),
)
#: (option, label, what it does)
_TOGGLES = (
    (
        "log_counts",
        "log counts",
        "Logarithmic counts: rare values, such as the few that are clipped, become visible next to the many.",
    ),
    (
        "log2_values",
        "log₂ |value|",
        "The x axis is the magnitude in powers of two, both signs together: small values get as much room as "
        "large ones, "
        "and one bit more or less of range is one unit. The bin marked 0 holds all that is smaller.",
    ),
    (
        "common",
        "common x",
        "All weights share one x axis, and so do all activations, so that tiles can be compared; otherwise "
        "each tile has "
        "an axis of its own.",
    ),
)
#: (name, colour, what it stands for)
_LEGEND = (
    (
        "float",
        "float_values",
        "Distribution of the values as they are trained: QAT keeps every weight in float and computes with a "
        "rounded copy "
        "of it. So weights that are read out still look like floats.",
    ),
    (
        "quantized",
        "in_range",
        "What the network computes with: the values rounded to the levels of the grid. A spike for each level, "
        "as high as "
        "many values are on it compared with the others; an outline where the levels are too dense to tell "
        "apart, or each "
        "channel has levels of its own.",
    ),
    *((MEASURES[key].name, key, MEASURES[key].help) for key in ("clipped", "flushed")),
    (
        "range",
        "window_edge",
        "The representable range: from the smallest to the largest value that the grid has (of a tensor quantized per "
        "channel, the widest). On the log₂ axis, from half a quantization step on.",
    ),
    (
        "pending",
        "ghost",
        "The grid that settings which are not in effect yet would give: its representable range, and its levels as "
        "small ticks.",
    ),
)


class HistogramsBar(QtWidgets.QWidget):
    """Controls for :class:`Options`, remembered in ``settings``, and the legend."""

    changed = QtCore.pyqtSignal()

    def __init__(self, theme: Theme, settings: QtCore.QSettings, group: str, parent: QtWidgets.QWidget = None):
        super().__init__(parent)
        self._theme, self._settings, self._group = theme, settings, group
        self.options = self._restored()
        self._controls = {}
        layout = FlowLayout(self)
        layout.setContentsMargins(5, 4, 5, 2)
        for name, title, about, choices in _CHOICES:
            layout.addWidget(self._choice(name, title, about, choices))
        for name, title, about in _TOGGLES:
            layout.addWidget(self._toggle(name, title, about))
        for text, color, about in _LEGEND:
            layout.addWidget(LegendEntry(theme, text, color, about))
        self.apply_theme()

    def apply_theme(self) -> None:
        """A little smaller than other text: the room is the tiles'."""
        font = QtWidgets.QApplication.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        for widget in self.findChildren(QtWidgets.QWidget):
            widget.setFont(font)
        self.layout().invalidate()
        self.update()

    def control(self, name: str) -> QtWidgets.QWidget:
        """The control of an option."""
        return self._controls[name]

    def _choice(self, name: str, title: str, about: str, choices: Sequence[Tuple[str, str]]) -> QtWidgets.QComboBox:
        box = QtWidgets.QComboBox()
        for value, label in choices:
            box.addItem(label, value)
        box.setCurrentIndex(box.findData(getattr(self.options, name)))
        box.setToolTip(about)
        box.setAccessibleName(title)
        box.currentIndexChanged.connect(lambda index: self._set(name, box.itemData(index)))
        self._controls[name] = box
        return box

    def _toggle(self, name: str, title: str, about: str) -> QtWidgets.QToolButton:
        button = QtWidgets.QToolButton(text=title, checkable=True, checked=getattr(self.options, name))
        button.setFocusPolicy(QtCore.Qt.StrongFocus)
        button.setToolTip(about)
        button.toggled.connect(lambda on: self._set(name, on))
        self._controls[name] = button
        return button

    def _set(self, name: str, value: Any) -> None:
        self.options = self.options._replace(**{name: value})
        self._settings.setValue(f"{self._group}/{name}", value)
        self.changed.emit()

    def _restored(self) -> Options:
        known = {}
        allowed = {name: [value for value, _ in choices] for name, _, _, choices in _CHOICES}
        for name, default in Options()._asdict().items():
            value = self._settings.value(f"{self._group}/{name}", default, type=type(default))
            known[name] = value if value in allowed.get(name, (value,)) else default
        return Options(**known)


class LegendEntry(QtWidgets.QWidget):
    """A sample of a colour as it is drawn in the tiles, and its name."""

    SAMPLE_PX = 16

    def __init__(self, theme: Theme, text: str, color: str, about: str):
        super().__init__()
        self._theme, self._text, self._color = theme, text, color
        self.setToolTip(about)
        self.setAccessibleName(text)
        self.setAccessibleDescription(about)

    def sizeHint(self) -> QtCore.QSize:
        metrics = self.fontMetrics()
        return QtCore.QSize(self.SAMPLE_PX + 4 + metrics.horizontalAdvance(self._text) + 4, metrics.height() + 4)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter, color, height = QtGui.QPainter(self), self._theme.color(self._color), self.height()
        top, bottom, width = (height - 12) // 2, (height + 12) // 2, self.SAMPLE_PX - 2
        if self._color == "in_range":
            for x, tall in ((1, 5), (6, 11), (11, 7)):
                painter.fillRect(x, bottom - tall, 3, tall, color)
        elif self._color in ("window_edge", "ghost"):
            painter.setPen(QtGui.QPen(color, 1, QtCore.Qt.DashLine if self._color == "ghost" else QtCore.Qt.SolidLine))
            for x, foot in ((1, 4), (width - 1, width - 4)):
                painter.drawLine(x, top, x, bottom)
                painter.drawLine(x, top, foot, top)
        else:
            if self._color == "float_values":
                color.setAlpha(130)
            painter.fillRect(0, top + 1, width - 1, 10, color)
        painter.setPen(self._theme.color("muted"))
        painter.drawText(self.rect().adjusted(self.SAMPLE_PX + 2, 0, 0, 0), QtCore.Qt.AlignVCenter, self._text)
