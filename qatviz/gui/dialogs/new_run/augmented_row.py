"""Examples before and after augmentation, as a training step would change them."""

# Apart from the preview of the data, because it has a state of its own: the training step.

from typing import Optional

import numpy as np
from PyQt5 import QtWidgets

from qatviz.augmentation_settings import AugmentationSettings
from qatviz.gui.dialogs.new_run.sample_grid import SampleGrid
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.augmented import pictures_of
from qatviz.presentation.previews import RGB, DataInfo


class AugmentedRow(QtWidgets.QWidget):
    """Row of examples above a row of the same examples augmented, with a button for the next training step."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._info: Optional[DataInfo] = None
        self._settings = AugmentationSettings()
        self._seed = self._step = 0
        self.about = Label()
        self.again = QtWidgets.QPushButton("Again")
        self.again.setToolTip("Show the next training step of the run")
        self.grid = SampleGrid(theme)
        self.grid.setAccessibleName("Examples before and after augmentation")
        head = QtWidgets.QHBoxLayout()
        head.addWidget(self.about, 1)
        head.addWidget(self.again)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(head)
        rows.addWidget(self.grid, 1)
        self.again.clicked.connect(self._on_again)
        self.show_augmentation(None, self._settings, 0)

    def show_augmentation(self, info: Optional[DataInfo], settings: AugmentationSettings, seed: int) -> None:
        """Show examples of the data as the settings augment them; hide the row if they don't."""
        if (settings, seed) != (self._settings, self._seed) or info is not self._info:
            self._step = 0
        self._info, self._settings, self._seed = info, settings, seed
        self.setVisible(info is not None and info.augmentable is not None and settings.augments)
        self._show_step()

    def _on_again(self) -> None:
        self._step += 1
        self._show_step()

    def _show_step(self) -> None:
        info = self._info
        if info is None or info.augmentable is None or not self._settings.augments:
            self.grid.show_info(None)
            return
        before, after = pictures_of(info.augmentable, self._settings, self._seed, self._step)
        samples = np.concatenate([before, after])
        self.grid.show_info(info._replace(kind=RGB, samples=samples, captions=("",) * len(samples)))
        self.about.setText(
            f"Above: examples; below: augmented, as in training step {self._step + 1} with seed {self._seed}"
        )
