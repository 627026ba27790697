"""Labels and tooltips that show text as it is.

Qt takes text that looks like HTML for HTML, which may load files. Names, paths and messages come from files of others:
a label therefore shows plain text, or is a `RichLabel`, whose markup is the program's own, with what it quotes escaped.
"""

from html import escape
from typing import Any

from PyQt5 import QtCore, QtWidgets


class Label(QtWidgets.QLabel):
    """Label of plain text."""

    def __init__(self, *arguments: Any, **properties: Any):
        super().__init__(*arguments, **properties)
        self.setTextFormat(QtCore.Qt.PlainText)


class RichLabel(QtWidgets.QLabel):
    """Label of markup; escape all text in it that is not the program's own."""

    def __init__(self, *arguments: Any, **properties: Any):
        super().__init__(*arguments, **properties)
        self.setTextFormat(QtCore.Qt.RichText)


def plain_tip(text: str) -> str:
    """Return the tooltip that shows ``text`` as it is."""
    if not QtCore.Qt.mightBeRichText(text):
        return text
    return "<p style='white-space: pre-wrap'>" + escape(text) + "</p>"
