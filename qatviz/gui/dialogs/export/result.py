"""Result of an export: its path, and the proof that it computes the same as the evaluation."""

import os
from typing import Any, Dict, List, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.dialogs.export.tables import RecordView
from qatviz.gui.model.exporting import EndedExport
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.metric import ACCURACY, METRICS
from qatviz.number_format import bytes_text, count, share_text

_COPY_TIP = "Copy the whole proof as text"
#: Number of visible rows of the table of outputs.
_OUTPUT_ROWS = 4


class ExportResult(QtWidgets.QWidget):
    """Page with the proof of an export, or the reason why it failed."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme, self._text, self._color = theme, "", "good"
        self._path = ""
        self.heading, self.location, self.facts, self.faults, self.notes = labels = [
            Label(wordWrap=True) for _ in range(5)
        ]
        for label in labels:
            label.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse | QtCore.Qt.TextSelectableByKeyboard)
        font = QtGui.QFont(self.heading.font())
        font.setBold(True)
        font.setPointSizeF(1.15 * font.pointSizeF())
        self.heading.setFont(font)
        self.outputs, self.layers = RecordView("Outputs", theme), RecordView("Layers", theme)
        self.details = QtWidgets.QPlainTextEdit(readOnly=True)
        self.details.setFont(QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.FixedFont))
        self.details.setLineWrapMode(QtWidgets.QPlainTextEdit.NoWrap)
        self.details.setAccessibleName("Details")
        self.open_folder, self.copy = QtWidgets.QPushButton("Open folder"), QtWidgets.QPushButton("Copy table")
        self.open_folder.setToolTip("Show the files in the system's file manager")
        self.copy.setToolTip(_COPY_TIP)
        for button in (self.open_folder, self.copy):
            button.setAutoDefault(False)
        self._layout()
        self.open_folder.clicked.connect(self._on_open_folder)
        self.copy.clicked.connect(lambda: QtWidgets.QApplication.clipboard().setText(self._text))
        theme.changed.connect(self._apply_theme)

    def _layout(self) -> None:
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(8)
        for part in (self.heading, self.location, self.facts, self.faults, self.outputs):
            rows.addWidget(part)
        rows.addWidget(self.layers, 1)
        rows.addWidget(self.details, 1)
        rows.addWidget(self.notes)
        rows.addStretch(0)
        buttons = QtWidgets.QHBoxLayout()
        buttons.addWidget(self.open_folder)
        buttons.addWidget(self.copy)
        buttons.addStretch(1)
        rows.addLayout(buttons)

    def show_ended(self, ended: EndedExport) -> None:
        """Show a completed or failed export."""
        if ended.record is None:
            self._show_failure(ended)
        else:
            self._show_proof(ended.record)
        self._apply_theme()

    def _show_failure(self, ended: EndedExport) -> None:
        self._color = "bad"
        self.heading.setText("✕ Nothing was exported")
        self.location.setText(ended.message[:1].upper() + ended.message[1:])
        self._text = "\n\n".join(part for part in (ended.message, ended.details) if part)
        self.copy.setText("Copy message")
        self.copy.setToolTip("Copy the message and its details")
        self.details.setPlainText(ended.details)
        self._show_only(details=ended.details not in ("", ended.message))

    def _show_proof(self, record: Dict[str, Any]) -> None:
        faults = [str(fault) for fault in record.get("faults") or ()]
        paths = [str(path) for path in record.get("files") or ()]
        self._path = paths[0] if paths else ""
        self._text = str(record.get("text", ""))
        self.copy.setText("Copy table")
        self.copy.setToolTip(_COPY_TIP)
        text, self._color = _heading(record, faults)
        self.heading.setText(text)
        self.location.setText(
            "Written to "
            f"{self._path}{', with its proof beside it' if len(paths) > 1 and not os.path.isdir(self._path) else ''}"
        )
        self.facts.setText("\n".join(_facts(record)))
        self.faults.setText("\n".join("✕ " + fault for fault in faults))
        outputs = record.get("outputs") or {}
        self.outputs.show_rows([dict({"compared": name}, **found) for name, found in outputs.items()])
        self.layers.show_rows(record.get("layers") or ())
        self.notes.setText("\n".join("Note: " + note for note in record.get("notes") or ()))
        self._show_only(
            facts=bool(self.facts.text()),
            faults=bool(faults),
            outputs=bool(record.get("outputs")),
            layers=bool(record.get("layers")),
            notes=bool(self.notes.text()),
            open_folder=bool(self._path),
        )

    def _show_only(self, **parts: bool) -> None:
        for name in ("facts", "faults", "outputs", "layers", "details", "notes", "open_folder"):
            getattr(self, name).setVisible(parts.get(name, False))

    def _apply_theme(self) -> None:
        for label, color in ((self.heading, self._color), (self.faults, "bad"), (self.notes, "muted")):
            palette = QtGui.QPalette(QtWidgets.QApplication.palette())
            palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
            label.setPalette(palette)
        rows = min(self.outputs.model().rowCount(), _OUTPUT_ROWS)
        self.outputs.setFixedHeight(
            self.outputs.horizontalHeader().sizeHint().height()
            + 4
            + rows * self.outputs.verticalHeader().defaultSectionSize()
        )

    def _on_open_folder(self) -> None:
        folder = self._path if os.path.isdir(self._path) else os.path.dirname(self._path)
        QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(folder))


def _heading(record: Dict[str, Any], faults: List[str]) -> Tuple[str, str]:
    """Return the heading and the role of its colour, which is that of success only if all outputs are identical."""
    if faults:
        return (
            f"✕ Written, but {'1 operation is' if len(faults) == 1 else f'{len(faults)} operations are'} wrong",
            "bad",
        )
    if not record.get("as_expected", True):
        return "! Exported: each operation is correct, but rounding differences add up to more than usual", "warning"
    outputs = list((record.get("outputs") or {}).values())
    largest = [row.get("largest") for row in outputs if isinstance(row.get("largest"), int)]
    if not any(largest):
        return "✓ Exported and verified against the evaluation", "good"
    identical = [row["identical"] for row in outputs if isinstance(row.get("identical"), float)]
    part = f"{share_text(min(identical))} of the outputs are identical, " if identical else ""
    return f"✓ Exported and verified: {part}differences of at most {count(max(largest), 'code')}", "text"


def _facts(record: Dict[str, Any]) -> List[str]:
    """Return lines of text with format, scores and sizes."""
    about, facts = record.get("about") or {}, []
    if about.get("format"):
        step = f" of step {about['step']:,}" if isinstance(about.get("step"), int) else ""
        examples = f"{record.get('examples') or 0:,} held-out examples"
        facts.append(f"{about['format']}{step}, run in {about.get('runtime', '?')} on {examples}")
    metric = METRICS.get(str(record.get("metric")), ACCURACY)
    if record.get(metric.name):
        facts.append(f"{metric.capitalized_title}: {metric.listing(record[metric.name])}")
    if record.get("bytes"):
        sizes = [f"{name} {bytes_text(count)}" for name, count in record["bytes"].items()]
        facts.append("Size: " + ", ".join(sizes))
    return facts
