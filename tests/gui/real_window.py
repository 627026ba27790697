"""Driver of the real program: opened like a user does, used by mouse and keyboard, read back from the display.

Run as a program by test_real_window.py, in a process of its own and on the display there is: ``real_window.py SCENARIO
DIR``. A scenario is a generator: it acts, and yields what it waits for (a function) or how many milliseconds. The last
line that is printed is a JSON object of what was seen.
"""

import json
import os
import sys
import threading
import time
import traceback

import numpy as np
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from waiting import ENDLESS_S, Patience, Stalled

#: Training steps within which what a scenario waits for has come.
MOST_STEPS = 10_000
LAYER = "conv1.weights"


class Driver:
    """Steps a scenario from within the event loop."""

    def __init__(self, window, scenario, seen):
        self.window, self.seen, self.errors = window, seen, []
        self._scenario = scenario(self)
        self._until, self._patience, self._elapsed = None, None, QtCore.QElapsedTimer()
        self._timer = QtCore.QTimer(interval=15)
        self._timer.timeout.connect(self._on_tick)
        self._timer.start()

    def _on_tick(self):
        try:
            if callable(self._until) and not self._until():
                failure = self.window.model.failure
                assert failure is None, f"{failure.message}\n{failure.traceback}"
                self._patience.look()
                return
            if isinstance(self._until, (int, float)) and self._elapsed.elapsed() < self._until:
                return
            self._timer.stop()  # what the scenario does may run the loop
            self._until = next(self._scenario)
            self._patience = Patience("the scenario", (lambda: self.window.model.step, MOST_STEPS))
            self._elapsed.start()
            self._timer.start()
        except StopIteration:
            self.window.close()
        except BaseException as error:
            self._timer.stop()
            where = traceback.format_stack(self._scenario.gi_frame)[-1:] if isinstance(error, Stalled) else []
            self.errors.append("".join([traceback.format_exc(), *where, repr(self.seen)]))
            self.window.handlers.may_close = lambda: True
            self.window.close()

    # Acting

    def press(self, key, modifiers=QtCore.Qt.NoModifier):
        QtWidgets.QApplication.setActiveWindow(self.window)  # an X server without a window manager activates none
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget() or self.window, key, modifiers)

    def click(self, widget, where=None):
        QtTest.QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, where or widget.rect().center())

    def control(self, kind, setting):
        return self.window.panels["quantization"].sections[kind].controls[setting]

    def type_bits(self, kind, bits):
        box = self.control(kind, "num_bits").editor.findChild(QtWidgets.QAbstractSpinBox)
        self.click(box)
        box.setFocus()
        box.selectAll()
        QtTest.QTest.keyClicks(box, str(bits))
        QtTest.QTest.keyClick(box, QtCore.Qt.Key_Return)

    def switch(self, kind, setting):
        box = self.control(kind, setting).editor.findChild(QtWidgets.QCheckBox)
        self.click(box, QtCore.QPoint(8, box.height() // 2))

    def pick_tile(self, name):
        canvas = self.canvas()
        canvas.show_tile(name)
        self.click(canvas.viewport(), canvas.rect_of(name).center())

    def canvas(self):
        return self.window.panels["histograms"].canvas

    # Reading

    def codes(self):
        """Return the codes in use, and the number of bars painted, counted in the pixels of the plot."""
        plot = self.window.panels["tensor"].codes
        counted = [int(code) for code, count in zip(plot.codes, plot.counts) if count]
        return {
            "codes": counted,
            "bars": bars_in(plot, self.window.theme),
            "step": self.window.model.snapshot.step,
            "scale": float(self.window.model.measure(LAYER, "scale")),
        }

    def table_text(self, tensor, column):
        """Return the text of a cell in the table of layers."""
        self.window.docks.open("layers")
        table = self.window.panels["layers"].table()
        names = list(table)
        row = list(table[next(n for n in names if n.lower() in ("tensor", "name"))]).index(tensor)
        return table[column][row]

    def is_settled(self, name, **settings):
        """Return whether settings are in effect, nothing is pending, and a later snapshot is drawn."""
        model, panel = self.window.model, self.window.panels["tensor"]
        effective = model.settings_of(name)
        steps = [model.applied_at.get((name, s), 0) for s in settings]
        return (
            all(getattr(effective, s) == v for s, v in settings.items())
            and not self.window.edits.pending
            and model.snapshot.step > max(steps)
            and not panel.is_due()
        )


def bars_in(plot, theme):
    """Count the separate stretches of bar colours along the line just above the baseline."""
    image = plot.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asarray(image.byteCount()), np.uint8).reshape(
        image.height(), image.width(), 4
    )
    base = int(plot.area[3] * image.width() / plot.width())
    inked = np.zeros(image.width(), bool)
    for name in ("in_range", "range_edge"):
        color = theme.color(name)
        for row in range(base - 6, base):
            inked |= (abs(pixels[row, :, :3].astype(int) - [color.blue(), color.green(), color.red()]) < 24).all(axis=1)
    inked[1:-1] |= inked[:-2] & inked[2:]  # the axis' tick crosses a low bar
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inked.astype(int), [0]])) == 1)
    return len(edges)


