"""Preview of a data set: examples, and the number of examples of each class."""

from typing import Dict, List, Optional

import numpy as np
from PyQt5 import QtCore, QtWidgets

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.gui.dialogs.new_run.augmented_row import AugmentedRow
from qatviz.gui.dialogs.new_run.sample_grid import SampleGrid
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import Label, RichLabel
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.class_counts import TEST, TRAIN, class_count_shapes
from qatviz.presentation.previews import ROWS, DataInfo
from qatviz.presentation.scene import Shape
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

_GAP = 6
#: Phrase for what is counted, by task.
_COUNTED = {
    CLASSIFICATION: "examples by class",
    MULTILABEL: "examples by label",
    SEGMENTATION: "pixels by class",
    REGRESSION: "examples by target",
}


class ClassCounts(SceneWidget):
    """Bars for the number of examples of each class."""

    figure_name = "classes"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self._info: Optional[DataInfo] = None
        self.setAccessibleName("Number of examples of each class")
        self.setMinimumSize(170, 130)
        self.menu = FigureMenu(self)

    def show_info(self, info: DataInfo) -> None:
        """Show the counts of ``info``."""
        self._info = info
        self.changed()

    def shapes(self, is_figure: bool) -> List[Shape]:
        if self._info is None:
            return []
        return class_count_shapes(self._info, (self.width(), self.height()), self.metrics)

    def table(self) -> Dict[str, np.ndarray]:
        """Return the counts by column."""
        info = self._info
        if info is None:
            return {}
        return {"group": np.array(info.groups), "training": info.train_counts, "test": info.test_counts}


class DataPreview(QtWidgets.QWidget):
    """Examples on the left and counts on the right."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._info: Optional[DataInfo] = None
        self.about = Label(wordWrap=True)
        self.inputs = QtWidgets.QTabBar(expanding=False, drawBase=False, elideMode=QtCore.Qt.ElideMiddle)
        self.inputs.setAccessibleName("Input whose examples are shown")
        self.grid = SampleGrid(theme)
        self.plot = ClassCounts(theme)
        self.key = RichLabel()
        self.empty = EmptyText(self.grid)
        sides = QtWidgets.QHBoxLayout()
        left = QtWidgets.QVBoxLayout()
        left.setSpacing(2)
        left.addWidget(self.inputs)
        left.addWidget(self.grid, 1)
        sides.addLayout(left, 3)
        right = QtWidgets.QVBoxLayout()
        right.setSpacing(2)
        right.addWidget(self.key)
        right.addWidget(self.plot, 1)
        sides.addLayout(right, 2)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, _GAP, 0, 0)
        rows.addWidget(self.about)
        rows.addLayout(sides, 3)
        self.augmented = AugmentedRow(theme)
        rows.addWidget(self.augmented, 2)
        self.inputs.currentChanged.connect(self._on_input)
        self.show_info(None, "")

    def show_info(self, info: Optional[DataInfo], empty_text: str) -> None:
        """Show the data, or ``empty_text`` if there is none."""
        self._show_inputs(info)
        self.empty.show_text(empty_text if info is None else "")
        self.plot.setVisible(info is not None)
        self.key.setVisible(info is not None)
        if info is None:
            self.about.clear()
            return
        has_rows = ROWS in (info.kind, *(each.kind for each in info.inputs))
        colors = "; coloured from the smallest to the largest value of each feature" if has_rows else ""
        self.about.setText(f"{info.name}: {info.describe()}\n{info.values}{colors}")
        self._show_counts(info)

    def show_augmentation(self, info: Optional[DataInfo], settings: AugmentationSettings, seed: int) -> None:
        """Show some examples as the settings augment them; nothing if they don't."""
        self.augmented.show_augmentation(info, settings, seed)

    def _show_inputs(self, info: Optional[DataInfo]) -> None:
        """Show a tab for each of several inputs, and the pictures of the first."""
        self._info = None  # adding and removing tabs is no choice of the user
        while self.inputs.count():
            self.inputs.removeTab(0)
        for each in () if info is None else info.inputs:
            self.inputs.addTab(each.describe())
        self.inputs.setVisible(self.inputs.count() > 0)
        self._info = info
        self.grid.show_info(info)

    def _on_input(self, index: int) -> None:
        if self._info is not None:
            self.grid.show_info(self._info.with_pictures_of(index))

    def _show_counts(self, info: DataInfo) -> None:
        colors = [self._theme.color(fill.role).name() for fill in (TRAIN, TEST)]
        what = _COUNTED[info.task]
        self.key.setText(
            '{}: <span style="color:{}">■</span> training, <span style="color:{}">■</span> test'.format(what, *colors)
        )
        self.plot.show_info(info)
