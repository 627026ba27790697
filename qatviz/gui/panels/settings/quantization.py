"""Panel that changes quantizer settings of the selected or all tensors, separately for weights and activations."""

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.run_model import RUN, SELECTION, SETTINGS, STATE
from qatviz.gui.model.what_if import WhatIf
from qatviz.gui.panels import declarations
from qatviz.gui.panels.settings.what_if import WhatIfBar
from qatviz.gui.widgets.controls.column import Column
from qatviz.gui.widgets.controls.edit_bar import EditBar, RefusalLine
from qatviz.gui.widgets.controls.kind_section import Heading, KindSection
from qatviz.gui.widgets.controls.setting_control import SettingControl, align
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.panel import Panel
from qatviz.presets import PRESETS
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import KINDS, RUN_SETTINGS
from qatviz.settings import RUN as RUN_PREFIX

FREEZE = "freeze_ranges"


class QuantizationPanel(Panel):
    """Panel with all settings of the quantizers in scope, presets, Live or Hold, undo.

    Attributes
    ----------
    sections : dict of str to KindSection
        The sections by kind of tensor.
    what_if : WhatIf
        Evaluation of the settings if the run has ended; the window connects it.
    """

    declaration = declarations.QUANTIZATION
    topics = (RUN, SETTINGS, SELECTION, STATE)

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(context, parent)
        self.apply_theme()

    def _setup_ui(self) -> None:
        self.empty = EmptyText(self)
        self.preset = PresetButton(self.context)
        self.sections = {kind: KindSection(self.context, kind) for kind in KINDS}
        self.all_heading = Heading("All tensors", self.theme)
        self.freeze = SettingControl(RUN_SETTINGS[FREEZE], self.theme)
        self.refusal = RefusalLine(self.context)
        self.bar = EditBar(self.context, self)
        self.what_if = WhatIf(self.model, self.edits, self)
        self.what_if_bar = WhatIfBar(self.context, self.what_if)
        self._soon = QtCore.QTimer(self, singleShot=True, interval=0)

    def _layout(self) -> None:
        self._content = QtWidgets.QWidget()
        top = QtWidgets.QFormLayout()
        top.setFieldGrowthPolicy(QtWidgets.QFormLayout.AllNonFixedFieldsGrow)
        top.addRow("Preset", self.preset)
        self.column = Column([*self.sections.values(), self.all_heading, self.freeze])
        top.setContentsMargins(8, 8, 8, 0)
        self.refusal.setContentsMargins(8, 0, 8, 0)
        self.bar.layout().setContentsMargins(8, 0, 8, 8)
        self.what_if_bar.layout().setContentsMargins(8, 0, 8, 8)
        rows = QtWidgets.QVBoxLayout(self._content)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(top)
        rows.addWidget(self.column, 1)
        rows.addWidget(self.refusal)
        rows.addWidget(self.bar)
        rows.addWidget(self.what_if_bar)
        whole = QtWidgets.QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._content)

    def _connect(self) -> None:
        self.edits.scope.changed.connect(self._on_edits_changed)
        self.freeze.edited.connect(self._on_freeze)
        self.edits.changed.connect(self._on_edits_changed)
        self._soon.timeout.connect(self._on_soon)

    # Display

    def update_from(self) -> None:
        book = self.model.book
        self._content.setVisible(book is not None)
        if book is None:
            self.empty.show_text(self.model.no_run_text("No run. Quantizer settings are shown here once there is one."))
            return
        self.empty.show_text("")
        frozen = self.edits.value(RUN_PREFIX, FREEZE)
        run = replace(book.run, freeze_ranges=frozen)
        chosen = self.edits.scope.tensors()
        kinds = {tensor.name: tensor.kind for tensor in self.model.tensors}
        for kind, section in self.sections.items():
            section.show_tensors([name for name in chosen if kinds[name] == kind], run)
        self.freeze.show_values(
            [frozen], self.edits.is_pending(RUN_PREFIX, FREEZE), self.model.applied_at.get((RUN_PREFIX, FREEZE))
        )
        self.preset.show_tensors(chosen)
        self.bar.update_from()
        self.bar.setVisible(not self.edits.are_previews)
        self.what_if_bar.update_from()

    def apply_theme(self) -> None:
        parts: Tuple[QtWidgets.QWidget, ...] = (*self.sections.values(), self.all_heading, self.freeze, self.refusal)
        parts += (self.what_if_bar,)
        for part in parts:
            part.apply_theme()
        align([control for section in self.sections.values() for control in section.controls.values()])

    # User actions

    def _on_freeze(self, freeze: bool) -> None:
        if self.model.book is not None:
            self.edits.edit([RUN_PREFIX], FREEZE, freeze)

    def _on_edits_changed(self) -> None:
        self.mark_due()
        self._soon.start()  # an edit of many tensors emits many signals: update once

    def _on_soon(self) -> None:
        if self.is_due():
            self.refresh()


class PresetButton(QtWidgets.QPushButton):
    """Menu of presets; its text is the present preset of all quantizers in scope, or ``custom``."""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._model, self._edits = context.model, context.edits
        self._plan: Any = None
        self._books: Dict[str, SettingsBook] = {}
        self._chosen: List[str] = []
        menu = QtWidgets.QMenu(self)
        menu.setToolTipsVisible(True)
        for name, preset in PRESETS.items():
            action = menu.addAction(name, lambda name=name: self._edits.apply_preset(name, self._chosen))
            action.setToolTip(preset.description)
            action.setCheckable(True)
        self.setMenu(menu)
        self.setAccessibleName("Preset")

    def show_tensors(self, names: Sequence[str]) -> None:
        """Set the tensors in scope, and show the preset that their settings match."""
        book, self._chosen = self._model.book, list(names)
        self.setEnabled(book is not None and bool(names))
        if book is None:
            return
        if book.plan is not self._plan:
            self._plan = book.plan
            self._books = {name: SettingsBook.from_preset(book.plan, name) for name in PRESETS}
        now = [replace(book.of(name), trainable=True) for name in names]  # which is no matter of a preset
        present = next(
            (preset for preset, made in self._books.items() if names and now == [made.of(n) for n in names]), ""
        )
        self.setText(present or "custom")
        for action in self.menu().actions():
            action.setChecked(action.text() == present)
        about = PRESETS[present].description if present else "These settings match no preset"
        self.setToolTip(f"{about}. Choosing a preset sets all quantizers in scope.")
