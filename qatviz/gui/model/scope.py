"""Scope of changes: the tensors that controls, keys and menus change, one choice for all of them."""

from typing import List, Optional

from PyQt5 import QtCore

from qatviz.gui.model.run_model import RUN, SELECTION, RunModel
from qatviz.settings import ACTIVATIONS, KINDS, WEIGHTS

SELECTED, EVERYTHING = "selection", "everything"
SCOPES = {SELECTED: "Selected", WEIGHTS: "All weights", ACTIVATIONS: "All activations", EVERYTHING: "All tensors"}


class Scope(QtCore.QObject):
    """Choice of the tensors of ``model`` that changes apply to.

    Attributes
    ----------
    kind : str
        A key of :data:`SCOPES`.
    """

    #: Emitted when the choice, or the tensors that it stands for, have changed.
    changed = QtCore.pyqtSignal()

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self.kind = SELECTED
        model.changed.connect(self._on_model_changed)

    def choose(self, kind: str) -> None:
        """Choose one of :data:`SCOPES`; an unknown name stands for the selection."""
        kind = kind if kind in SCOPES else SELECTED
        if kind != self.kind:
            self.kind = kind
            self.changed.emit()

    def tensors(self) -> List[str]:
        """Return the tensors in scope and those that share a quantizer with them, in plan order."""
        return self.tensors_of(self.kind)

    def tensors_of(self, kind: str) -> List[str]:
        """Return the tensors that one of :data:`SCOPES` stands for now."""
        tensors = self._model.tensors
        if kind == EVERYTHING:
            return [tensor.name for tensor in tensors]
        if kind in KINDS:
            return [tensor.name for tensor in tensors if tensor.kind == kind]
        groups = {tensor.group for tensor in tensors if tensor.name in self._model.selected}
        return [tensor.name for tensor in tensors if tensor.group in groups]

    def text(self, kind: str) -> str:
        """Return the label of one of :data:`SCOPES`, with the number of tensors that were selected for it."""
        count = len(self._model.selected if kind == SELECTED else self.tensors_of(kind))
        return f"{SCOPES[kind]} ({count})"

    def _on_model_changed(self, topic: str) -> None:
        if topic in (RUN, SELECTION):
            self.changed.emit()
