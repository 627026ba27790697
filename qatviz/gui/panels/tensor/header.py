"""Header of the Tensor panel: the tensor, its settings and measures, in effect and pending."""

from dataclasses import replace
from html import escape
from typing import Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.panels.tensor.words import (
    SHOWN,
    describe,
    describe_channel,
    describe_now,
    describe_tensor,
    measured,
    measured_pending,
)
from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.widgets.labels import RichLabel
from qatviz.gui.widgets.scene_painter import small_font
from qatviz.gui.widgets.theme import Theme
from qatviz.measure_declaration import LOWER, Measure
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import Quantity

#: Measures whose pending value is better or worse than the present one; the others depend on the scale or the bits.
_COMPARED = ("sqnr_db", "clipped", "flushed", "size")
#: Difference of a pending value from the present one, in its standard errors, from which it is better or worse.
_SIGNIFICANT = 2.0
_PENDING = " After the arrow: the value under the pending settings, and whether it is better or worse."
#: Minimum width of a cell at the default font, px; a row has as many of eight, four or three cells as fit, else two,
#: or a single one where two names of measures do not fit.
CELL_WIDTH = 128
#: Longest expected description, and the maximum number of its lines.
_LONGEST_ABOUT = (
    "DepthwiseConv2D · 3×3×512×1 · 4.61k weights · 8 bits · symmetric · narrow range · per channel · 99.9 % range"
)
_MAX_LINES = 2
#: Longest expected texts of the step: of the newest snapshot, and of an earlier one, beside the button to return.
_LONGEST_NEWEST, _LONGEST_PAST = "step 100,000 applied ≈", "step 100,000 · past"
#: Minimum width of the list of tensors, px.
_MIN_CHOOSER = 90


