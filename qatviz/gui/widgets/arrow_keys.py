"""Arrow keys, and the directions in which they move."""

from PyQt5 import QtCore

#: Directions of Left and Right: −1 to the left; and of Up and Down: −1 up.
HORIZONTAL = {QtCore.Qt.Key_Left: -1, QtCore.Qt.Key_Right: 1}
VERTICAL = {QtCore.Qt.Key_Up: -1, QtCore.Qt.Key_Down: 1}
#: Directions (dx, dy) of all arrow keys.
ARROWS = {**{key: (dx, 0) for key, dx in HORIZONTAL.items()}, **{key: (0, dy) for key, dy in VERTICAL.items()}}
