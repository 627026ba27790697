"""Declarations of all panels: what they are called, what they say about themselves, and their keys.

They are apart from the panels, so that menus, docks and the list of keys do not need the panels themselves, which are
made when they come into view.
"""

from typing import Tuple

from qatviz.gui.widgets.panel import PanelDeclaration, PanelKeys

#: Group of the panels that help to decide which bits go where, what they cost, and what they break.
DECIDE = "Decide"

QUANTIZATION = PanelDeclaration(
    "quantization",
    "Quantization",
    "Change how tensors are quantized during training",
    keys=(PanelKeys(("Esc",), "discard pending settings"),),
)
RUN_SETTINGS = PanelDeclaration(
    "run_settings", "Run", "Change learning rate, intervals and total steps during training"
)
HISTOGRAMS = PanelDeclaration(
    "histograms",
    "Histograms",
    "Float and quantized values of every tensor, overlaid: levels, values clipped and rounded to zero.",
    keys=(
        PanelKeys(("Left", "Right", "Up", "Down"), "select another tile; with Shift, also those in between"),
        PanelKeys(("Home", "End"), "select the first, the last tile"),
        PanelKeys(("Ctrl+A",), "select all tiles"),
        PanelKeys(("Return",), "open the tensor in the Tensor panel"),
    ),
)
NETWORK = PanelDeclaration(
    "network",
    "Network",
    "The graph of layers, coloured by how well each tensor is quantized; click to select.",
    keys=(
        PanelKeys(("Left", "Right", "Up", "Down"), "go to the next layer in that direction; with Shift, select it too"),
        PanelKeys(("W", "A"), "select the weights, the activations of the layer"),
        PanelKeys(("F",), "fit the network into the panel"),
        PanelKeys(("+", "=", "-"), "zoom in, out"),
    ),
)
TENSOR = PanelDeclaration(
    "tensor",
    "Tensor",
    "The selected tensor: float and quantized values, integer codes, errors, channels, history.",
    keys=(
        PanelKeys(("Left", "Right", "PgUp", "PgDown"), "in “Over time”: move the cursor by one snapshot, by ten"),
        PanelKeys(("Home", "End", "Esc"), "in “Over time”: go to the first, the newest snapshot"),
        PanelKeys(("Left", "Right", "PgUp", "PgDown"), "in “Channels”: show the previous, the next channel alone"),
        PanelKeys(("Home", "End", "Esc"), "in “Channels”: show the first, the last channel alone; all channels"),
    ),
)
EVOLUTION = PanelDeclaration(
    "evolution",
    "Evolution",
    "Loss, accuracy and quantization measures over the run, with a marker for every change and its measured effect.",
    keys=(
        PanelKeys(("F",), "follow the newest step"),
        PanelKeys(("Home",), "show the whole run"),
        PanelKeys(("+", "=", "-"), "zoom in, out"),
        PanelKeys(("Left", "Right"), "in a plot: pan; in the line of markers or a legend: go to the next one"),
        PanelKeys(("Space", "Return"), "in a legend: show or hide a curve; in the line of markers: open its menu"),
    ),
)
LAYERS = PanelDeclaration(
    "layers",
    "Layers",
    "Every quantized tensor with its settings and its quantization error.",
    keys=(
        PanelKeys(("F2", *"0123456789"), "type the bits of the row (also a double click)"),
        PanelKeys(("Return",), "open the tensor in the Tensor panel"),
        PanelKeys(("Ctrl+F",), "filter by name"),
        PanelKeys(("Esc",), "stop filtering, or typing bits"),
    ),
)
EVENTS = PanelDeclaration(
    "events",
    "Events",
    "Events of the run by training step; undo a change here, or rewind the run to before it.",
    keys=(PanelKeys(("Return",), "show the step of the event in the Evolution panel"),),
)
MOMENTS = PanelDeclaration(
    "moments",
    "Two moments",
    "The selected tensor at two moments of the run: histograms and codes overlaid, measures, settings.",
)
SENSITIVITY = PanelDeclaration(
    "sensitivity",
    "Sensitivity",
    "Which tensors tolerate few bits: the divergence of the outputs by tensor and number of bits.",
    group=DECIDE,
    keys=(
        PanelKeys(("Up", "Down"), "select another row"),
        PanelKeys(("Left", "Right"), "go to fewer, to more bits"),
        PanelKeys(("Return",), "apply the bits"),
    ),
)
BUDGET = PanelDeclaration(
    "budget",
    "Budget",
    "Choose the bits of all tensors within a budget, and compare all evaluations by size and quality",
    group=DECIDE,
    keys=(
        PanelKeys(("Left", "Right", "PgUp", "PgDown"), "slider: a smaller, a larger budget"),
        PanelKeys(("Left", "Right"), "picture: select another dot"),
    ),
)
CHIP = PanelDeclaration(
    "chip",
    "Chip",
    "Whether the network fits a chip: flash, RAM and time, and the layers that take most of them",
    group=DECIDE,
    keys=(PanelKeys(("Left", "Right"), "select another layer"),),
)
DRIFT = PanelDeclaration(
    "drift",
    "Drift",
    "In which layer the error of quantization arises: own and inherited error of each, and its feature maps.",
    group=DECIDE,
    keys=(PanelKeys(("Up", "Down"), "select another row"),),
)
CHANNELS = PanelDeclaration(
    "channels",
    "Channels",
    "The ranges of all channels of all weights, those that stand out, and which weights are hard to quantize.",
    group=DECIDE,
    keys=(PanelKeys(("Up", "Down"), "select another row"),),
)
PREDICTIONS = PanelDeclaration(
    "predictions",
    "Predictions",
    "What quantization breaks: the held-out examples whose prediction flips, and the classes that lose most.",
    group=DECIDE,
    keys=(
        PanelKeys(("Left", "Right", "Up", "Down"), "select another example or cell"),
        PanelKeys(("PgUp", "PgDown", "Home", "End"), "go a page away, to the first, to the last"),
        PanelKeys(("Return",), "show the examples of the cell or class"),
    ),
)

#: In the order of tabs and menus.
PANELS: Tuple[PanelDeclaration, ...] = (
    QUANTIZATION,
    RUN_SETTINGS,
    HISTOGRAMS,
    NETWORK,
    TENSOR,
    EVOLUTION,
    LAYERS,
    EVENTS,
    MOMENTS,
    SENSITIVITY,
    BUDGET,
    CHIP,
    DRIFT,
    CHANNELS,
    PREDICTIONS,
)