class Header(QtWidgets.QWidget):
    """List of tensors, and description, settings and measures of the chosen one."""

    #: Emitted with the name of the tensor that the user chooses.
    tensor_chosen = QtCore.pyqtSignal(str)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._names: Tuple[str, ...] = ()
        self._columns = 0
        self._step_row = -1
        self.chooser = QtWidgets.QComboBox()
        self.chooser.setToolTip("The shown tensor.")
        self.chooser.setAccessibleName("Tensor")
        self.chooser.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.setMinimumContentsLength(14)
        self.chooser.setMinimumWidth(_MIN_CHOOSER)  # in a narrow panel, names are cut in the list's field only
        self.chooser.setMaxVisibleItems(30)
        self.about = RichLabel(wordWrap=True)
        self.step = RichLabel()
        self.step.setToolTip("The shown training step. Move the cursor in “Over time” to go back to an earlier one.")
        self.step.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
        self.back = QtWidgets.QToolButton(text="Newest")
        self.back.setToolTip("Return to the newest snapshot (End).")
        self.back.hide()
        self.all_channels = QtWidgets.QToolButton(text="All channels")
        self.all_channels.setToolTip("Show all channels together again (Esc on the Channels page).")
        self.all_channels.hide()
        self.log = QtWidgets.QToolButton(text="Log", checkable=True)
        self.log.setToolTip("Logarithmic counts: rare values become visible beside frequent ones.")
        self.log.setAccessibleName("Logarithmic counts")
        self.cells = {key: _CellLabels(MEASURES[key], theme) for key in SHOWN}
        self._step_place = Isolated(self.step)
        #: The list and the buttons, with the step in their row, or in a row of its own where the panel is narrow.
        self._top = QtWidgets.QGridLayout()
        self._top.setVerticalSpacing(0)
        for column, widget in ((0, self.chooser), (2, self.all_channels), (3, self.back), (4, self.log)):
            self._top.addWidget(widget, 0, column)
        self._places = [Isolated(self.cells[key]) for key in SHOWN]
        self._grid = QtWidgets.QGridLayout()
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 3)
        layout.setSpacing(2)
        layout.addLayout(self._top)
        layout.addWidget(self.about)
        layout.addLayout(self._grid)
        self.chooser.activated[str].connect(self.tensor_chosen)
        self.apply_theme()

    def apply_theme(self) -> None:
        """Apply the theme's colours and font size."""
        font = QtGui.QFont(self.font())
        font.setBold(True)
        self.chooser.setFont(font)
        self.about.setFont(small_font(self.font()))
        for cell in self.cells.values():
            cell.apply_theme()
        self._arrange()

    def show_tensors(self, tensors: Sequence[QuantizedTensor], current: str) -> None:
        """Update the list of tensors."""
        names = tuple(tensor.name for tensor in tensors)
        if names != self._names:
            self._names = names
            self.chooser.clear()
            self.chooser.addItems(names)
        if current != self.chooser.currentText():
            self.chooser.setCurrentText(current)
        self.chooser.setEnabled(bool(names))

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        ghost = view.ghost
        about = self._about(view)
        if about != self.about.text():
            self.about.setText(about)
            self.about.setToolTip(about)
        self._show_step(view)
        present = measured(view)
        pending = {} if ghost is None else measured_pending(ghost)
        for key in SHOWN:
            (now, value), (then, then_value, error) = present[key], pending.get(key, (None, np.nan, 0.0))
            better = None
            is_compared = key in _COMPARED and then not in (None, now) and np.isfinite([value, then_value]).all()
            if is_compared and abs(then_value - value) >= _SIGNIFICANT * error:
                better = (then_value < value) == (MEASURES[key].better == LOWER)
            self.cells[key].show_values(now, then, better)

    def _about(self, view: TensorView) -> str:
        """Return channel or tensor and settings, or the settings in effect and the pending ones."""
        colors, ghost = self._theme.colors, view.ghost
        part = f"<span style='color:{colors.muted}'>{describe_tensor(view.tensor)} ·</span> "
        if view.channel is not None:
            part = f"<span style='color:{colors.accent}'><b>{describe_channel(view.channel)}</b></span> · "
        if ghost is None:
            return part + describe_now(view)
        now = view.measured_with if view.is_active else None
        settings = describe_now(replace(view, settings=view.measured_with))
        return (
            f"{'' if view.channel is None else part}{settings} <span style='color:{colors.ghost}'>→ "
            f"{describe(ghost.settings, view.tensor.kind, ghost.active, now)}</span>"
        )

    def _show_step(self, view: TensorView) -> None:
        self.back.setVisible(not view.is_live)
        self.all_channels.setVisible(view.channel is not None)
        text = f"step {view.snapshot.step:,}{'' if view.is_live else ' · past'}"
        if view.ghost is not None:
            word = "applied" if view.ghost.settings == view.settings else "pending"
            text += (
                f" <span style='color:{self._theme.colors.ghost}'>{word}{' ≈' if view.ghost.approximate else ''}</span>"
            )
        self.step.setText(text)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        self._place_step()
        unit = CELL_WIDTH * self.fontMetrics().averageCharWidth() / 7.0
        columns = next((count for count in (8, 4, 3) if self.width() >= count * unit), 2)
        margins, spacing = self.layout().contentsMargins(), self._grid.horizontalSpacing()
        widest = max(cell.name_width() for cell in self.cells.values())
        sides = margins.left() + margins.right()
        self.setMinimumWidth(widest + sides)
        if self.width() < 2 * widest + spacing + sides:
            columns = 1
        # The height does not depend on the text, so that the plots below do not move.
        metrics = self.about.fontMetrics()
        room = QtCore.QRect(0, 0, max(self.width() - 16, 1), 1000)
        height = metrics.boundingRect(room, QtCore.Qt.TextWordWrap, _LONGEST_ABOUT).height()
        self.about.setFixedHeight(min(height, _MAX_LINES * metrics.lineSpacing()) + 2)
        if columns != self._columns:
            self._columns = columns
            for place, cell in enumerate(self._places):
                self._grid.addWidget(cell, place // columns, place % columns)
            for column in range(8):
                self._grid.setColumnStretch(column, 1 if column < columns else 0)

    def _place_step(self) -> None:
        """Place the step beside the list of tensors, or below it if its number could be cut there.

        Like the height of the description, its row does not depend on the text, but on the width and the font.
        """
        metrics, margins, gap = self.step.fontMetrics(), self.layout().contentsMargins(), self._top.horizontalSpacing()
        past = metrics.horizontalAdvance(_LONGEST_PAST) + gap + self.back.sizeHint().width()
        widths = [widget.sizeHint().width() for widget in (self.chooser, self.all_channels, self.log)]
        widths += [max(metrics.horizontalAdvance(_LONGEST_NEWEST), past), margins.left(), margins.right(), 3 * gap]
        row = 0 if sum(widths) <= self.width() else 1
        if row != self._step_row:
            self._step_row = row
            self._top.addWidget(self._step_place, row, 1 if row == 0 else 0, 1, 1 if row == 0 else 5)
            # In a row of its own, the list is as wide as both.
            for column, stretch in ((0, row), (1, 1 - row)):
                self._top.setColumnStretch(column, stretch)


class _CellLabels(QtWidgets.QWidget):
    """Name of a measure above its value and, in the ghost's colour, its pending value."""

    def __init__(self, measure: Measure, theme: Theme):
        super().__init__()
        self._help = measure.help + _PENDING
        self.setToolTip(self._help)
        self._theme = theme
        self._label = escape(measure.label)
        self._name, self.value = RichLabel(self._label), RichLabel("–")
        self.setAccessibleName(measure.label)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for label in (self._name, self.value):
            label.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Preferred)
            layout.addWidget(label)
        self.apply_theme()

    def apply_theme(self) -> None:
        self._name.setFont(small_font(self.font()))
        self._name.setStyleSheet(f"color: {self._theme.colors.muted}")

    def name_width(self) -> int:
        """Return the width that the measure's name needs."""
        return self._name.fontMetrics().horizontalAdvance(self.accessibleName()) + 2

    def show_values(self, now: Quantity, pending: Optional[Quantity], better: Optional[bool]) -> None:
        word = "" if better is None else "better" if better else "worse"
        color = getattr(self._theme.colors, "good" if better else "bad")
        # Before the label, whose end may be cut in a narrow cell.
        name = (f"<span style='color:{color}'><b>{word}</b></span> · " if word else "") + self._label
        if name != self._name.text():
            self._name.setText(name)
        # Two values side by side have their unit once.
        has_same_unit = pending is not None and pending.unit == now.unit
        text, spoken = f"<b>{escape(now.number if has_same_unit else now.text)}</b>", now.text
        if pending is not None:
            text += f" <span style='color:{self._theme.colors.ghost}'>→ {escape(pending.text)}</span>"
            spoken += f", pending {pending.text}"
        if text != self.value.text():
            self.value.setText(text)
            self.setAccessibleDescription(f"{spoken} {word}".strip())
            # The end of two values, such as the error of an estimate, may be cut in a narrow cell.
            self.setToolTip(self._help if pending is None else f"{now.text} → {pending.text}. {self._help}")
