"""Progress of work in the background, with a button to cancel it."""

from typing import Optional

from PyQt5 import QtWidgets

#: Reason why work that the user has cancelled has no result.
CANCELLED = "cancelled"
#: Smallest width of the bar, characters.
_BAR_CHARACTERS = 16


class WorkRow(QtWidgets.QWidget):
    """Progress bar and “Cancel”, hidden while nothing is in progress."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QtWidgets.QProgressBar(maximum=1000, accessibleName="Progress")
        self.bar.setMinimumWidth(_BAR_CHARACTERS * self.fontMetrics().averageCharWidth())
        self.cancel = QtWidgets.QPushButton("Cancel")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.hide()

    def show_fraction(self, fraction: Optional[float], activity: str = "") -> None:
        """Show the fraction done, 0 to 1, and the present activity; hide the row if ``fraction`` is None."""
        self.setVisible(fraction is not None)
        self.bar.setValue(int((fraction or 0.0) * self.bar.maximum()))
        self.bar.setFormat(f"{activity[:1].upper()}{activity[1:]}… %p %" if activity else "%p %")
