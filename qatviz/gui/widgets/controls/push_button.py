"""Buttons of forms."""

from PyQt5 import QtWidgets


def push_button(text: str, tip: str) -> QtWidgets.QPushButton:
    """Return a button that Enter in another widget does not press."""
    button = QtWidgets.QPushButton(text, toolTip=tip)
    button.setAutoDefault(False)
    return button
