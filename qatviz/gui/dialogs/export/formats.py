"""Widgets for export formats: the list, the chosen format's options, and the reasons why it is not supported."""

from html import escape
from typing import Any, Dict, List, Optional, Sequence, Union

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import OptionChange, Refusal, Remedy, SettingChange, alternatives_text, change_text, remedy_text
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.tables import style_selection
from qatviz.gui.widgets.theme import Theme

#: Remedies that can be applied with a click.
Change = Union[SettingChange, OptionChange]

_WIDTH = 270
_NOT_SUPPORTED = "✕ Not supported"
#: Text while the settings of the chosen checkpoint are not known yet.
READING = "Reading the checkpoint…"


class FormatList(QtWidgets.QListWidget):
    """List of formats, with a mark on those that don't support the settings.

    Parameters
    ----------
    formats : sequence of qatviz.export.formats.Format

    Attributes
    ----------
    known : list of qatviz.export.formats.Format
        All formats, in the order of the rows.
    """

    def __init__(self, formats: Sequence[Any], theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.known, self._theme = list(formats), theme
        self.setAccessibleName("Formats")
        self.setFixedWidth(_WIDTH)
        self.setSpacing(2)
        self.setWordWrap(True)
        self.setUniformItemSizes(False)
        for known in self.known:
            item = QtWidgets.QListWidgetItem(known.title)
            item.setToolTip(known.about)
            self.addItem(item)
        self._refusals: Dict[str, Optional[List[Refusal]]] = {known.name: None for known in self.known}
        self.setCurrentRow(0)
        self._repaint()
        theme.changed.connect(self._repaint)

    def chosen(self) -> Any:
        """Return the chosen format."""
        return self.known[self.currentRow()]

    def choose(self, name: str) -> None:
        """Select the format ``name``, if there is one."""
        for row, known in enumerate(self.known):
            if known.name == name:
                self.setCurrentRow(row)

    def show_limits(self, refusals: Dict[str, Optional[List[Refusal]]]) -> None:
        """Mark unsupported formats; ``refusals`` are by the format's name, None if not known yet."""
        if refusals != self._refusals:
            self._refusals = refusals
            self._repaint()

    def _repaint(self) -> None:
        style_selection(self, self._theme)
        for row, known in enumerate(self.known):
            refusals = self._refusals.get(known.name)
            mark = READING if refusals is None else _NOT_SUPPORTED if refusals else ""
            item = self.item(row)
            item.setText(f"{known.title}\n{mark}" if mark else known.title)
            item.setForeground(QtGui.QBrush(self._theme.color("muted" if refusals else "text")))


class LimitsView(QtWidgets.QWidget):
    """Reasons why the chosen format does not support the settings, with remedies as links; empty if it does."""

    #: Emitted with a :data:`Change` that the user requests.
    change_wanted = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        #: The format.
        self._chosen: Any = None
        self._refusals: Optional[List[Refusal]] = None
        self._can_change: bool = False
        #: Changes that the links of the text apply, in order.
        self._changes: List[Change] = []
        self.verdict = Label(wordWrap=True)
        self.change_all = QtWidgets.QPushButton("Change all")
        self.change_all.setToolTip("Apply the first change proposed for each reason. Changes of settings can be undone")
        self.change_all.setAutoDefault(False)
        self.reasons = QtWidgets.QTextBrowser()
        self.reasons.setAccessibleName("Reasons why this format is not supported")
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
        theme.changed.connect(self._repaint)

    def show_limits(self, chosen: Any, refusals: Optional[List[Refusal]], can_change: bool) -> None:
        """Show the ``refusals`` of a :class:`qatviz.export.formats.Format`, None if not known yet.

        With ``can_change``, links change the settings of the run.
        """
        if (chosen, refusals, can_change) != (self._chosen, self._refusals, self._can_change):
            self._chosen, self._refusals, self._can_change = chosen, refusals, can_change
            self._repaint()

    def _repaint(self) -> None:
        refusals = self._refusals
        if refusals is None:
            text, color = READING, "muted"
        elif refusals:
            count = "1 reason" if len(refusals) == 1 else f"{len(refusals)} reasons"
            text, color = f"✕ {self._chosen.title} does not support these settings, for {count}:", "bad"
        else:
            text, color = "", "text"
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
        self.verdict.setPalette(palette)
        self.verdict.setText(text)
        self.verdict.setVisible(bool(text))
        self.reasons.setVisible(bool(refusals))
        self.change_all.setVisible(len(self._first_changes()) > 1)
        place = self.reasons.verticalScrollBar().value()
        self._changes = []
        self.reasons.setHtml("".join(self._paragraph(refusal) for refusal in refusals or ()))
        self.reasons.verticalScrollBar().setValue(place)

    def _paragraph(self, refusal: Refusal) -> str:
        text = "• " + escape(refusal.reason)
        if refusal.remedies:
            text += "<br>→ " + alternatives_text(map(self._remedy_html, refusal.remedies))
        return f"<p style='margin: 0 0 6px 0'>{text}</p>"

    def _remedy_html(self, remedy: Remedy) -> str:
        text, change = escape(remedy_text(remedy)), self._applicable(remedy)
        if change is None:
            return text
        self._changes.append(change)
        link = f"<a href='{len(self._changes) - 1}' style='color:{self._theme.colors.accent}'>"
        if isinstance(change, SettingChange):
            return f"with {link}{escape(change_text(change))}</a>"
        return f"{link}{text}</a>"

    def _applicable(self, remedy: Remedy) -> Optional[Change]:
        """Return the remedy if a click can apply it: consent is never given by a link."""
        if isinstance(remedy, OptionChange):
            return None if remedy.option in self._chosen.consents else remedy
        return remedy if isinstance(remedy, SettingChange) and self._can_change else None

    def _first_changes(self) -> List[Change]:
        """Return the first applicable remedy of each refusal, without duplicates."""
        found: Dict[Change, None] = {}
        for refusal in self._refusals or ():
            changes = [change for change in map(self._applicable, refusal.remedies) if change is not None]
            found.update(dict.fromkeys(changes[:1]))
        return list(found)

    def _on_change_all(self) -> None:
        for change in self._first_changes():
            self.change_wanted.emit(change)

    def _on_link(self, link: QtCore.QUrl) -> None:
        self.change_wanted.emit(self._changes[int(link.toString())])


class OptionsForm(QtWidgets.QWidget):
    """Form of a format's options, whose values are remembered, except for consent, which is asked for each time.

    Parameters
    ----------
    export_format : qatviz.export.formats.Format
    settings : QSettings
        Storage of remembered values.
    """

    changed = QtCore.pyqtSignal()

    def __init__(self, export_format: Any, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._format, self._settings = export_format, settings
        self.widgets: Dict[str, QtWidgets.QWidget] = {}
        rows = QtWidgets.QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for option in export_format.options:
            remembered = None if option.is_consent else settings.value(self._key(option.name))
            if option.choices:
                widget = QtWidgets.QComboBox()
                widget.addItems(option.choices)
                widget.setCurrentText(str(option.default))
                widget.setCurrentText(str(remembered or ""))  # no effect if there is no such item
                widget.setAccessibleName(option.label)
                widget.currentTextChanged.connect(self._on_changed)
                label = Label(option.label)
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
        """Return all options by name."""
        return {
            name: widget.currentText() if isinstance(widget, QtWidgets.QComboBox) else widget.isChecked()
            for name, widget in self.widgets.items()
        }

    def set_value(self, name: str, value: Any) -> None:
        """Set an option to ``value``, as the user would."""
        widget = self.widgets[name]
        if isinstance(widget, QtWidgets.QComboBox):
            widget.setCurrentText(str(value))
        else:
            widget.setChecked(bool(value))

    def forget_consent(self) -> None:
        """Withdraw consent, which is given for a single export."""
        for option in self._format.options:
            if option.is_consent:
                self.widgets[option.name].setChecked(bool(option.default))

    def _key(self, option: str) -> str:
        return f"export/options/{self._format.name}/{option}"

    def _on_changed(self, *_: Any) -> None:
        for name, value in self.values().items():
            if name not in self._format.consents:
                self._settings.setValue(self._key(name), value)
        self.changed.emit()
