"""Main window: it assembles panels, actions, docks and status bar, and reacts to the run."""

import time
from typing import List, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.availability import ACTIVE_STATES
from qatviz.gui.model.bridge import Bridge
from qatviz.gui.model.chip import ChipUpdates
from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.frames import Effort, Frames
from qatviz.gui.model.launcher import WORKS, Launcher
from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import RUN, SELECTION, SNAPSHOT, STATE, RunModel
from qatviz.gui.panels.declarations import PANELS
from qatviz.gui.widgets import icons
from qatviz.gui.widgets.banner import BAD, GOOD, NOTE, WARNING, Banner
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.theme import SYSTEM, THEMES, Theme
from qatviz.gui.window import actions as a
from qatviz.gui.window.base import Recent, RunWindow
from qatviz.gui.window.correction_bar import CorrectionBar
from qatviz.gui.window.docks import Docks
from qatviz.gui.window.exports import Exports
from qatviz.gui.window.panel_requests import PanelRequests
from qatviz.gui.window.panels import Panels
from qatviz.gui.window.place import Place
from qatviz.gui.window.scope_field import ScopeField
from qatviz.gui.window.status import StatusBar
from qatviz.gui.window.time_bar import TimeBar
from qatviz.gui.window.toolbar import RunToolBar
from qatviz.gui.window.window_actions import WindowActions
from qatviz.presentation.event_texts import non_finite_text, record_failure_text
from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import Evaluate
from qatviz.protocol.reasons import RecordPart
from qatviz.protocol.snapshots import Snapshot
from qatviz.session.prepared import Prepared
from qatviz.telemetry.run_handle import NEW, PAUSED, RunHandle

#: Maximum time (s) that other windows stand still while one waits for its run to write its state; what takes longer is
#: waited for at the end of the program.
CLOSING_S = 2.5
DEFAULT_SIZE = QtCore.QSize(1280, 800)


