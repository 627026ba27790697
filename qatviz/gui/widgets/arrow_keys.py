"""Directions of the arrow keys."""

from PyQt5 import QtCore

#: Left is −1, Right is 1; Up is −1, Down is 1.
HORIZONTAL = {QtCore.Qt.Key_Left: -1, QtCore.Qt.Key_Right: 1}
VERTICAL = {QtCore.Qt.Key_Up: -1, QtCore.Qt.Key_Down: 1}
#: Directions (dx, dy) of all arrow keys.
ARROWS = {**{key: (dx, 0) for key, dx in HORIZONTAL.items()}, **{key: (0, dy) for key, dy in VERTICAL.items()}}
