"""Labels and tooltips that show text as it is.

Qt renders text that looks like HTML as HTML, which may load files. Names, paths and messages come from files of others:
a label therefore shows plain text, or is a `RichLabel`, whose markup is the program's own, with what it quotes escaped.
"""

import re
from html import escape
from typing import Any

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.theme import Theme

#: Space between a number and its unit, or a sign of approximation and its number, at which no line ends.
_UNBROKEN = re.compile(r"(?<=\d) (?=(?:%|dB|B|kB|MB|GB|bits?|ms|s|min|h|px|cm)(?![A-Za-z]))|(?<=[≈±]) (?=\d)")


def unbroken(text: str) -> str:
    """Return ``text`` with no-break spaces (U+00A0) between numbers and their units: ``4.00 %`` stays on one line."""
    return _UNBROKEN.sub("\u00a0", text)


class _UnbrokenLabel(QtWidgets.QLabel):
    """Label in which no line ends between a number and its unit; :meth:`text` returns the text as it was set."""

    def __init__(self, *arguments: Any, **properties: Any):
        super().__init__(*arguments, **properties)
        self.setText(super().text())

    def setText(self, text: str) -> None:
        self._given = text
        super().setText(unbroken(text))

    def text(self) -> str:
        return self._given


class Label(_UnbrokenLabel):
    """Label of plain text."""

    def __init__(self, *arguments: Any, **properties: Any):
        super().__init__(*arguments, **properties)
        self.setTextFormat(QtCore.Qt.PlainText)


class RichLabel(_UnbrokenLabel):
    """Label of markup; escape all text in it that is not the program's own."""

    def __init__(self, *arguments: Any, **properties: Any):
        super().__init__(*arguments, **properties)
        self.setTextFormat(QtCore.Qt.RichText)


def note_style(theme: Theme) -> str:
    """Return the style sheet of a note that lies over a plot."""
    colors = theme.colors
    return f"color: {colors.text}; background: {colors.raised}; border: 1px solid {colors.line}; padding: 1px 4px;"


def plain_tip(text: str) -> str:
    """Return the tooltip that shows ``text`` as it is."""
    if not QtCore.Qt.mightBeRichText(text):
        return text
    return "<p style='white-space: pre-wrap'>" + escape(text) + "</p>"
