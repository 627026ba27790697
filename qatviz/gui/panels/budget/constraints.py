"""Constraints on the bits of single tensors, and the menu that sets them for the selected ones."""

from typing import Dict, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.budget import WidthRules
from qatviz.number_format import count, names_text

FIXED, LOWEST, HIGHEST = "fixed", "lowest", "highest"
_TEXTS = {FIXED: "fixed at {}", LOWEST: "at least {}", HIGHEST: "at most {}"}


class Constraints:
    """Constraints by tensor, and tensors with one number of bits."""

    def __init__(self) -> None:
        self._bounds: Dict[str, Dict[str, int]] = {}
        self._together: List[Tuple[str, ...]] = []

    def set(self, kind: str, widths: Dict[str, int]) -> None:
        """Set the fixed, lowest or highest bits of tensors; fixed bits replace the other constraints."""
        for name, width in widths.items():
            known = {} if kind == FIXED else {k: w for k, w in self._bounds.get(name, {}).items() if k != FIXED}
            self._bounds[name] = {**known, kind: width}

    def join(self, tensors: Sequence[str]) -> None:
        """Require one number of bits of these tensors."""
        if len(tensors) > 1:
            self._together.append(tuple(tensors))

    def remove(self, tensors: Optional[Sequence[str]] = None) -> None:
        """Remove the constraints of these tensors, or all."""
        self._bounds = {n: b for n, b in self._bounds.items() if tensors is not None and n not in tensors}
        self._together = [g for g in self._together if tensors is not None and not set(g) & set(tensors)]

    def rules(self, widths: Tuple[int, ...]) -> WidthRules:
        """Return the constraints, with the numbers of bits to choose from."""

        def of(kind: str) -> Tuple[Tuple[str, int], ...]:
            return tuple((name, bounds[kind]) for name, bounds in self._bounds.items() if kind in bounds)

        return WidthRules(widths, of(FIXED), of(LOWEST), of(HIGHEST), tuple(self._together))

    @property
    def lines(self) -> List[str]:
        """Sentences on all constraints."""
        found = [
            f"{name}: " + ", ".join(_TEXTS[kind].format(f"{width} bits") for kind, width in bounds.items())
            for name, bounds in self._bounds.items()
        ]
        return found + [f"equal bits: {names_text(group)}" for group in self._together]


class ConstraintsButton(QtWidgets.QToolButton):
    """Menu of constraints for the selected tensors; its text counts them, its tooltip lists them."""

    #: Emitted after a change.
    changed = QtCore.pyqtSignal()

    def __init__(self, widths: Sequence[int], parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.constraints = Constraints()
        self._present: Dict[str, int] = {}
        self.setPopupMode(QtWidgets.QToolButton.InstantPopup)
        menu = QtWidgets.QMenu(self)
        self._of_selected = [menu.addAction("Keep the present bits", lambda: self._set(FIXED, None))]
        for kind, text in ((LOWEST, "At least"), (HIGHEST, "At most")):
            submenu = menu.addMenu(text)
            self._of_selected.append(submenu.menuAction())
            for width in widths:
                submenu.addAction(f"{width} bits", lambda kind=kind, width=width: self._set(kind, width))
        self._join = menu.addAction("Equal bits", self._on_join)
        menu.addSeparator()
        self._of_selected.append(menu.addAction("Remove those of the selected", lambda: self._on_remove(False)))
        menu.addAction("Remove all", lambda: self._on_remove(True))
        self.setMenu(menu)
        self.show_selected({})

    def show_selected(self, present: Dict[str, int]) -> None:
        """Set the selected tensors whose bits are chosen, with their present bits."""
        self._present = present
        for action in self._of_selected:
            action.setEnabled(bool(present))
        self._join.setEnabled(len(present) > 1)
        lines = self.constraints.lines
        self.setText(f"Constraints ({len(lines)})" if lines else "Constraints")
        where = names_text(list(present)) or "none: select weights first"
        self.setToolTip("\n".join(["Constraints on the bits of tensors.", f"Selected: {where}", *lines]))
        self.setAccessibleDescription(count(len(lines), "constraint"))

    def reset(self) -> None:
        """Remove all constraints, without a signal: there is another run."""
        self.constraints.remove()
        self.show_selected({})

    def _set(self, kind: str, width: Optional[int]) -> None:
        self.constraints.set(kind, {n: present if width is None else width for n, present in self._present.items()})
        self._finish()

    def _on_join(self) -> None:
        self.constraints.join(list(self._present))
        self._finish()

    def _on_remove(self, everything: bool) -> None:
        self.constraints.remove(None if everything else list(self._present))
        self._finish()

    def _finish(self) -> None:
        self.show_selected(self._present)
        self.changed.emit()
