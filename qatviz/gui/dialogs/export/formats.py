"""What a run can be exported to: the list of formats, and why the chosen one may not be possible."""

import re
from html import escape
from typing import Any, Dict, List, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.tables import style_selection
from qatviz.gui.widgets.theme import Theme

_WIDTH = 270
_POSSIBLE, _IMPOSSIBLE = "✓ can hold these settings", "✕ can't hold these settings"
_UNKNOWN = "… reading the checkpoint"
#: What limits say after why something is not possible.
_REMEDY = "; possible "
#: ``conv1.weights.num_bits=8`` in it.
_ASSIGNMENT = re.compile(r"([^\s=]+\.[a-z_]+)=([\w.+-]*\w)")


class FormatList(QtWidgets.QListWidget):
    """A line for each format, and under it whether it can hold the settings.

    Parameters
    ----------
    formats : sequence
        As :class:`qatviz.export.formats.Format`.
    """

    def __init__(self, formats: Sequence[Any], theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.forms, self._theme = list(formats), theme
        self.setAccessibleName("Formats")
        self.setFixedWidth(_WIDTH)
        self.setSpacing(2)
        self.setWordWrap(True)
        self.setUniformItemSizes(False)
        for form in self.forms:
            item = QtWidgets.QListWidgetItem(form.title)
            item.setToolTip(form.about)
            self.addItem(item)
        self._reasons: Dict[str, Optional[List[str]]] = {form.name: None for form in self.forms}
        self.setCurrentRow(0)
        self._dress()
        theme.changed.connect(self._dress)

    def form(self) -> Any:
        """The chosen one."""
        return self.forms[self.currentRow()]

    def choose(self, name: str) -> None:
        """Choose a format by its name, where there is such a one."""
        for row, form in enumerate(self.forms):
            if form.name == name:
                self.setCurrentRow(row)

    def show_limits(self, reasons: Dict[str, Optional[List[str]]]) -> None:
        """By the name of the format: what stands against it; None where that is not known yet."""
        if reasons != self._reasons:
            self._reasons = reasons
            self._dress()

    def _dress(self) -> None:
        style_selection(self, self._theme)
        for row, form in enumerate(self.forms):
            reasons = self._reasons.get(form.name)
            verdict = _UNKNOWN if reasons is None else _IMPOSSIBLE if reasons else _POSSIBLE
            item = self.item(row)
            item.setText(f"{form.title}\n{verdict}")
            item.setForeground(QtGui.QBrush(self._theme.color("muted" if reasons else "text")))


class LimitsView(QtWidgets.QWidget):
    """Whether the chosen format can hold the settings, and else each reason with what would make it possible: a link
    where it is a setting that can be changed.
    """

    #: The user wants this setting to have this value: its path, and a text.
    change_wanted = QtCore.pyqtSignal(str, str)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._title: str = ""
        self._reasons: Optional[List[str]] = None
        self._can_change: bool = False
        self.verdict = QtWidgets.QLabel(wordWrap=True)
        self.change_all = QtWidgets.QPushButton("Change all")
        self.change_all.setToolTip("Make the first change that each reason names; it can be undone")
        self.change_all.setAutoDefault(False)
        self.reasons = QtWidgets.QTextBrowser()
        self.reasons.setAccessibleName("What stands against this format")
        self.reasons.setOpenLinks(False)
        self.reasons.setMinimumHeight(90)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        head = QtWidgets.QHBoxLayout()
        head.addWidget(self.verdict, 1)
        head.addWidget(self.change_all)
        rows.addLayout(head)
        rows.addWidget(self.reasons, 1)
        self.reasons.hide()
        self.change_all.hide()
        self.change_all.clicked.connect(self._on_change_all)
        self.reasons.anchorClicked.connect(self._on_link)
        theme.changed.connect(self._dress)

    def show_limits(self, title: str, reasons: Optional[List[str]], can_change: bool = False) -> None:
        """``reasons`` stand against the format ``title``; None where that is not known yet. ``can_change``: they are of
        settings that can be changed.
        """
        if (title, reasons, can_change) != (self._title, self._reasons, self._can_change):
            self._title, self._reasons, self._can_change = title, reasons, can_change
            self._dress()

    def _dress(self) -> None:
        title, reasons = self._title, self._reasons
        if reasons is None:
            text, color = "Reading the settings of the checkpoint…", "muted"
        elif reasons:
            count = "1 reason" if len(reasons) == 1 else f"{len(reasons)} reasons"
            text, color = f"✕ {title} can't hold these settings, for {count}:", "bad"
        else:
            text, color = f"✓ {title} can hold the settings of this state.", "good"
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
        self.verdict.setPalette(palette)
        self.verdict.setText(text)
        self.reasons.setVisible(bool(reasons))
        self.change_all.setVisible(self._can_change and len(self._first_changes()) > 1)
        place = self.reasons.verticalScrollBar().value()
        self.reasons.setHtml("".join(self._paragraph(reason) for reason in reasons or ()))
        self.reasons.verticalScrollBar().setValue(place)

    def _paragraph(self, reason: str) -> str:
        why, found, remedy = reason.partition(_REMEDY)
        text = "• " + escape(why)
        if found:
            remedy = escape(remedy, quote=True)
            if self._can_change:
                link = rf"<a href='\g<0>' style='color:{self._theme.colors.accent}'>\g<0></a>"
                remedy = _ASSIGNMENT.sub(link, remedy)
            text += "<br>→ possible " + remedy
        return f"<p style='margin: 0 0 6px 0'>{text}</p>"

    def _first_changes(self) -> List[str]:
        found = [_ASSIGNMENT.search(reason.partition(_REMEDY)[2]) for reason in self._reasons or ()]
        return list(dict.fromkeys(match.group() for match in found if match))

    def _on_change_all(self) -> None:
        for change in self._first_changes():
            self._on_link(QtCore.QUrl(change))

    def _on_link(self, link: QtCore.QUrl) -> None:
        path, _, value = link.toString(QtCore.QUrl.FullyDecoded).rpartition("=")
        self.change_wanted.emit(path, value)


class OptionsForm(QtWidgets.QWidget):
    """The options of a format, made from their declarations; what was chosen for each format is remembered, but for
    what the user has allowed: that is asked for each time.
    """

    changed = QtCore.pyqtSignal()

    def __init__(self, form: Any, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._form, self._settings = form, settings
        self.widgets: Dict[str, QtWidgets.QWidget] = {}
        rows = QtWidgets.QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for option in form.options:
            remembered = None if _is_consent(option.name) else settings.value(self._key(option.name))
            if option.choices:
                widget = QtWidgets.QComboBox()
                widget.addItems(option.choices)
                widget.setCurrentText(str(option.default))
                widget.setCurrentText(str(remembered or ""))  # where there is such an item
                widget.setAccessibleName(option.label)
                widget.currentTextChanged.connect(self._on_changed)
                label = QtWidgets.QLabel(option.label)
                label.setBuddy(widget)
                label.setToolTip(option.help)
                rows.addRow(label, widget)
            else:
                widget = CheckBox(option.label)
                is_on = option.default if remembered is None else remembered in (True, "true")
                widget.setChecked(bool(is_on))
                widget.toggled.connect(self._on_changed)
                rows.addRow(widget)
            widget.setToolTip(option.help)
            self.widgets[option.name] = widget

    def values(self) -> Dict[str, Any]:
        """All options by name."""
        return {
            name: widget.currentText() if isinstance(widget, QtWidgets.QComboBox) else widget.isChecked()
            for name, widget in self.widgets.items()
        }

    def forget_consent(self) -> None:
        """What was allowed was allowed once."""
        for option in self._form.options:
            if _is_consent(option.name):
                self.widgets[option.name].setChecked(bool(option.default))

    def _key(self, option: str) -> str:
        return f"export/options/{self._form.name}/{option}"

    def _on_changed(self, *_: Any) -> None:
        for name, value in self.values().items():
            if not _is_consent(name):
                self._settings.setValue(self._key(name), value)
        self.changed.emit()


def _is_consent(option: str) -> bool:
    """Whether an option lets something happen that the user should decide on each time, such as running code."""
    return option.startswith("allow_")
