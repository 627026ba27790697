"""The other machine of a window's runs, and the other windows that show a run there: title, actions, requests."""
# Apart from the main window, which is large; on this machine, nothing here has an effect.

from qatviz.gui.panels import declarations
from qatviz.gui.widgets.banner import NOTE
from qatviz.gui.window.base import RunWindow
from qatviz.telemetry.run_handle import Connection


class Place:
    """The machine of a window's runs.

    Parameters
    ----------
    window : RunWindow
    """

    def __init__(self, window: RunWindow):
        self._window = window
        self._asks = self._request = ""  # name of the window that asks to steer, and the message that says so
        window.launcher.connected.connect(self._on_connected)

    def update(self) -> None:
        """Show title, actions and requests for the present connection of the run."""
        window, place = self._window, self._window.launcher.place
        connection = window.model.connection
        window.setWindowTitle(" – ".join(filter(None, [window.model.title, place, "qatviz"])))
        window.named["steer"].setEnabled(
            bool(connection.steers) and not connection.has_asked and not connection.problem
        )
        if connection.asks != self._asks:
            self._show_request(connection)

    def show_histograms(self) -> None:
        """Tell a run on another machine whose histograms are in view: of selected tensors, and of visible tiles."""
        window, model = self._window, self._window.model
        if model.run is None:
            return
        tensors = {model.current, *model.selected} - {""}
        for panel in window.panels.among(declarations.HISTOGRAMS.name):
            tensors.update(panel.tensors_in_view())
        model.run.show_histograms(tensors if window.isVisible() and not window.isMinimized() else None)

    def _show_request(self, connection: Connection) -> None:
        """Show the request of another window to steer the run; hide it once it is withdrawn or answered."""
        self._asks, run, banner = connection.asks, self._window.model.run, self._window.banner
        if run is None or not connection.asks:
            if banner.text.text() == self._request:  # not a later message
                banner.dismiss()
            return
        answer = run.answer
        self._request = f"{connection.asks} asks to steer this run. This window then only shows it."
        banner.show_message(self._request, NOTE, "", "Hand over", lambda: answer(True))

    def _on_connected(self) -> None:
        place = self._window.launcher.place
        text = f"Connected to {place}, where no run is in progress: start one with “New run…”, or open one."
        self._window.banner.show_message(text, NOTE)
