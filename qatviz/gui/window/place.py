"""What a window shows of the machine of its runs, if that is another one, and of the windows beside it."""
# Apart from the main window, which is large; without it, nothing here has an effect.

from qatviz.gui.widgets.banner import NOTE
from qatviz.gui.window import actions as a
from qatviz.gui.window.base import RunWindow
from qatviz.telemetry.run_handle import Connection

#: Reason why several runs can't be trained at once from a window on another machine.
_ONLY_HERE = "Several runs at once are begun on {0} itself: qatviz ab, qatviz sweep. “Browse runs…” shows them."


class Place:
    """The machine of a window's runs.

    Parameters
    ----------
    window : RunWindow
    """

    def __init__(self, window: RunWindow):
        self._window, self._asks = window, ""  # name of the window whose request to steer is shown
        window.launcher.connected.connect(self._on_connected)

    def update(self) -> None:
        """Show title, actions and requests for the present connection of the run."""
        window, place = self._window, self._window.launcher.place
        connection = window.model.connection
        window.setWindowTitle(" – ".join(filter(None, [window.model.title, place, "qatviz"])))
        window.named["steer"].setEnabled(
            bool(connection.steers) and not connection.has_asked and not connection.problem
        )
        for name in ("fork_both", "sweep"):
            window.named[name].setEnabled(bool(window.directory) and not place)
            window.named[name].setToolTip(a.tooltip(name, _ONLY_HERE.format(place) if place else ""))
        if connection.asks != self._asks:
            self._show_request(connection)

    def show_histograms(self) -> None:
        """Request histograms of a run on another machine only while the window is in view."""
        if self._window.model.run is not None:
            self._window.model.run.show_histograms(self._window.isVisible() and not self._window.isMinimized())

    def _show_request(self, connection: Connection) -> None:
        """Show that another window asks to steer the run, or no longer."""
        self._asks, run, banner = connection.asks, self._window.model.run, self._window.banner
        if run is None or not connection.asks:
            banner.dismiss()
            return
        answer = run.answer
        text = f"{connection.asks} asks to steer this run. This window then only shows it."
        banner.show_message(text, NOTE, "", "Hand over", lambda: answer(True))

    def _on_connected(self) -> None:
        place = self._window.launcher.place
        text = f"Connected to {place}, where no run is in progress: start one with “New run…”, or open one."
        self._window.banner.show_message(text, NOTE)