def bits_and_undo(d):
    """Change one layer: the change is visible, and other layers stay unchanged."""
    window, seen = d.window, d.seen
    yield lambda: window.model.snapshot is not None and window.model.step > 3
    seen["title"], seen["device"] = window.windowTitle(), QtGui.QGuiApplication.platformName()
    yield lambda: LAYER in d.canvas().names()
    d.pick_tile(LAYER)
    yield lambda: window.model.current == LAYER and not window.panels["tensor"].is_due()
    seen["before"] = d.codes()
    others = [t.name for t in window.model.tensors if t.name != LAYER]
    seen["others"] = {name: window.model.settings_of(name).num_bits for name in others}
    asked = window.model.step
    d.type_bits("weights", 2)
    yield lambda: d.is_settled(LAYER, num_bits=2)
    seen["applied_after_steps"] = window.model.applied_at[LAYER, "num_bits"] - asked
    seen["two_bits"] = d.codes()
    seen["others_after"] = {name: window.model.settings_of(name).num_bits for name in others}
    d.switch("weights", "narrow_range")
    yield lambda: d.is_settled(LAYER, narrow_range=False)
    seen["wide"] = d.codes()
    seen["lowest_wide"] = int(window.panels["tensor"].codes.codes[0])
    d.switch("weights", "narrow_range")
    yield lambda: d.is_settled(LAYER, narrow_range=True)
    seen["lowest_narrow"] = int(window.panels["tensor"].codes.codes[0])
    for _ in range(3):
        before = window.model.settings_of(LAYER)
        d.press(QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
        yield lambda: window.model.settings_of(LAYER) != before and not window.edits._undoing
    yield lambda: d.is_settled(LAYER, num_bits=8, narrow_range=True)
    seen["undone"] = d.codes()
    yield from symmetric(d)
    yield from keys(d)


def symmetric(d):
    """Make activations symmetric: their zero point is 0."""
    window, seen = d.window, d.seen
    name = "conv1.activations"
    d.pick_tile(name)
    yield lambda: window.model.current == name and not window.panels["tensor"].is_due()
    seen["zero_point_affine"] = window.model.measure(name, "zero_point")
    d.switch("activations", "symmetric")
    yield lambda: d.is_settled(name, symmetric=True)
    window.docks.open("layers")
    yield lambda: not window.panels["layers"].is_due()
    table = window.panels["layers"].table()
    column = next(key for key in table if key.lower().replace("_", " ") in ("zero point", "zero"))
    names = list(next(table[key] for key in table if key.lower() in ("tensor", "name")))
    seen["zero_point_symmetric"] = float(table[column][names.index(name)])


def keys(d):
    """Space pauses, Right takes one step, Space continues."""
    window, seen = d.window, d.seen
    window.setFocus()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Space)
    yield lambda: window.model.state == "paused"
    paused_at = window.model.step
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Right)
    yield lambda: window.model.step == paused_at + 1 and window.model.state == "paused"
    yield 200
    seen["single_step"] = window.model.step - paused_at
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Space)
    yield lambda: window.model.step > paused_at + 3


def divergence(d):
    """Start at a learning rate that diverges: the run reports it, pauses, and continues at a lower rate.

    A rate that is raised later may leave a network without any gradient, whose loss stays finite.
    """
    window, seen = d.window, d.seen
    yield lambda: window.banner.isVisible() and window.model.state == "paused"
    seen["message"] = window.banner.text.text()
    window.edits.edit(["run"], "learning_rate", 1e-4)
    window.named["pause"].trigger()
    step = window.model.step
    yield lambda: window.model.step > step + 3
    seen["went_on"] = True


