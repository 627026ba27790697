"""Tool bar of the run, with as many texts beside the icons as there is room for."""

from typing import Any, Dict, List, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

_WITH_TEXT, _ICON_ONLY = QtCore.Qt.ToolButtonTextBesideIcon, QtCore.Qt.ToolButtonIconOnly
_ICON_PX = 14
#: Width of the bar beyond its buttons and separators that its style may need, px.
_SPARE_PX = 8


class RunToolBar(QtWidgets.QToolBar):
    """Tool bar that leaves out texts, instead of hiding buttons, where it is narrow.

    Parameters
    ----------
    rows : sequence of QAction or None
        The actions, None for a separator.
    first : sequence of QAction
        Actions whose texts are left out first, in this order; then those of the others, from the end.
    """

    def __init__(self, rows: Sequence[Any], first: Sequence[QtWidgets.QAction]):
        super().__init__("Run")
        self._order: List[QtWidgets.QAction] = []
        self.setObjectName("toolbar")
        self.setMovable(False)
        self.setToolButtonStyle(_WITH_TEXT)
        self.setIconSize(QtCore.QSize(_ICON_PX, _ICON_PX))
        self._known: Any = None
        self._widths: Dict[QtWidgets.QAction, Tuple[int, int]] = {}
        self._rest = 0
        for action in rows:
            if action is None:
                self.addSeparator()
            else:
                self.addAction(action)
        others = [action for action in rows if action is not None and action not in first]
        self._order = [*first, *reversed(others)]

    def _button(self, action: QtWidgets.QAction) -> QtWidgets.QToolButton:
        button = self.widgetForAction(action)
        assert isinstance(button, QtWidgets.QToolButton), "each action has a button"
        return button

    def _measure(self) -> None:
        """Measure the buttons anew if their texts or the font have changed."""
        state = [self.font().key(), *(action.iconText() for action in self._order)]
        if state == self._known:
            return
        self._known, self._widths = state, {}
        for action in self._order:
            button, sizes = self._button(action), []
            for style in (_ICON_ONLY, _WITH_TEXT):
                button.setToolButtonStyle(style)
                sizes.append(button.sizeHint().width())
            self._widths[action] = sizes[0], sizes[1]
        self._rest = self.sizeHint().width() - sum(full for _, full in self._widths.values()) + _SPARE_PX

    def _fit(self) -> None:
        self._measure()
        excess = self._rest + sum(full for _, full in self._widths.values()) - self.width()
        for action in self._order:
            icon, full = self._widths[action]
            style = _ICON_ONLY if excess > 0 else _WITH_TEXT
            if excess > 0:
                excess -= full - icon
            if self._button(action).toolButtonStyle() != style:
                self._button(action).setToolButtonStyle(style)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QtCore.QEvent) -> bool:
        handled = super().event(event)
        if event.type() == QtCore.QEvent.LayoutRequest and self._order:  # another text or font
            self._fit()
        return handled
