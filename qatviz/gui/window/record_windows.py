"""Windows beside the main one that show recorded runs: the list, comparisons, sweeps."""

from typing import TYPE_CHECKING, Callable, List, Optional

from PyQt5 import QtWidgets

from qatviz.gui.window.base import RunWindow
from qatviz.session.request import OpenRequest

if TYPE_CHECKING:  # imported late, so that the window opens sooner
    from qatviz.gui.dialogs.browser.dialog import RunsDialog
    from qatviz.gui.dialogs.comparison.dialog import ComparisonDialog
    from qatviz.gui.dialogs.sweep.dialog import ForkBothWindow, SweepWindow, VaryWindow


class RecordWindows:
    """The windows with recorded runs of a main window.

    Parameters
    ----------
    window : RunWindow
    open_path : callable
        Shows the run in a directory in the main window.
    """

    def __init__(self, window: RunWindow, open_path: Callable[[str], None]):
        self._window, self._open_path = window, open_path
        self._list: Optional[RunsDialog] = None
        self._comparisons: List[ComparisonDialog] = []
        self._fork_both: Optional[ForkBothWindow] = None
        self._sweep: Optional[VaryWindow] = None

    def show_list(self, sweep: str = "") -> None:
        """Show the list of recorded runs, or bring it to the front; with the folder of a sweep, that of its runs."""
        from qatviz.gui.dialogs.browser.dialog import RunsDialog

        if self._list is None:
            window = self._window
            self._list = RunsDialog(window.context, window.launcher, window)
            self._list.open_wanted.connect(self._open)
            self._list.compare_wanted.connect(self.compare)
        else:
            self._list.refresh()
        if sweep:
            self._list.show_sweep(sweep)
        _to_front(self._list)

    def compare(self, directories: List[str], reference: str = "") -> None:
        """Show a comparison of runs in a new window, with the differences to the run ``reference`` if there is one."""
        from qatviz.gui.dialogs.comparison.dialog import ComparisonDialog

        window = self._window
        dialog = ComparisonDialog(window.context, window.launcher, directories, window, reference)
        self._comparisons.append(dialog)
        dialog.finished.connect(lambda _: self._comparisons.remove(dialog))
        dialog.show()

    def fork_both(self) -> None:
        """Show the window for A/B trials."""
        from qatviz.gui.dialogs.sweep.dialog import ForkBothWindow

        if self._fork_both is None:
            self._fork_both = ForkBothWindow(self._window.context, self._window.launcher, self._window)
            self._connect(self._fork_both)
        self._show(self._fork_both)

    def sweep(self) -> None:
        """Show the window for sweeps."""
        from qatviz.gui.dialogs.sweep.dialog import VaryWindow

        if self._sweep is None:
            self._sweep = VaryWindow(self._window.context, self._window.launcher, self._window)
            self._connect(self._sweep)
        self._show(self._sweep)

    def close(self) -> None:
        """Close all of them, and stop the sweeps, which can be continued."""
        for sweep in (self._fork_both, self._sweep):
            if sweep is not None:
                sweep.leave()
        for dialog in (self._list, *self._comparisons):
            if dialog is not None:
                dialog.close()

    def _connect(self, sweep: "SweepWindow") -> None:
        sweep.compare_wanted.connect(self.compare)
        sweep.list_wanted.connect(self.show_list)

    def _show(self, sweep: "SweepWindow") -> None:
        sweep.show_run(self._window.directory)
        _to_front(sweep)

    def _open(self, directories: List[str]) -> None:
        """Show one run in the main window, several in windows of their own."""
        if len(directories) == 1:
            self._open_path(directories[0])
            return
        for directory in directories:
            self._window.recent.add(directory)
            self._window.launcher.begin(OpenRequest(directory), True)


def _to_front(dialog: QtWidgets.QDialog) -> None:
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
