"""Buttons of forms."""

from PyQt5 import QtWidgets


def push_button(text: str, tip: str) -> QtWidgets.QPushButton:
    """Return a button with this tooltip that is pressed by Enter only while it has the focus."""
    button = QtWidgets.QPushButton(text, toolTip=tip)
    button.setAutoDefault(False)
    return button
