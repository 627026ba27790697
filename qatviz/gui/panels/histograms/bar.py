"""Controls above the histograms (tensors, axes, size of tiles) and the legend."""

from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.histograms.grid import FIT, LARGE, MEDIUM, SMALL
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.scene_painter import scene_painter, small_font
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.histogram import FROZEN, LEGEND, PENDING, SAMPLE_SIZE, LegendEntry, legend_entries, sample
from qatviz.settings import ACTIVATIONS, WEIGHTS

#: Space between a sample and its name, px.
_SAMPLE_GAP = 5.0

ALL, SELECTION, BOTH = "all", "selection", "both"


class Options(NamedTuple):
    """The user's choices."""

    scope: str = ALL
    kind: str = BOTH
    log_counts: bool = False
    log2_values: bool = False
    common: bool = False
    size: str = FIT


#: (option, accessible name, tooltip, values with their labels)
_CHOICES = (
    (
        "scope",
        "Tensors",
        "Tensors with a tile: all of the network, or the selected ones.",
        ((ALL, "All tensors"), (SELECTION, "Selected")),
    ),
    (
        "kind",
        "Kind of tensor",
        "Weights are trained; activations are the outputs of layers and the network's input.",
        ((BOTH, "All kinds"), (WEIGHTS, "Weights"), (ACTIVATIONS, "Activations")),
    ),
    (
        "size",
        "Size of the tiles",
        "Size of the tiles: as large as possible without scrolling, or fixed.",
        ((FIT, "Fit"), (SMALL, "Small"), (MEDIUM, "Medium"), (LARGE, "Large")),
    ),
)
#: (option, label, tooltip)
_TOGGLES = (
    (
        "log_counts",
        "log counts",
        "Logarithmic counts: rare values, such as clipped ones, become visible beside frequent ones.",
    ),
    (
        "log2_values",
        "log₂ |value|",
        "The x axis is the magnitude in powers of two, for both signs together: small values get as much room as "
        "large ones; one unit is one bit of range. The bin marked 0 holds all smaller values.",
    ),
    (
        "common",
        "common x",
        "One x axis for all weights and one for all activations, so that tiles can be compared; otherwise each tile "
        "has its own.",
    ),
)


class HistogramsBar(QtWidgets.QWidget):
    """Controls for :class:`Options`, remembered in ``settings``, and the legend."""

    changed = QtCore.pyqtSignal()

    def __init__(
        self, theme: Theme, settings: QtCore.QSettings, group: str, parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self._theme, self._settings, self._group = theme, settings, group
        self.options = self._restored()
        self._controls: Dict[str, QtWidgets.QWidget] = {}
        layout = FlowLayout(self)
        layout.setContentsMargins(5, 4, 5, 2)
        for name, title, about, choices in _CHOICES:
            layout.addWidget(self._choice(name, title, about, choices))
        for name, title, about in _TOGGLES:
            layout.addWidget(self._toggle(name, title, about))
        self._samples = {entry.key: LegendSample(theme, entry) for entry in LEGEND}
        for sample_ in self._samples.values():
            layout.addWidget(sample_)
        self._has_legend = True
        self._present: FrozenSet[str] = frozenset()
        self._show_samples()
        self.apply_theme()

    def apply_theme(self) -> None:
        """Apply a font slightly smaller than that of other text, to leave room for the tiles."""
        font = small_font(QtWidgets.QApplication.font())
        for widget in self.findChildren(QtWidgets.QWidget):
            widget.setFont(font)
        self.layout().invalidate()
        self.update()

    def show_present(self, is_pending: bool, has_frozen: bool) -> None:
        """Show or hide the legend's entries for pending edits and frozen weights, which take room from the tiles."""
        self._present = frozenset([*[PENDING] * is_pending, *[FROZEN] * has_frozen])
        self._show_samples()

    def fit(self, width: int, height: int) -> None:
        """Show the legend if the bar with it is no higher than ``height``."""
        self._has_legend = self.height_at(width, True) <= height
        self._show_samples()

    def height_at(self, width: int, with_legend: bool) -> int:
        """Return the height at a width with or without the legend."""
        rest = [part for part in self._parts() if part not in self._samples.values() and not part.isHidden()]
        legend = [self._samples[entry.key] for entry in legend_entries(self._present)]
        return int(self.layout().height_of([*rest, *(legend if with_legend else [])], width))

    def free_room(self) -> QtCore.QRect:
        """Return what is free right of the last row."""
        last = [part for part in self._parts() if not part.isHidden()][-1].geometry()
        left, right = last.right() + self.layout().spacing(), self.width() - self.layout().contentsMargins().right()
        return QtCore.QRect(left, last.top(), right - left, last.height())

    def _parts(self) -> List[QtWidgets.QWidget]:
        layout = self.layout()
        return [layout.itemAt(index).widget() for index in range(layout.count())]

    def _show_samples(self) -> None:
        wanted = {entry.key for entry in legend_entries(self._present)}
        for key, part in self._samples.items():
            is_shown = self._has_legend and key in wanted
            if part.isHidden() == is_shown:
                part.setVisible(is_shown)
                part.setFont(self._controls["size"].font())  # which a part that was hidden may have lost

    def control(self, name: str) -> QtWidgets.QWidget:
        """Return the control of an option."""
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


class LegendSample(QtWidgets.QWidget):
    """Entry of the legend: a sample of a shape in the tiles, and its name."""

    def __init__(self, theme: Theme, entry: LegendEntry):
        super().__init__()
        self._theme, self._entry = theme, entry
        self.setToolTip(entry.about)
        self.setAccessibleName(entry.label)
        self.setAccessibleDescription(entry.about)

    def sizeHint(self) -> QtCore.QSize:
        width = SAMPLE_SIZE[0] + _SAMPLE_GAP + self.fontMetrics().horizontalAdvance(self._entry.label)
        return QtCore.QSize(int(width) + 4, self.fontMetrics().height() + 4)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        left = int(SAMPLE_SIZE[0] + _SAMPLE_GAP)
        painter.setPen(self._theme.color("muted"))
        painter.drawText(self.rect().adjusted(left, 0, 0, 0), QtCore.Qt.AlignVCenter, self._entry.label)
        painter.translate(0, (self.height() - int(SAMPLE_SIZE[1])) // 2)
        scene_painter(self._theme, self.font(), "window").paint(painter, sample(self._entry.key))
