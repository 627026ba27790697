"""What opening the window costs: nothing is shown for an instant that is not the window."""

from PyQt5 import QtCore, QtWidgets


class ShownWindows(QtCore.QObject):
    """Lists the widgets that are shown as windows."""

    def __init__(self):
        super().__init__()
        self.found = []

    def eventFilter(self, watched, event):
        if event.type() == QtCore.QEvent.Show and isinstance(watched, QtWidgets.QWidget) and watched.isWindow():
            self.found.append((type(watched).__name__, watched.objectName()))
        return False


def test_no_part_of_the_window_is_shown_before_it_has_a_parent(app, open_window):
    """Each would be a window of its own until then, which takes milliseconds."""
    shown = ShownWindows()
    app.installEventFilter(shown)
    try:
        open_window().panels.all()
    finally:
        app.removeEventFilter(shown)
    assert [name for name, _ in shown.found] == ["MainWindow"]
