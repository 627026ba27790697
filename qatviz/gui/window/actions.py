"""Everything that menus, buttons and keys can do, each declared once."""

from typing import Callable, Dict, NamedTuple, Tuple

from PyQt5 import QtGui, QtWidgets

SEPARATOR = ""


class Declaration(NamedTuple):
    """``short`` is the text of the button, where there is one. ``keys`` work in the whole window. ``bare_keys`` (space,
    arrows, letters) only where the focused widget has no use for them; the window looks after those.
    """

    text: str
    help: str
    keys: Tuple[str, ...] = ()
    bare_keys: Tuple[str, ...] = ()
    short: str = ""


DECLARATIONS = {
    "new_run": Declaration(
        "New run…", "Choose a network, data and settings, and start a run.", ("Ctrl+N",), (), "New run"
    ),
    "open_run": Declaration(
        "Open run…", "Show what is recorded in a run directory; it can then be gone on with.", ("Ctrl+O",), (), "Open"
    ),
    "open_data": Declaration("Open data set…", "Start a new run on a data set of your own."),
    "export": Declaration(
        "Export model…",
        "Write the network as a file that runs elsewhere, with the proof that it "
        "computes what is seen here. Training goes on.",
        ("Ctrl+Shift+E",),
        (),
        "Export",
    ),
    "save_picture": Declaration("Save picture of the window…", "The whole window as a PNG file.", ("Ctrl+Shift+P",)),
    "save_table": Declaration("Save table of tensors…", "All measures of all tensors as a CSV file."),
    "report": Declaration(
        "Save report…", "The whole run as one HTML file: curves, histograms, settings, events, exports."
    ),
    "tensorboard": Declaration(
        "Write TensorBoard files…", "Scalars and histograms of the run as TensorBoard event files."
    ),
    "quit": Declaration("Quit", "Stop the run, keep everything, and close the window.", ("Ctrl+Q",)),
    "undo": Declaration(
        "Undo setting", "Restore the settings that the last change replaced; training goes on.", ("Ctrl+Z",), (), "Undo"
    ),
    "redo": Declaration(
        "Redo setting", "Make the change that was undone again.", ("Ctrl+Shift+Z", "Ctrl+Y"), (), "Redo"
    ),
    "go_back": Declaration(
        "Go back to before the last change",
        "Set the whole run, weights and all, back to before the last change of settings.",
        ("Ctrl+Alt+Z",),
        (),
        "Go back",
    ),
    "go_forward": Declaration(
        "Take going back back", "Set the run to where it was before it was set back.", ("Ctrl+Alt+Y",)
    ),
    "apply": Declaration(
        "Apply pending settings", "Send what was collected in hold mode to the run.", ("Ctrl+Return",)
    ),
    "discard": Declaration("Discard pending settings", "Forget what was collected in hold mode.", ("Ctrl+Backspace",)),
    "pause": Declaration("Pause", "Wait after the step in flight, or go on.", (), ("Space",)),
    "step": Declaration("One step", "Take one training step, then pause.", (), ("Right",), "Step"),
    "step_10": Declaration("Ten steps", "Take ten training steps, then pause.", (), ("Shift+Right",)),
    "stop": Declaration("Stop", "End the run; everything is kept.", ("Ctrl+.",)),
    "resume": Declaration(
        "Go on with this run", "Train on from the last checkpoint of the run that is shown.", ("Ctrl+R",)
    ),
    "fork": Declaration(
        "Fork…", "Start a second run from a checkpoint of this one, in a window of its own.", ("Ctrl+Shift+N",)
    ),
    "evaluate": Declaration(
        "Evaluate now", "Measure how good the network is on held-out data, four ways.", ("Ctrl+E",), (), "Evaluate"
    ),
    "checkpoint": Declaration("Checkpoint now", "Keep the present state of the run.", ("Ctrl+S",), (), "Checkpoint"),
    "more_bits": Declaration("More bits", "One bit more for the selected tensors.", (), ("+", "=")),
    "fewer_bits": Declaration("Fewer bits", "One bit less for the selected tensors.", (), ("-",)),
    "next_tensor": Declaration("Next tensor", "Select the next tensor.", (), ("Down", "N")),
    "previous_tensor": Declaration("Previous tensor", "Select the tensor before.", (), ("Up", "P")),
    "reset_layout": Declaration("Reset layout", "Put all panels back to where they were at first.", ("Ctrl+Shift+R",)),
    "full_screen": Declaration("Full screen", "Use the whole screen, or stop to.", ("F11",)),
    "larger": Declaration("Larger text", "Make all text larger.", ("Ctrl++", "Ctrl+=")),
    "smaller": Declaration("Smaller text", "Make all text smaller.", ("Ctrl+-",)),
    "normal_size": Declaration("Normal text", "Make all text as large as the system's.", ("Ctrl+0",)),
    "shortcuts": Declaration("Keyboard shortcuts", "List all keys.", ("F1",)),
    "about": Declaration("About qatviz", "Version, and what the colours and terms mean."),
}

MENUS = {
    "&File": (
        "new_run",
        "open_run",
        "open_data",
        SEPARATOR,
        "export",
        "report",
        "save_picture",
        "save_table",
        "tensorboard",
        SEPARATOR,
        "quit",
    ),
    "&Edit": (
        "undo",
        "redo",
        SEPARATOR,
        "apply",
        "discard",
        SEPARATOR,
        "more_bits",
        "fewer_bits",
        "next_tensor",
        "previous_tensor",
    ),
    "&Run": (
        "pause",
        "step",
        "step_10",
        "stop",
        SEPARATOR,
        "evaluate",
        "checkpoint",
        SEPARATOR,
        "go_back",
        "go_forward",
        SEPARATOR,
        "resume",
        "fork",
    ),
    "&View": ("reset_layout", "full_screen", SEPARATOR, "larger", "smaller", "normal_size"),
    "&Help": ("shortcuts", "about"),
}
TOOLBAR = (
    "pause",
    "step",
    "stop",
    SEPARATOR,
    "undo",
    "redo",
    "go_back",
    SEPARATOR,
    "evaluate",
    "checkpoint",
    "fork",
    "export",
    SEPARATOR,
    "new_run",
    "open_run",
)


def make_actions(window: QtWidgets.QWidget, handlers: Dict[str, Callable[[], None]]) -> Dict[str, QtWidgets.QAction]:
    """The actions by name; ``handlers`` has a function for each."""
    made = {}
    for name, declared in DECLARATIONS.items():
        action = QtWidgets.QAction(declared.text, window)
        keys = [QtGui.QKeySequence(key) for key in declared.keys]
        action.setShortcuts(keys)
        action.setIconText(declared.short or declared.text.rstrip("…"))
        shown = (declared.keys or declared.bare_keys or ("",))[0]
        action.setToolTip(
            "<b>{}</b>{}<br>{}".format(declared.text.rstrip("…"), f" ({shown})" if shown else "", declared.help)
        )
        action.setStatusTip("")
        action.setObjectName(name)
        action.triggered.connect(lambda _=False, handler=handlers[name]: handler())
        if declared.bare_keys and not declared.keys:
            action.setProperty("bare_keys", list(declared.bare_keys))
        made[name] = action
    return made


def bare_key_map() -> Dict[str, str]:
    """Action by key, of the keys that work where no widget has a use for them."""
    return {QtGui.QKeySequence(key).toString(): name for name, d in DECLARATIONS.items() for key in d.bare_keys}