class MainWindow(RunWindow):
    """Window with one run.

    Parameters
    ----------
    theme : Theme
        Theme of all windows.
    settings : QSettings
        Storage of remembered values.
    launcher : Launcher
    """

    #: Emitted with a Prepared run to show in a new window.
    window_wanted = QtCore.pyqtSignal(object)
    #: Emitted with the address of a machine to connect, the command that runs qatviz there, and its server's token.
    connection_wanted = QtCore.pyqtSignal(str, str, str)
    #: Emitted when the window has closed.
    closed = QtCore.pyqtSignal()

    def __init__(self, theme: Theme, settings: QtCore.QSettings, launcher: Launcher):
        super().__init__()
        self.setWindowTitle("qatviz")
        self.setAcceptDrops(True)
        self.setMinimumSize(900, 560)
        self.theme, self.settings, self.launcher = theme, settings, launcher
        self.model = RunModel(self)
        self.edits = Edits(self.model, self)
        self.frames = Frames(self)
        self.bridge = Bridge(self.model, self.frames, self)
        self._is_closed = False
        #: The state after the last change of settings, until a snapshot of it, or of a later one, is shown.
        self._unseen: Optional[BranchPoint] = None
        self._has_record_failed = False
        #: Settings of the run that has ended whose evaluation was requested last.
        self._asks = True  # whether closing asks for confirmation
        self.prepared: Optional[Prepared] = None
        #: Runs shown before that may not have ended yet.
        self._ending: List[RunHandle] = []
        self.recent = Recent(settings)
        self.chip = ChipUpdates(self.model, launcher, settings, self)
        self.context = Context(self.model, self.edits, theme, settings, launcher)
        self.panels = Panels(self.context, self)
        self.panels.for_each(self.frames.add)
        self.exports = Exports(self)
        self.handlers = WindowActions(self, self.exports)
        self.named = a.make_actions(self, self.handlers.by_name())
        self._bare_keys = a.bare_key_map()
        self.place = Place(self)
        self._setup_ui()
        self._connect()
        self.bridge.start()
        self._on_theme()

    # The shown run

    def show_prepared(self, prepared: Prepared) -> None:
        """Show a run, and start it if it is new. The previous run is left as by :meth:`close_run`."""
        self._leave_run()
        self.prepared = prepared
        notices = sorted(prepared.notices, key=lambda notice: not notice.is_warning)
        self.model.set_run(
            prepared.run,
            prepared.network,
            prepared.book,
            prepared.title,
            prepared.batches_per_epoch,
            prepared.log,
            prepared.snapshots,
            [notice.labelled for notice in notices],
            prepared.directory,
        )
        if prepared.run.state == NEW:
            prepared.run.start()
            if prepared.book.run.evaluation_interval:  # the effect of quantization before any training
                prepared.run.send(Evaluate())
        if prepared.directory:
            self.recent.add(prepared.directory)
        if notices:
            texts = [notice.text for notice in notices]
            level = WARNING if notices[0].is_warning else NOTE
            more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
            self.banner.show_message(texts[0] + more, level, "\n\n".join(texts) if more else "")
        self._on_state()
        self._focus_tiles()

    def close_run(self) -> None:
        self._leave_run()
        self.prepared = None
        self.model.close_run()
        self._focus_tiles()

    def _leave_run(self) -> None:
        """Leave the shown run, if there is one, and hide its message; it is stopped if no other window can show it."""
        self.model.leave_run()
        if self.model.run is not None:
            self._ending = [run for run in (*self._ending, self.model.run) if not run.wait(0)]
        self.banner.dismiss()

    # Parts

    def _setup_ui(self) -> None:
        self.banner = Banner(self.theme, self.handlers.show_details)
        rows = [None if name == a.SEPARATOR else self.named[name] for name in a.TOOLBAR]
        bar = RunToolBar(rows, [self.named[name] for name in a.ICON_FIRST])
        self.addToolBar(bar)
        self.addToolBarBreak()
        self.time = TimeBar(self.model, self.edits, self.theme)
        self.addToolBar(self.time)
        self.addToolBarBreak()
        holder = QtWidgets.QToolBar("Messages")
        holder.setObjectName("messages")
        holder.setMovable(False)
        banner_action = holder.addWidget(self.banner)
        self.addToolBar(holder)
        holder.setContextMenuPolicy(QtCore.Qt.PreventContextMenu)
        self.banner.has_message.connect(banner_action.setVisible)
        self.banner.has_message.connect(holder.setVisible)
        self.banner.dismiss()
        self.setStatusBar(StatusBar(self.model, self.frames, self.theme, self.launcher.place))
        self.statusBar().add_work(CorrectionBar(self, self.handlers.fork_with_relu))
        self.docks = Docks(self, self.panels)
        self._make_menus()
        self.resize(DEFAULT_SIZE)
        self.docks.arrange()
        self.docks.restore(self.settings)
        self.time.follow(self)
        self._focus_tiles()

    def _focus_tiles(self) -> None:
        """Give the focus to the tiles, which leave the keys of the run (Space, +, −, N, P) to the window."""
        self.panels["histograms"].setFocus()

    def _make_menus(self) -> None:
        self._recent_menu = QtWidgets.QMenu("Open recent", self)
        self._recent_menu.aboutToShow.connect(self._fill_recent)
        submenus = {a.OPEN_RECENT: self._recent_menu, a.THEME: self._theme_menu(), a.PANELS: self._panels_menu()}
        for title, names in a.MENUS.items():
            menu = self.menuBar().addMenu(title)
            menu.setToolTipsVisible(True)
            for name in names:
                if name == a.SEPARATOR:
                    menu.addSeparator()
                elif name in submenus:
                    menu.addMenu(submenus[name])
                else:
                    menu.addAction(self.named[name])
        self.menuBar().setCornerWidget(ScopeField(self.context))

    def _theme_menu(self) -> QtWidgets.QMenu:
        menu, group = QtWidgets.QMenu("Theme", self), QtWidgets.QActionGroup(self)
        for name in THEMES:
            action = menu.addAction("Follow the system" if name == SYSTEM else name.capitalize())
            action.setCheckable(True)
            action.setChecked(self.theme.name == name)
            action.triggered.connect(lambda _, name=name: self.handlers.use_theme(name))
            group.addAction(action)
        return menu

    def _panels_menu(self) -> QtWidgets.QMenu:
        menu = QtWidgets.QMenu("Panels", self)
        for dock in self.docks.docks.values():
            menu.addAction(dock.toggleViewAction())
        for group in self.docks.groups:
            menu.addSection(group)
            for panel in PANELS:
                if panel.group == group:
                    action = menu.addAction(panel.title, lambda name=panel.name: self.docks.open(name))
                    action.setToolTip(panel.about)
        menu.setToolTipsVisible(True)
        return menu

    def _connect(self) -> None:
        self.model.changed.connect(self._on_topic)
        self.model.happened.connect(self._on_event)
        self.edits.changed.connect(self._on_edits)
        # The preview of an edit is drawn at once, whatever else is out of date.
        self.edits.changed.connect(self._draw_soon)
        self.theme.changed.connect(self._on_theme)
        self.edits.refused.connect(lambda text: self.banner.show_message(text, WARNING))
        self.launcher.prepared.connect(self._on_prepared)
        self.launcher.failed.connect(self.show_failure)
        self.launcher.busy.connect(self.model.await_run)
        self.launcher.busy.connect(self.statusBar().show_busy)
        self.launcher.written.connect(lambda text: self.banner.show_message(text, GOOD))
        PanelRequests(self)
        self.panels.for_each(self._connect_panel)
        self.time.comparison_begun.connect(lambda: self.docks.open("moments"))

    def _connect_panel(self, panel: Panel) -> None:
        if panel.name in ("histograms", "layers"):
            panel.tensor_opened.connect(lambda _: self.docks.open("tensor"))
        if panel.name == "histograms":
            panel.view_changed.connect(self.place.show_histograms)
        elif panel.name == "chip":
            panel.show_target(self.chip.target)
            panel.target_chosen.connect(self.chip.choose)
        elif panel.name == "events":
            panel.step_chosen.connect(self._on_step_chosen)

    # Changes of the run and the user's edits

    def _on_topic(self, topic: str) -> None:
        if topic in (RUN, STATE):
            self._on_state()
        if topic in (RUN, SELECTION):
            self.frames.touch()
        if topic == MOMENT:
            self._draw_soon()
        if topic in (RUN, SELECTION):
            self.place.show_histograms()
        if topic == RUN:
            self._unseen, self._has_record_failed = None, False
        if topic == SNAPSHOT and self._unseen is not None and _shows(self.model.snapshot, self._unseen):
            self._unseen = None
            self._draw_soon()

    def _draw_soon(self) -> None:
        """Draw without delay; first the panels that show levels."""
        self.frames.touch(self.panels.among("histograms", "tensor"))

    def _on_state(self) -> None:
        state, named = self.model.state, self.named
        is_active = self.model.is_steered
        for name in (
            "pause",
            "step",
            "step_10",
            "stop",
            "checkpoint",
            "go_back",
            "go_forward",
        ):
            named[name].setEnabled(is_active)
            named[name].setToolTip(a.tooltip(name, self.model.unavailable_text()))
        for name in ("evaluate", "more_bits", "fewer_bits"):
            named[name].setEnabled(is_active or self.model.ended)
            named[name].setToolTip(a.tooltip(name, "" if self.model.ended else self.model.unavailable_text()))
        named["resume"].setEnabled(bool(self.directory) and state not in ACTIVE_STATES)
        for name in ("fork", "fork_both", "sweep"):
            named[name].setEnabled(bool(self.directory))
        for name in ("close_run", "export", "report", "tensorboard", "load_recipe", "save_recipe"):
            named[name].setEnabled(self.prepared is not None)
        paused = state == PAUSED
        named["pause"].setText(a.menu_text("pause", "Continue" if paused else "Pause"))
        named["pause"].setIconText("Continue" if paused else "Pause")
        named["pause"].setIcon(self._icon("play" if paused else "pause"))
        self.place.update()
        self._on_edits()

    def _icon(self, name: str) -> QtGui.QIcon:
        return icons.icon(name, self.theme.color("text"), self.theme.color("line"))

    def _on_theme(self) -> None:
        for name in set(icons.NAMES) & set(self.named):
            self.named[name].setIcon(self._icon(name))
        self._on_state()
        self.frames.touch()  # all panels change their colours

    def _on_edits(self) -> None:
        for name, can, what in (
            ("undo", self.edits.can_undo, self.edits.describe_undo()),
            ("redo", self.edits.can_redo, self.edits.describe_redo()),
        ):
            self.named[name].setEnabled(can)
            help_text = a.DECLARATIONS[name].help
            self.named[name].setToolTip(
                f"<b>{a.DECLARATIONS[name].text}</b> "
                f"({a.DECLARATIONS[name].keys[0]})<br>{help_text}{'<br>' + what if what else ''}"
            )
        self.named["apply"].setEnabled(bool(self.edits.unsent) and not self.edits.are_previews)
        self.named["discard"].setEnabled(bool(self.edits.unsent))

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CommandApplied) and event.has_effect:
            self._unseen = event.point  # the user waits for a snapshot of it
        if isinstance(event, events.Failed):
            again = ("Resume from the last checkpoint", self.handlers.resume) if self.directory else ("", None)
            self.banner.show_message(
                f"Training failed after step {event.step:,}: {event.message}", BAD, event.traceback, *again
            )
        elif isinstance(event, events.NonFinite):
            self.banner.show_message(
                f"{non_finite_text(event).capitalize()}. The run was rewound to step {event.restored_step:,} "
                "and is paused: a lower learning rate may help.",
                BAD,
            )
        elif isinstance(event, events.WorkersLost):
            self.banner.show_message(
                f"Workers lost: {event.message}. The run is paused with its last good state, and continues when they "
                "answer.",
                BAD,
                "",
                "Continue with the others",
                self.handlers.continue_without,
            )
        elif isinstance(event, events.WorkersBack):
            self.banner.show_message(f"The run continues on {', '.join(event.workers)}.", GOOD)
        elif isinstance(event, events.RecordFailed):
            # Where the record has failed, checkpoints fail, too, which is the lesser loss.
            if not (self._has_record_failed and event.part is RecordPart.CHECKPOINT):
                self.banner.show_message(record_failure_text(event), BAD)
            self._has_record_failed |= event.part is RecordPart.RECORD
        elif isinstance(event, events.Finished):
            self.banner.show_message(
                f"All {event.step:,} training steps are done.",
                GOOD,
                "",
                "Train longer",
                self.handlers.train_longer if self.directory else None,
            )

    def _on_step_chosen(self, step: int) -> None:
        self.docks.open("evolution")
        self.panels["evolution"].go_to(step)

    def _on_prepared(self, prepared: Prepared, new_window: bool) -> None:
        if new_window:
            self.window_wanted.emit(prepared)
        else:
            self.show_prepared(prepared)

    def _fill_recent(self) -> None:
        self._recent_menu.clear()
        for path in self.recent.paths():
            action = self._recent_menu.addAction(
                path.replace("&", "&&"), lambda path=path: self.handlers.open_path(path)
            )
            action.setToolTip(plain_tip(path))
        if not self.recent.paths():
            self._recent_menu.addAction("None yet").setEnabled(False)

    # Qt

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() != QtCore.QEvent.UpdateRequest:
            return super().event(event)
        effort = Effort()
        handled = super().event(event)  # paints the updated panels
        self.frames.painted(effort.seconds)
        return handled

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.WindowStateChange:
            self.place.show_histograms()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        self.place.show_histograms()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        """Trigger the action of a key that the focused widget has not used."""
        key = QtGui.QKeySequence(int(event.modifiers() & ~QtCore.Qt.KeypadModifier) | event.key()).toString()
        name = self._bare_keys.get(key)
        if name is None:
            super().keyPressEvent(event)
        elif self.named[name].isEnabled():
            self.named[name].trigger()

    def dragEnterEvent(self, event: QtGui.QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QtGui.QDropEvent) -> None:
        if self.launcher.place:
            text = f"This window shows files of {self.launcher.place}: files of this machine can't be opened in it."
            self.banner.show_message(text, WARNING)
            return
        self.handlers.open_path(event.mimeData().urls()[0].toLocalFile())

    def close_without_asking(self) -> None:
        """Close the window without asking for confirmation."""
        self._asks = False
        self.close()

    def end_runs(self, timeout_s: float) -> bool:
        """Leave the shown run and those shown before, and wait until all have ended and are written.

        Returns False if they have not within ``timeout_s``. A run that other windows can show is not waited for.
        """
        runs = self._ending + ([self.model.run] if self.model.run is not None else [])
        deadline = time.monotonic() + timeout_s
        for run in runs:
            run.leave()
        have_ended = [run.wait(max(0.0, deadline - time.monotonic())) for run in runs]
        return all(have_ended)

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        if self._is_closed:  # Qt asks again when the program ends
            return
        if self._asks and not self.handlers.may_close():
            event.ignore()
            return
        self._is_closed = True
        self.docks.remember(self.settings)
        self.settings.sync()
        self.bridge.stop()
        self.hide()
        self.exports.cancel()
        self.chip.stop()
        self.handlers.leave()
        for kind in WORKS:
            self.launcher.cancel(kind)
        self.end_runs(CLOSING_S)
        self.exports.close()
        event.accept()
        self.closed.emit()


def _shows(snapshot: Optional[Snapshot], change: BranchPoint) -> bool:
    """Return whether a snapshot is of the state after a change, or of a later one."""
    if snapshot is None:
        return False
    if snapshot.branch != change.branch or snapshot.position is None or change.position is None:
        return True  # the run was rewound since
    return snapshot.position >= change.position
