"""Declarations of the actions of menus, buttons and keys."""

from typing import Callable, Dict, List, NamedTuple, Tuple

from PyQt5 import QtGui, QtWidgets

from qatviz.gui.widgets.panel import keys_text
from qatviz.protocol.corrections import CORRECTION_KINDS

SEPARATOR = ""
#: Submenus, which the window fills.
OPEN_RECENT, THEME, PANELS = "open_recent", "theme", "panels"


class Declaration(NamedTuple):
    """Declaration of an action.

    Attributes
    ----------
    text, help : str
        Text in the menu; tooltip.
    keys : tuple of str
        Shortcuts in the whole window, except while text is typed.
    bare_keys : tuple of str
        Keys (space, arrows, letters) that trigger it where the focused widget does not use them.
    short : str
        Text of the button, if it differs from that in the menu.
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
        "Open run…", "Show a recorded run, which can then be resumed or forked.", ("Ctrl+O",), (), "Open"
    ),
    "connect": Declaration(
        "Connect…",
        "Show and steer runs on another machine in a new window, over ssh or a port of a server there.",
        ("Ctrl+K",),
    ),
    "runs": Declaration(
        "Browse runs…",
        "List all recorded runs with their results: search, sort, label, open, compare, delete them.",
        ("Ctrl+B",),
        (),
        "Runs",
    ),
    "open_data": Declaration("Open data set…", "Start a new run on your own data set."),
    "close_run": Declaration("Close run", "Stop the run if it trains, and show none; its record stays.", ("Ctrl+W",)),
    "export": Declaration(
        "Export model…",
        "Write the network to a file for another runtime, with the proof that it computes the same. Training "
        "continues.",
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
    "load_recipe": Declaration(
        "Load recipe…",
        "Set the quantizers as a file of rules says; the change is pending in Hold mode, and undone at once.",
    ),
    "save_recipe": Declaration(
        "Save recipe…", "The settings of all quantizers, pending ones included, as a file of rules for other runs."
    ),
    "quit": Declaration("Quit", "Stop the run and close all windows; records are kept.", ("Ctrl+Q",)),
    "undo": Declaration(
        "Undo setting change",
        "Restore the settings that the last change replaced; training continues.",
        ("Ctrl+Z",),
        (),
        "Undo",
    ),
    "redo": Declaration(
        "Redo setting change", "Apply the last undone change again.", ("Ctrl+Shift+Z", "Ctrl+Y"), (), "Redo"
    ),
    "go_back": Declaration(
        "Rewind to before the last change",
        "Restore the whole run, weights included, as it was before the last change of settings.",
        ("Ctrl+Alt+Z",),
        (),
        "Rewind",
    ),
    "go_forward": Declaration("Redo rewind", "Restore the run as it was before the rewind.", ("Ctrl+Alt+Y",)),
    "apply": Declaration(
        "Apply pending settings", "Apply the changes collected in Hold mode.", ("Ctrl+Return", "Ctrl+Enter")
    ),
    "discard": Declaration(
        "Discard pending settings", "Discard the changes collected in Hold mode.", ("Ctrl+Backspace",)
    ),
    "pause": Declaration("Pause", "Pause after the present training step, or continue.", (), ("Space",)),
    "step": Declaration("One step", "Train one step, then pause.", (".",), ("Right",), "Step"),
    "step_10": Declaration("Ten steps", "Train ten steps, then pause.", (">",), ("Shift+Right",)),
    "stop": Declaration("Stop", "End the run; its final state is saved, and it can be resumed.", ("Ctrl+.",)),
    "resume": Declaration(
        "Resume this run", "Continue training from the last checkpoint of the shown run.", ("Ctrl+R",)
    ),
    "steer": Declaration("Ask to steer", "Ask the window that steers this run to hand over to this one."),
    "fork": Declaration(
        "Fork…", "Start a second run from a checkpoint of this run, in a new window.", ("Ctrl+Shift+N",)
    ),
    "fork_both": Declaration(
        "Fork both…",
        "Train two settings side by side on the same batches from one checkpoint, and draw the difference live.",
        ("Ctrl+Alt+N",),
    ),
    "sweep": Declaration(
        "Sweep…", "Train all combinations of settings and seeds from one checkpoint, in several processes."
    ),
    "evaluate": Declaration(
        "Evaluate now",
        "Evaluate on held-out data: float, weights only, activations only, and quantized.",
        ("Ctrl+E",),
        (),
        "Evaluate",
    ),
    "checkpoint": Declaration("Checkpoint now", "Save the present state of the run.", ("Ctrl+S",), (), "Checkpoint"),
    **{
        kind.name: Declaration(
            kind.label, f"{kind.help} Training waits meanwhile; Rewind undoes it. Its effect is evaluated."
        )
        for kind in CORRECTION_KINDS.values()
    },
    "cancel_correction": Declaration("Cancel correction", "End the correction in progress; the run stays as it is."),
    "more_bits": Declaration(
        "More bits", "Increase the bit width of the tensors that changes apply to by one.", (), ("+", "=")
    ),
    "fewer_bits": Declaration(
        "Fewer bits", "Decrease the bit width of the tensors that changes apply to by one.", (), ("-",)
    ),
    "next_tensor": Declaration("Next tensor", "Select the next tensor.", (), ("N", "Down")),
    "previous_tensor": Declaration("Previous tensor", "Select the previous tensor.", (), ("P", "Up")),
    "reset_layout": Declaration("Reset layout", "Restore the default arrangement of the panels.", ("Ctrl+Shift+R",)),
    "decide": Declaration(
        "Decide",
        "Show the panels that help to decide which bits go where: sensitivity, budget, and what quantization breaks.",
        ("Ctrl+D",),
    ),
    "full_screen": Declaration("Full screen", "Enter or leave full-screen mode.", ("F11",)),
    "larger": Declaration("Larger text", "Make all text larger.", ("Ctrl++", "Ctrl+=")),
    "smaller": Declaration("Smaller text", "Make all text smaller.", ("Ctrl+-",)),
    "normal_size": Declaration("Normal text", "Use the system's text size.", ("Ctrl+0",)),
    "shortcuts": Declaration("Keyboard shortcuts", "List all keyboard shortcuts.", ("F1",)),
    "glossary": Declaration("Glossary", "Meaning of the colours, measures and settings."),
    "about": Declaration("About qatviz", "Version of the program."),
}

#: Actions and submenus by the title of the menu.
MENUS = {
    "&File": (
        "new_run",
        "open_run",
        "runs",
        "connect",
        OPEN_RECENT,
        "open_data",
        "close_run",
        SEPARATOR,
        "export",
        "report",
        "save_picture",
        "save_table",
        "tensorboard",
        SEPARATOR,
        "load_recipe",
        "save_recipe",
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
        "fork_both",
        "sweep",
        SEPARATOR,
        "steer",
    ),
    "&Correct": (*(kind.name for kind in CORRECTION_KINDS.values()), SEPARATOR, "cancel_correction"),
    "&View": (
        "decide",
        PANELS,
        "reset_layout",
        "full_screen",
        SEPARATOR,
        "larger",
        "smaller",
        "normal_size",
        SEPARATOR,
        THEME,
    ),
    "&Help": ("shortcuts", "glossary", "about"),
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
    "runs",
)
#: Actions whose text is left out first where the tool bar is narrow, as their icons are known.
ICON_FIRST = ("undo", "redo", "stop", "step", "evaluate", "checkpoint", "fork", "go_back")


def make_actions(window: QtWidgets.QWidget, handlers: Dict[str, Callable[[], None]]) -> Dict[str, QtWidgets.QAction]:
    """Return the actions by name; ``handlers`` has a function for each."""
    made = {}
    for name, declared in DECLARATIONS.items():
        action = QtWidgets.QAction(menu_text(name), window)
        action.setShortcuts([QtGui.QKeySequence(key) for key in declared.keys])
        action.setIconText(declared.short or declared.text.rstrip("…"))
        action.setToolTip(tooltip(name))
        action.setStatusTip("")
        action.setObjectName(name)
        action.triggered.connect(lambda _=False, handler=handlers[name]: handler())
        made[name] = action
    return made


def bare_key_map() -> Dict[str, str]:
    """Return the actions' names by the keys that trigger them where the focused widget does not use the key."""
    return {QtGui.QKeySequence(key).toString(): name for name, d in DECLARATIONS.items() for key in d.bare_keys}


