"""The layers of a network in a table, before there is a run of it."""

from typing import Optional, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import NetworkError
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan

_COLUMNS = ("Layer", "Kind", "Output", "Parameters", "MACs")
_NUMBERS = (3, 4)
_RIGHT = int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)


class NetworkPreview(QtWidgets.QWidget):
    """What a network of the zoo looks like for examples of a shape."""

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._shown = ()  # type: tuple
        self.about = QtWidgets.QLabel(wordWrap=True)
        self.table = QtWidgets.QTreeWidget(rootIsDecorated=False, uniformRowHeights=True)
        self.table.setAccessibleName("Layers of the network")
        self.table.setHeaderLabels(_COLUMNS)
        for column in _NUMBERS:
            self.table.headerItem().setTextAlignment(column, _RIGHT)
        self.table.setSelectionMode(QtWidgets.QTreeWidget.NoSelection)
        self.total = QtWidgets.QLabel(wordWrap=True)
        self.total.setToolTip("MACs: multiply-accumulates for one example")
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.about)
        rows.addWidget(self.table, 1)
        rows.addWidget(self.total)

    def show_network(self, name: str, input_shape: Tuple[int, ...], num_classes: int, is_known: bool) -> str:
        """Show it; what is wrong where it can't take such examples, else an empty text.

        Parameters
        ----------
        is_known : bool
            Whether shape and classes are those of the data, or only an example.
        """
        wanted = (name, tuple(input_shape), num_classes, is_known)
        if wanted == self._shown:
            return ""
        self.table.clear()
        self.total.clear()
        self._shown = ()
        if name not in zoo.NETWORKS:
            self.about.clear()
            return ""  # the field itself says so
        self.about.setText(zoo.NETWORKS[name].description)
        try:
            network = zoo.build(name, input_shape, num_classes)
        except NetworkError as error:
            return str(error)
        self._shown = wanted
        self._fill(network, is_known)
        return ""

    def _fill(self, network, is_known: bool) -> None:
        summary = network.summary()
        for row in summary:
            item = QtWidgets.QTreeWidgetItem([
                row.name, row.kind, _shape(row.output_shape), _count(row.parameters), _count(row.macs)])
            for column in _NUMBERS:
                item.setTextAlignment(column, _RIGHT)
            item.setToolTip(0, "{} reads {}".format(row.name, ", ".join(row.inputs)))
            self.table.addTopLevelItem(item)
        for column in range(len(_COLUMNS)):
            self.table.resizeColumnToContents(column)
        text = "{:,} parameters, {:,} MACs, {} quantized tensors".format(
            network.parameter_count, network.macs, len(quantization_plan(network).tensors))
        examples = "for {} and {:,} classes".format(_shape(network.input_shape), network.num_outputs)
        self.total.setText("{}\n{}{}".format(text, examples, "" if is_known else ", until the data is known"))


def _shape(shape: Tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _count(number: int) -> str:
    return "{:,}".format(number) if number else ""