def lost_disk(d):
    """Remove the directory of the record: the window reports it, and the run continues."""
    import shutil

    window, seen = d.window, d.seen
    yield lambda: window.model.step > 3
    shutil.rmtree(window.prepared.directory)
    window.named["checkpoint"].trigger()
    # The checkpoint may fail first, but the message explains the loss only once the record has failed, too.
    yield lambda: "no longer recorded" in window.banner.text.text()
    seen["disk"] = window.banner.text.text()
    step = window.model.step
    yield lambda: window.model.step > step + 3
    seen["went_on"] = True


def bad_data(d):
    """Enter an invalid data set for a new run: the dialog gives the reason, and the shown run continues."""
    window, seen = d.window, d.seen
    yield lambda: window.model.step > 3
    path = os.path.join(os.path.dirname(window.prepared.directory), "broken.npz")
    with open(path, "wb") as file:
        file.write(b"this is no archive")
    window.handlers.open_path(path)
    dialog = QtWidgets.QApplication.activeModalWidget()
    yield lambda: "data" in dialog.problems()
    seen["data"], seen["path"] = dialog.problems()["data"], path
    dialog.reject()
    step = window.model.step
    yield lambda: window.model.step > step


def files(d):
    """Both faults of files, one after the other."""
    yield from bad_data(d)
    yield from lost_disk(d)


def monkey(d):
    """Random actions while training."""
    window, seen = d.window, d.seen
    random = np.random.RandomState(int(os.environ.get("QATVIZ_MONKEY_SEED", "1")))
    yield lambda: window.model.snapshot is not None
    harmless = [
        n
        for n in window.named
        if n
        not in (
            "quit",
            "new_run",
            "open_run",
            "open_data",
            "save_picture",
            "save_table",
            "load_recipe",
            "save_recipe",
            "report",
            "tensorboard",
            "export",
            "fork",
            "about",
            "glossary",
            "shortcuts",
            "full_screen",
            "stop",
            "resume",
        )
    ]
    slow = ("larger", "smaller", "normal_size", "reset_layout")  # the whole window is laid out anew
    names = [n for n in harmless if n not in slow] * 8 + [n for n in harmless if n in slow]
    window.named["stop"].setVisible(False)  # an ended run has less to do
    answer = QtCore.QTimer(window, interval=50)  # menus and dialogs wait for the user
    answer.timeout.connect(close_popups)
    answer.start()
    done, most, minutes = 0, int(os.environ["QATVIZ_MONKEY_ACTIONS"]), float(os.environ["QATVIZ_MONKEY_MINUTES"])
    end = time.monotonic() + 60 * minutes
    while done < most or time.monotonic() < end:
        for _ in range(20):
            act(d, random, names)
            done += 1
        yield 1
    seen["actions"] = done  # the timer goes on: the message of an error would block the window until its end
    window.edits.set_mode("live")
    step = window.model.step

    def has_continued():
        """Return whether training continues; pauses and single steps may still be waiting in the queue."""
        if window.model.state == "paused":
            window.named["pause"].trigger()
            return False
        return window.model.step > step + 2 or window.model.ended

    yield has_continued
    seen["state"], seen["steps"] = window.model.state, window.model.step
    seen["failure"] = window.model.failure.traceback if window.model.failure else ""


def close_popups():
    """Close menus and dialogs that are open."""
    for popup in (QtWidgets.QApplication.activePopupWidget(), QtWidgets.QApplication.activeModalWidget()):
        if popup is not None:
            popup.close()


