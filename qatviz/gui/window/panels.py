"""Panels of a window, each of which is made when it comes into view."""

from typing import Callable, Dict, List, Tuple, Type

from PyQt5 import QtCore

from qatviz.gui.model.context import Context
from qatviz.gui.panels import declarations
from qatviz.gui.panels.evolution.panel import EvolutionPanel
from qatviz.gui.panels.histograms.panel import HistogramsPanel
from qatviz.gui.panels.settings.quantization import QuantizationPanel
from qatviz.gui.panels.tensor.panel import TensorPanel
from qatviz.gui.widgets.panel import Panel

# Panels that are not in front at first are imported when they are made, so that a window appears sooner.


def _run_settings() -> Type[Panel]:
    from qatviz.gui.panels.settings.run import RunSettingsPanel

    return RunSettingsPanel


def _network() -> Type[Panel]:
    from qatviz.gui.panels.network.panel import NetworkPanel

    return NetworkPanel


def _layers() -> Type[Panel]:
    from qatviz.gui.panels.layers.panel import LayersPanel

    return LayersPanel


def _events() -> Type[Panel]:
    from qatviz.gui.panels.events.panel import EventsPanel

    return EventsPanel


def _moments() -> Type[Panel]:
    from qatviz.gui.panels.moments.panel import MomentsPanel

    return MomentsPanel


def _sensitivity() -> Type[Panel]:
    from qatviz.gui.panels.sensitivity.panel import SensitivityPanel

    return SensitivityPanel


def _budget() -> Type[Panel]:
    from qatviz.gui.panels.budget.panel import BudgetPanel

    return BudgetPanel


def _chip() -> Type[Panel]:
    from qatviz.gui.panels.chip.panel import ChipPanel

    return ChipPanel


def _drift() -> Type[Panel]:
    from qatviz.gui.panels.drift.panel import DriftPanel

    return DriftPanel


def _channels() -> Type[Panel]:
    from qatviz.gui.panels.channels.panel import ChannelsPanel

    return ChannelsPanel


def _predictions() -> Type[Panel]:
    from qatviz.gui.panels.predictions.panel import PredictionsPanel

    return PredictionsPanel


#: Class of each panel by name.
_CLASSES: Dict[str, Callable[[], Type[Panel]]] = {
    declarations.QUANTIZATION.name: lambda: QuantizationPanel,
    declarations.RUN_SETTINGS.name: _run_settings,
    declarations.HISTOGRAMS.name: lambda: HistogramsPanel,
    declarations.NETWORK.name: _network,
    declarations.TENSOR.name: lambda: TensorPanel,
    declarations.EVOLUTION.name: lambda: EvolutionPanel,
    declarations.LAYERS.name: _layers,
    declarations.EVENTS.name: _events,
    declarations.MOMENTS.name: _moments,
    declarations.SENSITIVITY.name: _sensitivity,
    declarations.BUDGET.name: _budget,
    declarations.CHIP.name: _chip,
    declarations.DRIFT.name: _drift,
    declarations.CHANNELS.name: _channels,
    declarations.PREDICTIONS.name: _predictions,
}


class Panels(QtCore.QObject):
    """Panels of a window by name; ``panels[name]`` makes the panel if it is not made yet.

    Parameters
    ----------
    context : Context
        Of all panels.

    Attributes
    ----------
    made : dict of str to Panel
        The panels made so far, by name.
    """

    #: Emitted with a panel that was made.
    was_made = QtCore.pyqtSignal(object)

    def __init__(self, context: Context, parent: QtCore.QObject):
        super().__init__(parent)
        self._context = context
        self.made: Dict[str, Panel] = {}

    def __getitem__(self, name: str) -> Panel:
        if name not in self.made:
            self.made[name] = _CLASSES[name]()(self._context)
            self.was_made.emit(self.made[name])
        return self.made[name]

    def all(self) -> Tuple[Panel, ...]:
        """Return all panels, in the order of their declarations; those that are not made yet are made."""
        return tuple(self[declaration.name] for declaration in declarations.PANELS)

    def for_each(self, handler: Callable[[Panel], None]) -> None:
        """Call ``handler`` with each panel: now if it is made, otherwise once it is."""
        for panel in self.made.values():
            handler(panel)
        self.was_made.connect(handler)

    def among(self, *names: str) -> List[Panel]:
        """Return those of the named panels that are made."""
        return [self.made[name] for name in names if name in self.made]
