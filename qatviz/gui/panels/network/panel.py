"""Panel with the network's graph of layers and a measure of each tensor."""

from typing import Dict, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import CHIP, RUN, SELECTION, SETTINGS, SNAPSHOT
from qatviz.gui.panels import declarations
from qatviz.gui.panels.network.items import Edges, Node, network_painter
from qatviz.gui.panels.network.measures import DEFAULT_MEASURE, SHOWN, badge_quantity, table_of, tooltip, value_of
from qatviz.gui.panels.network.view import ColorBar, NetworkView
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.panel import Panel
from qatviz.measure_declaration import Measure
from qatviz.measures import MEASURES
from qatviz.network.graph import Network
from qatviz.network.plan import ACTIVATIONS, WEIGHTS, QuantizationPlan, QuantizedTensor
from qatviz.presentation.color_bar import color_bar, value_role
from qatviz.presentation.figure_caption import SAMPLE_HEIGHT, Caption, LegendItem
from qatviz.presentation.network.drawing import network_drawing
from qatviz.presentation.network.layout import DOWN, RIGHT, GraphLayout, fitting_layout
from qatviz.presentation.network.scene import Badge, node_size
from qatviz.presentation.scene import SMALL

_FLOWS = (("Automatic", ""), ("Downwards", DOWN), ("Rightwards", RIGHT))
#: Minimum gain in scale for which the graph is laid out again for another window size, so that it seldom jumps.
_MIN_GAIN = 1.15


