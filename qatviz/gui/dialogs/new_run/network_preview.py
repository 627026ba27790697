"""Preview of a network's layers in the New run dialog."""

from typing import Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.labels import Label
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.network.sequences import sequence_layers, shown_kind, shown_shape
from qatviz.number_format import count, shape_text
from qatviz.presentation.previews import inputs_text

_COLUMNS = ("Layer", "Kind", "Output", "Parameters", "MACs")
_NUMBERS = (3, 4)
_RIGHT = int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)


class NetworkPreview(QtWidgets.QWidget):
    """Table of a network's layers and their sizes, with notes on its import."""

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._network: Optional[Network] = None
        self._shown: Optional[Tuple[str, Tuple[str, ...], bool]] = None
        self.about = Label(wordWrap=True)
        self.table = QtWidgets.QTreeWidget(rootIsDecorated=False, uniformRowHeights=True)
        self.table.setAccessibleName("Layers of the network")
        self.table.setHeaderLabels(_COLUMNS)
        for column in _NUMBERS:
            self.table.headerItem().setTextAlignment(column, _RIGHT)
        for column, text in enumerate(
            (
                "The layer's name",
                "The operation",
                "Shape of its output for one example",
                "Number of parameters",
                "Multiply-accumulate operations for one example",
            )
        ):
            self.table.headerItem().setToolTip(column, text)
        self.table.header().setStretchLastSection(False)
        self.table.header().setSectionResizeMode(0, QtWidgets.QHeaderView.Stretch)
        self.table.setSelectionMode(QtWidgets.QTreeWidget.NoSelection)
        self.table.setVerticalScrollMode(QtWidgets.QTreeWidget.ScrollPerPixel)
        self.total = Label(wordWrap=True)
        self.total.setToolTip("MACs: multiply-accumulate operations for one example")
        self.notes = Label(wordWrap=True)
        self.notes.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.about)
        rows.addWidget(self.table, 1)
        rows.addWidget(self.total)
        rows.addWidget(self.notes)

    def show_network(
        self, network: Optional[Network], about: str, notes: Sequence[str] = (), is_known: bool = True
    ) -> None:
        """Show a network.

        Parameters
        ----------
        network : Network or None
            None if there is none to show; ``about`` is then the reason.
        about : str
            Description.
        notes : sequence of str
            Notes on changes by an import.
        is_known : bool
            Whether input shape and outputs are those of the data or the model; False: typical ones, until the data is
            read.
        """
        wanted = (about, tuple(notes), is_known)
        if network is self._network and wanted == self._shown:
            return
        self.about.setText(about)
        self.notes.setText("\n".join("note: " + note for note in notes))
        self.notes.setVisible(bool(notes))
        if network is not self._network:
            self.table.clear()
            if network is not None:
                self._fill(network)
        self.total.setText(_total(network, is_known) if network is not None else "")
        self._network, self._shown = network, wanted

    def _fill(self, network: Network) -> None:
        items = []
        sequences = sequence_layers(network)
        for row in network.summary():
            is_sequence = row.name in sequences
            kind, shape = shown_kind(row.kind, is_sequence), shown_shape(row.output_shape, is_sequence)
            item = QtWidgets.QTreeWidgetItem(
                [row.name, kind, shape_text(shape), _count(row.parameters), _count(row.macs)]
            )
            for column in _NUMBERS:
                item.setTextAlignment(column, _RIGHT)
            owner = network.layer(row.name).owner
            weights = f", with the weights of {owner}" if owner != row.name else ""
            item.setToolTip(0, f"{row.name} reads {', '.join(row.inputs)}{weights}")
            items.append(item)
        self.table.addTopLevelItems(items)
        for column in range(1, len(_COLUMNS)):
            self.table.resizeColumnToContents(column)


def _total(network: Network, is_known: bool) -> str:
    rows = network.summary()
    text = (
        f"{len(rows):,} layers, {sum(row.parameters for row in rows):,} parameters, "
        f"{sum(row.macs for row in rows):,} MACs, {len(quantization_plan(network).tensors)} quantized tensors"
    )
    shapes = inputs_text(network.inputs, network.input_shape)
    examples = f"for examples of {shapes} and {_outputs_text(network)}"
    return f"{text}\n{examples}{'' if is_known else ', until the data is read'}"


def _outputs_text(network: Network) -> str:
    """Return the outputs as text: ``10 outputs``, ``outputs of 32×32×3``, ``the outputs kind 3 + box 4``."""
    names, shapes = network.output_names, network.output_shapes
    if len(shapes) > 1:
        return "the outputs " + " + ".join(f"{name} {shape_text(shape)}" for name, shape in zip(names, shapes))
    return count(shapes[0][0], "output") if len(shapes[0]) == 1 else f"outputs of {shape_text(shapes[0])}"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