def tooltip(name: str, unavailable: str = "") -> str:
    """Return an action's tooltip; ``unavailable`` is the reason why it is disabled, if it is."""
    declared = DECLARATIONS[name]
    key = keys_text((declared.keys or declared.bare_keys)[:1])
    name_and_key = f"<b>{declared.text.rstrip('…')}</b>" + (f" ({key})" if key else "")
    head = f"{name_and_key}<br>{declared.help}"
    return f"{head}<br><i>{unavailable}</i>" if unavailable else head


def menu_text(name: str, text: str = "") -> str:
    """Return an action's text in the menu (default: the declared one), with its bare key if it has no shortcut."""
    declared = DECLARATIONS[name]
    text = text or declared.text
    return f"{text}\t{keys_text(declared.bare_keys[:1])}" if declared.bare_keys and not declared.keys else text


def menu_keys() -> List[Tuple[str, List[Tuple[str, str]]]]:
    """Return the menus' titles, each with its actions that have keys, and these keys."""
    return [
        (
            title.replace("&", ""),
            [
                (declared.text.rstrip("…"), keys_text(declared.keys + declared.bare_keys))
                for declared in (DECLARATIONS[name] for name in names if name in DECLARATIONS)
                if declared.keys or declared.bare_keys
            ],
        )
        for title, names in MENUS.items()
    ]
