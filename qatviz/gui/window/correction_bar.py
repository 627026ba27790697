"""Progress of a correction in the status bar, with a button to cancel it, and its result as a message."""

from typing import Callable, Optional

from PyQt5 import QtWidgets

from qatviz.gui.model.run_model import RUN, STATE, RunModel
from qatviz.gui.model.watching import CORRECTION
from qatviz.gui.widgets.banner import GOOD, WARNING
from qatviz.gui.widgets.labels import Label
from qatviz.gui.window.actions import tooltip
from qatviz.gui.window.base import RunWindow
from qatviz.network.replaced_relu6 import has_relu6
from qatviz.protocol import events
from qatviz.protocol.commands import CORRECTIONS, EqualizeLayers
from qatviz.protocol.corrections import CORRECTION_KINDS, CorrectionProgress

_TIP = "Training waits until the correction is done."


class CorrectionBar(QtWidgets.QWidget):
    """Progress of the correction of the shown run; hidden without one.

    Parameters
    ----------
    window : RunWindow
    fork_with_relu : callable
        Begins a fork with ReLU in place of ReLU6, as an equalization requires.
    """

    def __init__(self, window: RunWindow, fork_with_relu: Callable[[], None]):
        super().__init__()
        self._window, self._model, self._fork_with_relu = window, window.model, fork_with_relu
        self.text = Label()
        self.text.setToolTip(_TIP)
        self.progress = QtWidgets.QProgressBar(maximum=100, textVisible=False)
        self.progress.setToolTip(_TIP)
        self.progress.setFixedWidth(self.fontMetrics().horizontalAdvance("0" * 12))
        self.progress.setMaximumHeight(self.fontMetrics().height() // 2)
        self.cancel = QtWidgets.QToolButton(text="Cancel", autoRaise=True)
        self.cancel.setToolTip(tooltip("cancel_correction"))
        # Takes the height of the status bar, which it would otherwise increase, even while it is hidden.
        self.cancel.setSizePolicy(QtWidgets.QSizePolicy.Fixed, QtWidgets.QSizePolicy.Ignored)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(8, 0, 0, 0)
        for widget in (self.text, self.progress, self.cancel):
            layout.addWidget(widget)
        self.cancel.clicked.connect(window.named["cancel_correction"].trigger)
        self._model.changed.connect(self._on_changed)
        self._model.happened.connect(self._on_event)
        self._update()

    def _on_changed(self, topic: str) -> None:
        if topic in (CORRECTION, RUN, STATE):
            self._update()

    def _update(self) -> None:
        """Show the progress, and enable or disable the actions of corrections."""
        found = _shown(self._model)
        if found is not None and found.fraction is not None:
            percent = int(100 * found.fraction)
            self.text.setText(f"{CORRECTION_KINDS[found.command].label}: {percent} %")
            self.progress.setValue(percent)
        self.setVisible(found is not None)
        named, reason = self._window.named, self._model.unavailable_text()
        for kind in CORRECTION_KINDS.values():
            named[kind.name].setEnabled(not reason)
            named[kind.name].setToolTip(tooltip(kind.name, reason))
        named["cancel_correction"].setEnabled(found is not None)
        why = reason or ("" if found is not None else "No correction is in progress.")
        named["cancel_correction"].setToolTip(tooltip("cancel_correction", why))

    def _on_event(self, event: events.Event) -> None:
        banner = self._window.banner
        if isinstance(event, events.Corrected):
            rewind = self._window.named["go_back"].trigger
            details = "\n\n".join(event.notes) if len(event.notes) > 1 else ""
            what = event.notes[0] if event.notes else "the network was corrected"
            banner.show_message(f"Step {event.step:,}: {what}.", GOOD, details, "Rewind", rewind)
        elif isinstance(event, events.CommandRejected) and isinstance(event.command, CORRECTIONS):
            text = f"{CORRECTION_KINDS[type(event.command).__name__].label}: {event.message}"
            if isinstance(event.command, EqualizeLayers) and self._has_relu6() and self._window.directory:
                banner.show_message(text, WARNING, "", "Fork with ReLU", self._fork_with_relu)
            else:
                banner.show_message(text, WARNING)

    def _has_relu6(self) -> bool:
        network = self._model.network
        return network is not None and has_relu6(network)


def _shown(model: RunModel) -> Optional[CorrectionProgress]:
    """Return the progress of the correction in progress; None without one, or if the run has ended."""
    return None if model.ended or model.run is None else model.correction
