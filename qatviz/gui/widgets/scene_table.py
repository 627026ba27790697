"""Table drawn as a scene: a header that stays while the rows scroll, sorting by clicks, hover texts, and keys."""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.arrow_keys import VERTICAL
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.rows_layout import PADDING, RowsLayout
from qatviz.presentation.scene import Metrics, Shape


class TableContent:
    """Content of a table.

    Parameters
    ----------
    names : sequence of str
        Names of the rows, in the order in which they are shown.
    layout : callable
        Returns the :class:`RowsLayout` for a width and the sizes of texts.
    text : callable
        Returns the lines that explain the place in a layout at ``x``, ``y`` below the header.
    values : callable
        Returns the values by column, for files.
    """

    def __init__(
        self,
        names: Sequence[str],
        layout: Callable[[float, Metrics], RowsLayout],
        text: Callable[[Any, float, float], Sequence[str]],
        values: Callable[[], Dict[str, Any]],
    ):
        self.names, self.layout, self.text, self.values = tuple(names), layout, text, values


class SceneTable(QtWidgets.QWidget):
    """Table of a :class:`TableContent`; a click or Up and Down select a row, a click on a title sorts.

    Parameters
    ----------
    rows : SceneRows
    sort_tip : str
        Tooltip of the header.
    caption : callable
        Returns the caption of a saved figure.

    Attributes
    ----------
    sorted_by : int or None
        Column by which the content is to be sorted; None for its original order.
    """

    #: Emitted with the name of the row that the user selects, and whether it is added to the selection.
    selected = QtCore.pyqtSignal(str, bool)
    #: Emitted when the user wants another order.
    reordered = QtCore.pyqtSignal()

    def __init__(self, rows: "SceneRows", sort_tip: str, caption: Callable[[], Caption]):
        super().__init__()
        self.sorted_by: Optional[int] = None
        self.header = _Header(rows.theme, sort_tip)
        self.rows = rows
        self.rows.caption = caption
        self.menu = FigureMenu(self.rows)
        self.area = QtWidgets.QScrollArea(widgetResizable=True, frameShape=QtWidgets.QFrame.NoFrame)
        self.area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(QtCore.Qt.NoFocus)
        self.area.setWidget(self.rows)
        self.empty = EmptyText(self.area)
        head = QtWidgets.QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(self.header)
        head.addSpacing(self.style().pixelMetric(QtWidgets.QStyle.PM_ScrollBarExtent))
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self.area, 1)
        self.header.clicked.connect(self._on_header)
        self.rows.selected.connect(self.selected)
        self.rows.moved.connect(self._scroll_to)

    @property
    def room(self) -> int:
        """Height that rows can fill without being scrolled, px."""
        return int(self.area.viewport().height() - self.header.sizeHint().height())

    def show_content(self, content: Optional[TableContent], selection: Tuple[str, ...], empty: str = "") -> None:
        """Show a content, or the text ``empty`` without one."""
        self.header.content, self.header.sorted_by = content, self.sorted_by
        self.header.setVisible(content is not None)
        always, never = QtCore.Qt.ScrollBarAlwaysOn, QtCore.Qt.ScrollBarAlwaysOff  # the header is as wide as the rows
        self.area.setVerticalScrollBarPolicy(always if content is not None else never)
        self.rows.show_content(content, selection)
        self.header.changed()
        self.empty.show_text("" if content is not None else empty)

    def changed(self) -> None:
        """Draw everything again, in other colours."""
        self.header.changed()
        self.rows.changed()

    def _on_header(self, column: object) -> None:
        self.sorted_by = column if isinstance(column, int) else None
        self.reordered.emit()

    def _scroll_to(self, row: int) -> None:
        places = self.rows.places()
        if places is not None:
            self.area.ensureVisible(0, int((row + 0.5) * places.row), 0, int(places.row))


class _Header(SceneWidget):
    """Titles of the columns."""

    #: Emitted with the column that was clicked; None for the original order.
    clicked = QtCore.pyqtSignal(object)
    ground = "raised"

    def __init__(self, theme: Theme, tip: str):
        super().__init__(theme)
        self.content: Optional[TableContent] = None
        self.sorted_by: Optional[int] = None
        self.setToolTip(tip)
        self.setCursor(QtCore.Qt.PointingHandCursor)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Fixed)

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        if self.content is None:
            return []
        return self.content.layout(self.width(), self.metrics).header_shapes(self.sorted_by)

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(320, int(self.metrics.height + PADDING))

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        if self.content is not None and event.button() == QtCore.Qt.LeftButton:
            self.clicked.emit(self.content.layout(self.width(), self.metrics).column_at(event.x()))


class SceneRows(SceneWidget):
    """Rows of a table: hovering explains a cell; a click, Up and Down select a row."""

    #: Emitted with the name of the row that the user selects, and whether it is added to the selection.
    selected = QtCore.pyqtSignal(str, bool)
    #: Emitted with the row that a click or a key has selected, to scroll it into view.
    moved = QtCore.pyqtSignal(int)

    def __init__(self, theme: Theme, name: str):
        super().__init__(theme)
        self.content: Optional[TableContent] = None
        self.selection: Tuple[str, ...] = ()
        self._last = ""  # name of the row that a click or a key selected last
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName(name)

    def places(self) -> Optional[RowsLayout]:
        """Return the positions of the rows at the present width; None without content."""
        return None if self.content is None else self.content.layout(self.width(), self.metrics)

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        places = self.places()
        if places is None:
            return []
        if not is_figure:
            return places.row_shapes(self.selection)
        return [*places.header_shapes(None), *places.row_shapes(self.selection, places.head)]

    def show_content(self, content: Optional[TableContent], selection: Tuple[str, ...]) -> None:
        """Show a content, or nothing."""
        self.content, self.selection = content, selection
        places = self.places()
        need = 0 if places is None else int(places.height + places.head)  # a figure has a header
        if self.minimumHeight() != need:
            self.setMinimumHeight(need)
        self.changed()

    def table(self) -> Dict[str, Any]:
        """Return the values by column."""
        return {} if self.content is None else self.content.values()

    def event(self, event: QtCore.QEvent) -> bool:
        places = self.places()
        if event.type() == QtCore.QEvent.ToolTip and self.content is not None and places is not None:
            at = event.pos()
            known = places.row_at(at.y()) is not None
            text = "\n".join(self.content.text(places, at.x(), at.y())) if known else ""
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(text), self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        places = self.places()
        row = None if places is None else places.row_at(event.y())
        if row is None or event.button() != QtCore.Qt.LeftButton:
            super().mousePressEvent(event)
            return
        self._select(row, bool(event.modifiers() & QtCore.Qt.ControlModifier))

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        step = VERTICAL.get(event.key())
        if self.content is None or step is None or not self.content.names:
            super().keyPressEvent(event)
            return
        at = self.current_row()
        row = 0 if at is None else at + step
        self._select(min(max(row, 0), len(self.content.names) - 1), False)

    def current_row(self) -> Optional[int]:
        """Return the row that Up and Down move from; None if no row is selected.

        Of several selected rows, it is the one that a click or a key selected last, else the first.
        """
        names = () if self.content is None else self.content.names
        known = [row for row, name in enumerate(names) if name in self.selection]
        return next((row for row in known if names[row] == self._last), known[0] if known else None)

    def _select(self, row: int, is_added: bool) -> None:
        assert self.content is not None, "a row is shown"
        self._last = self.content.names[row]
        self.moved.emit(row)
        self.selected.emit(self._last, is_added)