class NetworkPanel(Panel):
    """Graph with a node for each operation, with the chosen measure of its weights (w) and activations (a)."""

    declaration = declarations.NETWORK
    topics = (RUN, SNAPSHOT, SETTINGS, SELECTION, CHIP, MOMENT)

    def _setup_ui(self) -> None:
        self.view = NetworkView()
        self.view.tooltip_of = self._tooltip
        self.view.table = lambda: table_of(self.model)
        self.view.caption = self._caption
        self.menu = FigureMenu(self.view)
        self.empty = EmptyText(self.view)
        self.measure_box, self.flow_box = QtWidgets.QComboBox(), QtWidgets.QComboBox()
        for number, key in enumerate(SHOWN):
            self.measure_box.addItem(MEASURES[key].label, key)
            self.measure_box.setItemData(number, MEASURES[key].help, QtCore.Qt.ToolTipRole)
        self.measure_box.setAccessibleName("Colour by")
        for label, flow in _FLOWS:
            self.flow_box.addItem(label, flow)
        self.flow_box.setAccessibleName("Direction")
        self.flow_box.setToolTip("Direction of the data flow; Automatic chooses what fits the panel best")
        self.fit_button = QtWidgets.QToolButton(text="Fit", autoRaise=True)
        self.fit_button.setToolTip(
            "Show the whole network (F, or double-click the background); the wheel zooms, dragging pans"
        )
        self.legend = ColorBar(self.theme)
        self.nodes: Dict[str, Node] = {}
        self.layout_shown: Optional[GraphLayout] = None
        self._shown: Optional[Network] = None  # the network of the scene
        self._asked: Optional[Tuple[int, int, Optional[str]]] = None  # size of the window and flow of the layout
        self._cursor = ""  # name of a node; empty before there is a network
        settings = self.context.settings
        self.measure_box.setCurrentIndex(
            max(0, self.measure_box.findData(settings.value("network/measure", DEFAULT_MEASURE, str)))
        )
        self.flow_box.setCurrentIndex(max(0, self.flow_box.findData(settings.value("network/flow", "", str))))
        self.apply_theme()

    def _layout(self) -> None:
        bar = FlowLayout(spacing=8)
        bar.setContentsMargins(6, 4, 6, 4)
        for widget in (self.measure_box, self.flow_box, self.fit_button):
            bar.addWidget(widget)
        strip = QtWidgets.QHBoxLayout()
        strip.setContentsMargins(8, 2, 8, 2)
        strip.addWidget(self.legend)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        layout.addLayout(strip)

    def _connect(self) -> None:
        self.measure_box.currentIndexChanged.connect(self._on_measure_chosen)
        self.flow_box.currentIndexChanged.connect(self._on_flow_chosen)
        self.fit_button.clicked.connect(self._on_fit)
        self.view.clicked.connect(self._on_clicked)
        self.view.moved.connect(self._on_moved)
        self.view.kind_chosen.connect(self._on_kind_chosen)

    def apply_theme(self) -> None:
        self.view.setBackgroundBrush(self.theme.color("base"))
        self._shown = None  # the items have the colours and the font
        self._show_measure()

    def update_from(self) -> None:
        network, plan = self.model.network, self.model.plan
        if network is None or plan is None:
            self._clear()
            self.empty.show_text(self.model.no_run_text("No run. Its network is drawn here once there is one."))
            return
        self.empty.show_text("")
        self._show_graph(network, plan)
        if self.model.current not in self._tensors_of(self._cursor):
            self._cursor = plan.tensor(self.model.current).layer
        measure = MEASURES[self.measure_box.currentData()]
        for name, node in self.nodes.items():
            for tensor in node.tensors:
                node.set_badge(tensor.name, self._badge(tensor, measure))
            node.set_cursor(name == self._cursor)
        self.view.setAccessibleDescription(self._description(measure))

    def _caption(self) -> Caption:
        """Return the title and the legend of a saved figure."""
        measure, width = MEASURES[self.measure_box.currentData()], 240.0
        bar = color_bar(measure, width, SAMPLE_HEIGHT, self.legend.metrics)
        return Caption(f"Network, coloured by {measure.label}", (), [LegendItem(bar, "", width)])

    # The graph

    def _show_graph(self, network: Network, plan: QuantizationPlan) -> None:
        """Create the nodes for another network, theme or font, and lay them out for another window size."""
        if self._shown is not network:
            self._clear()
            self._shown = network
            self._make_nodes(network, plan)
        flow = self.flow_box.currentData() or None
        room = self.view.viewport().size()
        found = self._fitting(room, flow)
        if found is None:
            return
        self.layout_shown = found
        scene = self.view.scene()
        for item in scene.items():
            if isinstance(item, Edges):
                scene.removeItem(item)
        scene.addItem(Edges(list(found.routes.values()), found.flow == DOWN, self._painter))
        for name, (x, y, _, _) in found.boxes.items():
            self.nodes[name].setPos(x, y)
        self.view.set_drawn(QtCore.QRectF(-4, -4, found.width + 8, found.height + 8))
        self.view.fit()

    def _fitting(self, room: QtCore.QSize, flow: Optional[str]) -> Optional[GraphLayout]:
        """Return a layout that fits better than the shown one; None if there is none."""
        asked = (room.width(), room.height(), flow)
        before, is_same_flow = self.layout_shown, self._asked is not None and flow == self._asked[2]
        if before is not None and is_same_flow and (asked == self._asked or not self.view.is_fitted):
            return None
        found = fitting_layout(self._sizes, self._edges, room.width(), room.height(), flow)
        self._asked = asked
        if before is not None and is_same_flow:
            gain = min(1.0, found.scale_in(*asked[:2])) / min(1.0, before.scale_in(*asked[:2]))
            if gain < _MIN_GAIN:
                return None
        return found

    def _clear(self) -> None:
        self.view.scene().clear()
        self.nodes, self.layout_shown, self._shown, self._asked = {}, None, None, None

    def _make_nodes(self, network: Network, plan: QuantizationPlan) -> None:
        font = QtGui.QFont(self.font())
        font.setPixelSize(max(9, QtGui.QFontInfo(font).pixelSize() - 2))
        self._painter = network_painter(self.theme, font)
        drawing = network_drawing(network, plan)
        self._edges = drawing.edges
        self._sizes: Dict[str, Tuple[float, float]] = {}
        for name, text in drawing.texts.items():
            tensors = drawing.tensors[name]
            self._sizes[name] = node_size(self._painter.metrics[SMALL], bool(tensors))
            self.nodes[name] = Node(text, tensors, self._sizes[name], self._painter)
            self.view.scene().addItem(self.nodes[name])

    def _badge(self, tensor: QuantizedTensor, measure: Measure) -> Badge:
        shown = badge_quantity(self.model, tensor, measure.key)
        return Badge(
            tensor.kind[0],
            shown.text,
            shown.number,
            value_role(measure, value_of(self.model, tensor, measure.key)),
            tensor.name in self.model.selected,
            tensor.name == self.model.current,
        )

    def _description(self, measure: Measure) -> str:
        """Return a description of the node at the cursor for assistive technology."""
        node = self.nodes[self._cursor]
        values = [f"{measure.label} of {name}: {badge.text}" for name, badge in node.badges.items()]
        return "; ".join([f"{node.text.name}, {node.text.layers}", *values])

    # Selection

    def _tensors_of(self, name: str) -> Tuple[str, ...]:
        """Return the tensors of a node.

        A node without tensors, such as pooling, has the one whose grid its values are on; after a softmax, and for ids,
        none.
        """
        node, plan = self.nodes.get(name), self.model.plan
        if node is None or plan is None:
            return ()
        if node.tensors:
            return tuple(tensor.name for tensor in node.tensors)
        source = next((edge[0] for edge in self._edges if edge[1] == name), "")
        return tuple(tensor for tensor in self._tensors_of(source) if plan.has_outputs(tensor))

    def _select(self, tensor: str, modifiers: QtCore.Qt.KeyboardModifiers) -> None:
        selected = set(self.model.selected)
        if not modifiers & QtCore.Qt.ControlModifier:
            self.model.select([tensor], tensor)
        elif tensor not in selected:
            self.model.select(selected | {tensor}, tensor)
        elif len(selected) > 1:
            self.model.select(selected - {tensor})

    def _on_clicked(
        self, node: Node, tensor: Optional[QuantizedTensor], modifiers: QtCore.Qt.KeyboardModifiers
    ) -> None:
        self._cursor = node.text.name
        names = self._tensors_of(self._cursor)
        kind = ACTIVATIONS if modifiers & QtCore.Qt.ShiftModifier else WEIGHTS
        if names:
            self._select(tensor.name if tensor else _of_kind(names, kind), modifiers)
        self.refresh()

    def _on_kind_chosen(self, kind: str) -> None:
        names = self._tensors_of(self._cursor)
        if names:
            self._select(_of_kind(names, kind), QtCore.Qt.NoModifier)
            self.refresh()

    def _on_moved(self, dx: int, dy: int, modifiers: QtCore.Qt.KeyboardModifiers) -> None:
        """Move the cursor along an edge (arrows along the flow), or to a neighbour in the layer (arrows across it)."""
        layout, plan = self.layout_shown, self.model.plan
        if layout is None or plan is None:
            return
        target = self._neighbour(layout, dx, dy)
        if target is None:
            return
        kind = plan.tensor(self.model.current).kind
        self._cursor = target
        names = self._tensors_of(target)
        if names:
            tensor = _of_kind(names, kind)
            others = set(self.model.selected) if modifiers & QtCore.Qt.ShiftModifier else set()
            self.model.select(others | {tensor}, tensor)
        self.view.ensureVisible(self.nodes[target], 20, 20)
        self.refresh()

    def _neighbour(self, layout: GraphLayout, dx: int, dy: int) -> Optional[str]:
        down = layout.flow == DOWN
        forward, sideways = (dy, dx) if down else (dx, dy)
        if forward:
            near = (
                [edge[1] for edge in self._edges if edge[0] == self._cursor]
                if forward > 0
                else [edge[0] for edge in self._edges if edge[1] == self._cursor]
            )
        else:
            layer = next(layer for layer in layout.layers if self._cursor in layer)
            at = layer.index(self._cursor) + sideways
            near = [layer[at]] if 0 <= at < len(layer) else []
        here = _middle_across(layout, self._cursor)
        return min(near, key=lambda name: abs(_middle_across(layout, name) - here)) if near else None

    def _tooltip(self, node: Node, tensor: Optional[QuantizedTensor]) -> str:
        text = "<b>{}</b><br>{}<br>{}".format(*node.text)
        tensors = [tensor] if tensor else node.tensors
        if not node.tensors:
            names = self._tensors_of(node.text.name)
            text += f"<br>Its output is on the grid of {names[0]}" if names else "<br>Its output is not quantized"
        return "<hr>".join(([] if tensor else [text]) + [tooltip(self.model, each) for each in tensors])

    # Options

    def _on_measure_chosen(self) -> None:
        self.context.settings.setValue("network/measure", self.measure_box.currentData())
        self._show_measure()
        self.refresh()

    def _show_measure(self) -> None:
        measure = MEASURES[self.measure_box.currentData()]
        self.measure_box.setToolTip("Measure that colours the nodes. " + measure.help)
        self.legend.set_measure(measure)

    def _on_flow_chosen(self) -> None:
        self.context.settings.setValue("network/flow", self.flow_box.currentData())
        self.view.is_fitted = True
        self.refresh()

    def _on_fit(self) -> None:
        self.view.fit()
        self.refresh()


def _middle_across(layout: GraphLayout, name: str) -> float:
    x, y, width, height = layout.boxes[name]
    return x + width / 2 if layout.flow == DOWN else y + height / 2


def _of_kind(names: Tuple[str, ...], kind: str) -> str:
    """Return the tensor of a kind among a node's, or the first one if there is none."""
    return next((name for name in names if name.endswith("." + kind)), names[0])
