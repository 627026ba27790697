"""Table with the task, the loss, its weights and the metric of each of several outputs of a network."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.dialogs.fields import Choice, WordBox, choice_box, function_box
from qatviz.heads import CLASS_WEIGHTS, LOSS, LOSS_WEIGHT, METRIC, TASK
from qatviz.losses import AUTOMATIC, LOSSES
from qatviz.metric import METRICS
from qatviz.own_functions import is_function
from qatviz.start_settings import START_SETTINGS
from qatviz.task import TASK_HELP, TASK_TEXTS

#: Text of the choice that leaves a property to data and task.
_AUTO = "Auto"
#: Largest weight of a loss that can be typed, and number of its decimals.
_HIGHEST, _DECIMALS = 1e6, 6
#: Number of rows that are shown without scrolling; width of the longest name, characters.
_ROWS, _NAME_LENGTH = 6, 16
#: Columns of editors for numbers and short texts; space on both sides of their headings, px.
_NARROW, _MARGIN = (LOSS_WEIGHT, CLASS_WEIGHTS), 8


class _Column(NamedTuple):
    """Column of the table: the choice of :data:`qatviz.heads.CHOICES`, its heading and its explanation."""

    choice: str
    heading: str
    help: str


_COLUMNS = (
    _Column(TASK, "Task", f"The task that the output learns. Auto: {TASK_HELP}"),
    _Column(LOSS, "Loss", START_SETTINGS["loss"].help),
    _Column(LOSS_WEIGHT, "Weight", "Factor of the output's loss in the sum that training minimizes."),
    _Column(CLASS_WEIGHTS, "Class weights", START_SETTINGS["class_weights"].help),
    _Column(METRIC, "Metric", START_SETTINGS["metric"].help),
)
#: Values of the choices by default.
_DEFAULTS: Dict[str, Any] = {TASK: "", LOSS: AUTOMATIC, LOSS_WEIGHT: 1.0, CLASS_WEIGHTS: "", METRIC: AUTOMATIC}


class OutputsTable(QtWidgets.QTableWidget):
    """Table with a row for each output of a network."""

    #: Emitted when a choice has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted when the task of an output has changed.
    task_changed = QtCore.pyqtSignal()

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(0, len(_COLUMNS), parent)
        self.outputs: Tuple[str, ...] = ()
        self.editors: Dict[Tuple[str, str], QtWidgets.QWidget] = {}
        self.setAccessibleName("Outputs of the network")
        self.setSelectionMode(QtWidgets.QTableWidget.NoSelection)
        self.setFocusPolicy(QtCore.Qt.NoFocus)  # its editors have the focus
        self.setHorizontalScrollMode(QtWidgets.QTableWidget.ScrollPerPixel)
        self.setHorizontalHeaderLabels([column.heading for column in _COLUMNS])
        for index, column in enumerate(_COLUMNS):
            self.horizontalHeaderItem(index).setToolTip(column.help)
        self.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.Stretch)
        for index, column in enumerate(_COLUMNS):
            if column.choice in _NARROW:  # as wide as the heading; the lists share the rest
                self.horizontalHeader().setSectionResizeMode(index, QtWidgets.QHeaderView.Fixed)
                width = self.fontMetrics().horizontalAdvance(column.heading) + 2 * _MARGIN
                self.horizontalHeader().resizeSection(index, width)
        self.horizontalHeader().setSectionsClickable(False)
        self.verticalHeader().setSectionsClickable(False)

    def set_outputs(self, outputs: Sequence[str]) -> None:
        """Show these outputs, with the choices made for them before."""
        if tuple(outputs) == self.outputs:
            return
        kept = {output: chosen for output, chosen in self.choices.items() if output in outputs}
        self.outputs, self.editors = tuple(outputs), {}
        self.setRowCount(0)
        self.setRowCount(len(self.outputs))
        metrics = self.fontMetrics()
        for row, output in enumerate(self.outputs):
            shown = metrics.elidedText(output, QtCore.Qt.ElideMiddle, _NAME_LENGTH * metrics.averageCharWidth())
            item = QtWidgets.QTableWidgetItem(shown)
            item.setToolTip(output)
            self.setVerticalHeaderItem(row, item)
            for index, column in enumerate(_COLUMNS):
                editor = self._editor(column.choice)
                editor.setToolTip(column.help)
                editor.setAccessibleName(f"{column.heading} of {output}")
                self.editors[output, column.choice] = editor
                self.setCellWidget(row, index, editor)
                if column.choice in kept.get(output, {}):
                    _set(editor, kept[output][column.choice])
        self.resizeRowsToContents()
        self.updateGeometry()

    @property
    def choices(self) -> Dict[str, Dict[str, Any]]:
        """Choices by output that are not defaults, in the form of the ``heads`` of a request."""
        found: Dict[str, Dict[str, Any]] = {}
        for (output, choice), editor in self.editors.items():
            value = _value(editor)
            if value != _DEFAULTS[choice]:
                found.setdefault(output, {})[choice] = value
        return found

    def sizeHint(self) -> QtCore.QSize:
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        rows = min(self.rowCount(), _ROWS)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        return QtCore.QSize(200, height + sum(self.rowHeight(row) for row in range(rows)))

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        event.ignore()  # it scrolls the form

    def _editor(self, choice: str) -> QtWidgets.QWidget:
        if choice == LOSS_WEIGHT:
            weight = _WeightBox()
            weight.valueChanged.connect(lambda _: self.changed.emit())
            return weight
        if choice == CLASS_WEIGHTS:
            text = QtWidgets.QLineEdit()
            text.setPlaceholderText("None")
            text.textChanged.connect(lambda _: self.changed.emit())
            return text
        make = choice_box if choice == TASK else function_box
        box = make(Choice(_DEFAULTS[choice], _AUTO), *_items(choice))
        box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(4)
        box.view().setMinimumWidth(box.view().sizeHintForColumn(0) + 24)
        box.currentTextChanged.connect(lambda text: self._on_text(box, choice, text))
        if choice == TASK:
            box.currentIndexChanged.connect(lambda _: self.task_changed.emit())
        return box

    def _on_text(self, box: QtWidgets.QComboBox, choice: str, text: str) -> None:
        """Show a function whole in the tooltip, as the box is too narrow for its path."""
        about = next(column.help for column in _COLUMNS if column.choice == choice)
        box.setToolTip(f"{text}\n\n{about}" if is_function(text) else about)
        self.changed.emit()


class _WeightBox(QtWidgets.QDoubleSpinBox):
    """Box for the weight of a loss; without separators and trailing zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QtCore.QLocale(QtCore.QLocale.C))
        self.setRange(0.0, _HIGHEST)
        self.setDecimals(_DECIMALS)
        self.setSingleStep(0.1)
        self.setValue(_DEFAULTS[LOSS_WEIGHT])
        self.setKeyboardTracking(False)

    def textFromValue(self, value: float) -> str:
        return f"{value:.{_DECIMALS}g}"

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        event.ignore()


def _items(choice: str) -> List[Choice]:
    """Return the items of a drop-down list, without the default."""
    if choice == TASK:
        return [Choice(name, *texts) for name, texts in TASK_TEXTS.items()]
    if choice == LOSS:
        return [Choice(name, loss.title, loss.help) for name, loss in LOSSES.items()]
    return [Choice(name, metric.capitalized_title, metric.about) for name, metric in METRICS.items()]


def _value(editor: QtWidgets.QWidget) -> Any:
    if isinstance(editor, WordBox):
        return editor.word
    if isinstance(editor, QtWidgets.QComboBox):
        return editor.currentData()
    if isinstance(editor, QtWidgets.QDoubleSpinBox):
        return editor.value()
    assert isinstance(editor, QtWidgets.QLineEdit)
    return editor.text().strip()


def _set(editor: QtWidgets.QWidget, value: Any) -> None:
    if isinstance(editor, WordBox):
        editor.choose(value)
    elif isinstance(editor, QtWidgets.QComboBox):
        editor.setCurrentIndex(editor.findData(value))
    elif isinstance(editor, QtWidgets.QDoubleSpinBox):
        editor.setValue(value)
    elif isinstance(editor, QtWidgets.QLineEdit):
        editor.setText(value)