def act(d, random, names):
    """One random action: an action of the window, a key, a click, a wheel turn, an edit, a dock."""
    window = d.window
    kind = random.choice(7, p=[0.15, 0.2, 0.2, 0.15, 0.15, 0.03, 0.12])  # laying out docks takes long
    widgets = [w for w in window.findChildren(QtWidgets.QWidget) if w.isVisible() and w.width() > 4 and w.height() > 4]
    widget = widgets[random.randint(len(widgets))]
    place = QtCore.QPoint(random.randint(widget.width()), random.randint(widget.height()))
    if kind == 0:
        window.named[names[random.randint(len(names))]].trigger()
    elif kind == 1:
        keys = [
            QtCore.Qt.Key_Up,
            QtCore.Qt.Key_Down,
            QtCore.Qt.Key_Left,
            QtCore.Qt.Key_Right,
            QtCore.Qt.Key_Tab,
            QtCore.Qt.Key_Space,
            QtCore.Qt.Key_Escape,
            QtCore.Qt.Key_PageDown,
            QtCore.Qt.Key_5,
            QtCore.Qt.Key_F,
        ]
        QtTest.QTest.keyClick(widget, keys[random.randint(len(keys))])
    elif kind == 2:
        QtTest.QTest.mouseMove(widget, place)
        QtTest.QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    elif kind == 3:
        point = QtCore.QPointF(place)
        turn = QtGui.QWheelEvent(
            point,
            QtCore.QPointF(widget.mapToGlobal(place)),
            QtCore.QPoint(),
            QtCore.QPoint(0, int(random.choice([-120, 120]))),
            QtCore.Qt.NoButton,
            QtCore.Qt.NoModifier,
            QtCore.Qt.NoScrollPhase,
            False,
        )
        QtWidgets.QApplication.sendEvent(widget, turn)
    elif kind == 4 and window.model.book is not None:
        tensors = [t.name for t in window.model.tensors]
        name = tensors[random.randint(len(tensors))]
        setting, value = [
            ("num_bits", int(random.randint(2, 17))),
            ("symmetric", bool(random.randint(2))),
            ("narrow_range", bool(random.randint(2))),
            ("enabled", bool(random.randint(2))),
        ][random.randint(4)]
        window.edits.edit([name], setting, value)
    elif kind == 5:
        docks = list(window.docks.docks.values())
        dock = docks[random.randint(len(docks))]
        [dock.show, dock.raise_, dock.close, lambda: dock.setFloating(not dock.isFloating())][random.randint(4)]()
    elif window.model.tensors:
        names = [t.name for t in window.model.tensors]
        window.model.select([names[i] for i in set(random.randint(len(names), size=3))])
        window.edits.set_mode(["live", "hold"][random.randint(2)])


#: Options and run settings of the runs; plain gradient descent diverges at once where Adam's steps stay bounded.
OPTIONS = {"divergence": {"optimizer": "sgd"}}
RUN_SETTINGS = {"divergence": {"learning_rate": 100.0}}
SCENARIOS = {f.__name__: f for f in (bits_and_undo, divergence, files, monkey)}


def main(scenario, folder):
    """Open the window as ``qatviz window`` does, drive it, and print the observations."""
    from qatviz.app import main as application
    from qatviz.gui.window import main_window
    from qatviz.session.request import NO_LIMIT, NewRunRequest
    from qatviz.settings import RunSettings

    seen, drivers = {}, []
    made = application.Application.open_window

    def open_window(self, *awaited):
        window = made(self, *awaited)
        drivers.append(Driver(window, SCENARIOS[scenario], seen))
        return window

    def leave(code):
        seen.update(
            errors=drivers[0].errors + caught,
            code=code,
            steps_after_closing=0 if closing["run"] is None else closing["run"].step - closing["step"],
            threads=[t.name for t in threading.enumerate() if t.name.startswith("qatviz") and t.is_alive()],
        )
        print(json.dumps(seen), flush=True)
        exit_now(code)

    caught, closing, exit_now = [], {"run": None}, os._exit
    report = application.Application.report

    def record_error(self, kind, error, trace):
        caught.append("".join(traceback.format_exception(kind, error, trace)))
        report(self, kind, error, trace)

    close = application.MainWindow.closeEvent

    def watched_close(self, event):
        run = self.model.run
        if run is not None:
            stop = run.request_stop

            def watched_stop():
                closing.update(run=run, step=run.step)
                stop()

            run.request_stop = watched_stop
        close(self, event)

    application.Application.open_window, application.Application.report = open_window, record_error
    application.MainWindow.closeEvent = watched_close
    main_window.CLOSING_S = ENDLESS_S  # a machine under load need not end the run in time
    os._exit = leave
    out = os.path.join(folder, "run")
    run = RunSettings(**RUN_SETTINGS.get(scenario, {}))
    application.open_window(NewRunRequest(steps=NO_LIMIT, out=out, run=run, **OPTIONS.get(scenario, {})))


if __name__ == "__main__":
    main(*sys.argv[1:])
