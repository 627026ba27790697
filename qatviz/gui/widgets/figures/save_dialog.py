"""Dialog for the file, format and size of a saved figure."""

from pathlib import Path
from typing import Callable, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import LIGHT

PNG, SVG = "png", "svg"
_COLORS = (("Light background", LIGHT), ("As in the window", ""))
_FORMATS = (("PNG (raster)", PNG), ("SVG (vector)", SVG))
#: Limits of width and height, px.
SMALLEST, LARGEST = 80, 8000
_INCH_CM = 2.54


class SaveFigureDialog(QtWidgets.QDialog):
    """Dialog for file, format, size and style; all but the file are remembered, and a size if the user chose it.

    Parameters
    ----------
    name : str
        Suggested name of the file; a number is added if such a file exists.
    size : QSize
        The figure's size on the screen.
    caption_height : callable (int) -> int
        Returns the height of title and legend of a figure of a width.
    directory : str
        Directory of the suggested file.
    settings : QSettings
        Storage of remembered values.
    write : callable (SaveFigureDialog) -> None
        Writes the file; a :class:`QatvizError` is shown in the dialog, which then stays open.
    """

    def __init__(
        self,
        name: str,
        size: QtCore.QSize,
        caption_height: Callable[[int], int],
        directory: str,
        settings: QtCore.QSettings,
        write: Callable[["SaveFigureDialog"], None],
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self.setWindowTitle("Save picture")
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self._name, self._screen_size, self._directory, self._settings = name, size, directory, settings
        self._write, self._caption_height = write, caption_height
        self._setup_ui()
        self._layout()
        self._recall()
        self._connect()
        self._on_format_changed()

    def path(self) -> str:
        """Return the path of the file, with the suffix of its format."""
        path = self._typed()
        suffix = "." + self._format()
        return str(path if path.suffix.lower() == suffix or not path.name else path.with_name(path.name + suffix))

    def problem(self) -> str:
        """Return the reason why the typed name is not that of a picture; empty if it is."""
        if not self.path_edit.text().strip():
            return "Enter the name of a file."
        path = self._typed()
        if path.is_dir() or not path.name:
            return f"{path} is a directory: add the name of a file."
        formats = [suffix for _, suffix in _FORMATS]
        if path.suffix.lower().lstrip(".") not in ("", *formats, Path(self._name).suffix.lower().lstrip(".")):
            return f"Pictures can't be saved as {path.suffix}: end the name in .{' or .'.join(formats)}."
        return ""

    def _typed(self) -> Path:
        path = Path(self.path_edit.text().strip()).expanduser()
        return path if path.is_absolute() else Path(self._directory) / path

    def size_in_pixels(self) -> QtCore.QSize:
        """Return the size of the layout in screen pixels."""
        return QtCore.QSize(self.width_box.value(), self.height_box.value())

    def scale(self) -> float:
        """Return the number of image pixels per screen pixel; 1 for SVG."""
        return 1.0 if self.is_vector() else self.scale_box.value()

    def theme(self) -> str:
        """Return the name of the theme of the figure's colours; empty for that of the window."""
        return self.colors_box.currentData()

    def has_caption(self) -> bool:
        """Return whether the picture has a title and a legend."""
        return self.caption_box.isChecked()

    def is_vector(self) -> bool:
        return self._format() == SVG

    def accept(self) -> None:
        if self.problem():
            self._show_result()
            return
        try:
            self._write(self)
        except QatvizError as error:
            self._show_text(str(error), True)
            return
        for key, value in (
            ("format", self._format()),
            ("scale", self.scale_box.value()),
            ("width", self.width_box.value()),
            ("height", self.height_box.value()),
            ("own_size", not self.as_shown_box.isChecked()),
            ("theme", self.theme()),
            ("caption", self.has_caption()),
        ):
            self._settings.setValue("figures/" + key, value)
        super().accept()

    def _setup_ui(self) -> None:
        self.path_edit = QtWidgets.QLineEdit()
        self.path_edit.setMinimumWidth(360)
        self.path_edit.setToolTip("Path of the file to write")
        self.browse_button = QtWidgets.QPushButton("Browse…")
        self.browse_button.setToolTip("Choose the file")
        self.format_box = QtWidgets.QComboBox()
        for label, suffix in _FORMATS:
            self.format_box.addItem(label, suffix)
        self.format_box.setToolTip("PNG for slides and web pages; SVG for papers: sharp at any size, editable")
        self.as_shown_box = QtWidgets.QCheckBox("Same size as on screen")
        self.as_shown_box.setToolTip("Use the figure's present size in the window; clear to enter another size")
        self.width_box, self.height_box = self._size_box("Width"), self._size_box("Height")
        self.scale_box = QtWidgets.QDoubleSpinBox(minimum=0.5, maximum=8.0, singleStep=0.5, decimals=1, value=2.0)
        self.scale_box.setPrefix("× ")
        self.scale_box.setToolTip("Image pixels per screen pixel: 2 keeps the layout and doubles the resolution")
        self.colors_box = QtWidgets.QComboBox()
        for label, theme in _COLORS:
            self.colors_box.addItem(label, theme)
        self.colors_box.setToolTip("Light for papers and slides, or the colours of the window")
        self.caption_box = QtWidgets.QCheckBox("Title and legend")
        self.caption_box.setToolTip(
            "Title with tensor, run and step above the figure, and the meaning of colours below"
        )
        self.result_label = Label()
        self.result_label.setWordWrap(True)
        self.result_label.setMinimumHeight(2 * self.fontMetrics().lineSpacing() + 4)
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Save | QtWidgets.QDialogButtonBox.Cancel)

    def _size_box(self, what: str) -> QtWidgets.QSpinBox:
        box = QtWidgets.QSpinBox(minimum=SMALLEST, maximum=LARGEST, suffix=" px")
        box.setAccessibleName(what)
        box.setToolTip(f"{what} of the figure, which is laid out for this size")
        return box

    def _layout(self) -> None:
        file_row, size_row = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        file_row.addWidget(self.path_edit, 1)
        file_row.addWidget(self.browse_button)
        size_row.addWidget(self.width_box)
        size_row.addWidget(Label("×"))
        size_row.addWidget(self.height_box)
        size_row.addStretch(1)
        form = QtWidgets.QFormLayout(self)
        form.addRow("&File", file_row)
        form.labelForField(file_row).setBuddy(self.path_edit)
        form.addRow("F&ormat", self.format_box)
        form.addRow("", self.as_shown_box)
        form.addRow("Si&ze", size_row)
        form.labelForField(size_row).setBuddy(self.width_box)
        form.addRow("Sc&ale", self.scale_box)
        form.addRow("Colo&urs", self.colors_box)
        form.addRow("", self.caption_box)
        form.addRow("", self.result_label)
        form.addRow(self.buttons)

    def _recall(self) -> None:
        stored = self._settings
        self.format_box.setCurrentIndex(max(0, self.format_box.findData(stored.value("figures/format", PNG, str))))
        self.scale_box.setValue(stored.value("figures/scale", 2.0, float))
        self.colors_box.setCurrentIndex(max(0, self.colors_box.findData(stored.value("figures/theme", LIGHT, str))))
        self.caption_box.setChecked(stored.value("figures/caption", True, bool))
        own_size = stored.value("figures/own_size", False, bool)
        self.as_shown_box.setChecked(not own_size)
        self._set_size(
            QtCore.QSize(stored.value("figures/width", 800, int), stored.value("figures/height", 500, int))
            if own_size
            else self._screen_size
        )
        self.path_edit.setText(str(self._free_path()))

    def _connect(self) -> None:
        self.format_box.currentIndexChanged.connect(self._on_format_changed)
        self.as_shown_box.toggled.connect(self._on_as_shown_toggled)
        self.browse_button.clicked.connect(self._on_browse)
        self.path_edit.textChanged.connect(self._on_path_changed)
        for box in (self.width_box, self.height_box, self.scale_box):
            box.valueChanged.connect(self._show_result)
        self.caption_box.toggled.connect(self._show_result)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _format(self) -> str:
        return self.format_box.currentData()

    def _set_size(self, size: QtCore.QSize) -> None:
        self.width_box.setValue(size.width())
        self.height_box.setValue(size.height())

    def _free_path(self) -> Path:
        """Return a path with the figure's name, with a number added if such a file exists."""
        for number in range(1, 1000):
            stem = self._name if number == 1 else f"{self._name}-{number}"
            path = Path(self._directory) / f"{stem}.{self._format()}"
            if not path.exists():
                break
        return path

    def _on_format_changed(self) -> None:
        self.scale_box.setEnabled(not self.is_vector())
        path = Path(self.path_edit.text().strip())
        other = PNG if self.is_vector() else SVG
        if path.suffix.lower() == "." + other:
            self.path_edit.setText(str(path.with_suffix("." + self._format())))
        self._on_as_shown_toggled()

    def _on_path_changed(self) -> None:
        """Select the format of a typed suffix."""
        found = self.format_box.findData(self._typed().suffix.lower().lstrip("."))
        if found >= 0 and found != self.format_box.currentIndex():
            self.format_box.setCurrentIndex(found)
        self._show_result()

    def _on_as_shown_toggled(self) -> None:
        as_shown = self.as_shown_box.isChecked()
        if as_shown:
            self._set_size(self._screen_size)
        for box in (self.width_box, self.height_box):
            box.setEnabled(not as_shown)
        self._show_result()

    def _on_browse(self) -> None:
        dialog = QtWidgets.QFileDialog(self, "Save picture", self.path(), "Pictures (*.png *.svg)")
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.setAcceptMode(QtWidgets.QFileDialog.AcceptSave)
        dialog.setDefaultSuffix(self._format())
        dialog.selectFile(self.path())
        dialog.fileSelected.connect(self._on_file_chosen)
        dialog.open()

    def _on_file_chosen(self, path: str) -> None:
        self.path_edit.setText(path)

    def _show_text(self, text: str, is_problem: bool) -> None:
        self.result_label.setText(text)
        font = QtGui.QFont(self.font())
        font.setBold(is_problem)
        self.result_label.setFont(font)

    def _show_result(self) -> None:
        problem = self.problem()
        self.buttons.button(QtWidgets.QDialogButtonBox.Save).setEnabled(not problem)
        if problem:
            self._show_text(problem, True)
            return
        size, scale = self.size_in_pixels(), self.scale()
        if self.has_caption():
            size += QtCore.QSize(0, self._caption_height(size.width()))
        inches = size.width() / 96, size.height() / 96
        text = "{:.1f} × {:.1f} cm".format(*(_INCH_CM * inch for inch in inches))
        if not self.is_vector():
            text = (
                f"{round(size.width() * scale)} × {round(size.height() * scale)} pixels; {text} at {96 * scale:.0f} dpi"
            )
        if Path(self.path()).exists():
            text += f"\n{Path(self.path()).name} exists and will be replaced"
        self._show_text(text, False)
