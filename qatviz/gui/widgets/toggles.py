"""Buttons that choose what a panel shows."""

from typing import Dict, Iterable, Tuple

from PyQt5 import QtCore, QtWidgets


def toggles(group: QtWidgets.QButtonGroup, choices: Iterable[Tuple[str, str, str]]) -> Dict[str, QtWidgets.QToolButton]:
    """Return buttons for choices, by their names, and add them to a group, in which one at a time is checked.

    Parameters
    ----------
    group : QButtonGroup
    choices : iterable of (str, str, str)
        Name, text and tooltip of each choice.
    """
    buttons = {}
    for name, text, tip in choices:
        button = QtWidgets.QToolButton(text=text, toolTip=tip, checkable=True, autoRaise=True)
        button.setFocusPolicy(QtCore.Qt.TabFocus)
        group.addButton(button)
        buttons[name] = button
    return buttons
