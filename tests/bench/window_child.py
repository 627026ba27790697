"""Child process of bench_window: a real window with a real run, drawn by Qt's software renderer; prints one line of
JSON."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
#: Seconds of each slice, and number of pairs that are compared.
SLICE_S, PAIRS = 4.0, 10
WARM_UP_S, MEASURED_S = 6.0, 25.0
HEARTBEAT_MS, POLL_MS = 2, 50
CLICKS = 30
#: Everything visible: no tab hides what could be drawn.
EVERYTHING = "everything"


def make_application(settings_folder):
    """Return the application, with an event loop that measures the time of each event."""
    from PyQt5 import QtCore, QtWidgets

    class Timed(QtWidgets.QApplication):
        """Record the time of each top-level event (those not handled within another)."""

        depth, turns = 0, []

        def notify(self, receiver, event):
            kind = event.type()
            if self.depth:
                return super().notify(receiver, event)
            self.depth = 1
            begin, cpu = time.perf_counter(), time.thread_time()
            try:
                return super().notify(receiver, event)
            finally:
                self.depth = 0
                self.turns.append((begin, time.perf_counter() - begin, kind, time.thread_time() - cpu))

    app = Timed(["qatviz"])
    from qatviz.app.main import Application

    return app, Application(QtCore.QSettings(os.path.join(settings_folder, "settings.ini"), QtCore.QSettings.IniFormat))


def wait(app, until, timeout_s=120.0, poll_ms=POLL_MS):
    """Run the event loop itself, which sleeps when idle, until ``until()`` is true."""
    from PyQt5 import QtCore

    deadline, seen = time.perf_counter() + timeout_s, []

    def poll():
        seen[:] = [until()]
        if seen[0] or time.perf_counter() > deadline:
            app.quit()

    timer = QtCore.QTimer(interval=poll_ms, timerType=QtCore.Qt.PreciseTimer)
    timer.timeout.connect(poll)
    timer.start()
    app.exec_()
    timer.stop()
    if not seen[0]:
        raise RuntimeError(f"the condition was not met within {timeout_s:g} s")


def watch(app, seconds):
    """Let the event loop run for ``seconds``."""
    end = time.perf_counter() + seconds
    wait(app, lambda: time.perf_counter() >= end, seconds + 60)


def throughput(app, window):
    """Measure the median over pairs of slices of the ratio of steps/s with the window drawing to steps/s with it hidden
    and drained like in a terminal."""
    run, ratios = window.model.run, []
    watch(app, WARM_UP_S)

    def shown():
        window.show()
        window.bridge.start()
        watch(app, 0.5)  # the cost of showing a window is not measured
        return rate(lambda: watch(app, SLICE_S))

    def hidden():
        window.bridge.stop()
        window.hide()
        watch(app, 0.5)

        def follow():
            end = time.perf_counter() + SLICE_S
            while time.perf_counter() < end:
                run.drain()
                time.sleep(0.1)

        return rate(follow)

    def rate(follow):
        begin, first = time.perf_counter(), run.step
        follow()
        return (run.step - first) / (time.perf_counter() - begin)

    for pair in range(PAIRS):
        with_window, without = (shown(), hidden()) if pair % 2 else reversed((hidden(), shown()))
        ratios.append(with_window / without)
    window.show()
    window.bridge.start()
    return {
        "value": float(np.median(ratios)),
        "lowest": min(ratios),
        "highest": max(ratios),
        "steps_per_second": with_window,
    }


def frames(app, window):
    """Measure the 95th percentile of frame times, and the longest stall of the event loop, in ms."""
    from PyQt5 import QtCore

    watch(app, WARM_UP_S)
    beats = []
    heart = QtCore.QTimer(interval=HEARTBEAT_MS, timerType=QtCore.Qt.PreciseTimer)
    heart.timeout.connect(lambda: beats.append(time.perf_counter()))
    del app.turns[:]
    heart.start()
    watch(app, MEASURED_S)
    heart.stop()
    drawn = [
        (begin, np.array([seconds, cpu]))
        for begin, seconds, kind, cpu in app.turns
        if kind in (QtCore.QEvent.UpdateRequest, QtCore.QEvent.Timer, QtCore.QEvent.MetaCall)
    ]
    # A frame is a tick that led to painting, and the painting itself.
    frames, paints = [], {begin for begin, _, kind, _ in app.turns if kind == QtCore.QEvent.UpdateRequest}
    tick = np.zeros(2)
    for begin, seconds in drawn:
        if begin in paints:
            frames.append(tick + seconds)
            tick = np.zeros(2)
        else:
            tick = seconds
    times, cpu = np.array(frames).T
    return {
        "value": float(np.percentile(times, 95)) * 1e3,
        "median_ms": float(np.median(times)) * 1e3,
        "cpu_p95_ms": float(np.percentile(cpu, 95)) * 1e3,  # of the window's thread, which does not wait for others
        "frames_per_second": len(times) / MEASURED_S,
        "stall_ms": float(np.diff(beats).max()) * 1e3 - HEARTBEAT_MS,
    }


def latency(app, window):
    """Measure the time from a click on a check box until the step of its effect is shown, minus the time of a step, in
    ms."""
    panel = window.panels["quantization"]
    times, step_s = clicks(app, window, lambda name: not window.edits.pending and not panel.is_due())
    return {
        "value": float(np.median(times) - step_s) * 1e3,
        "p95_ms": float(np.percentile(times, 95) - step_s) * 1e3,
        "step_ms": step_s * 1e3,
    }


def visible(app, window):
    """Measure the time from a click on a check box until distribution and codes are redrawn, in ms."""
    from qatviz.gui.model.run_model import SETTINGS, SNAPSHOT

    model, panel, heard = window.model, window.panels["tensor"], {SETTINGS: [], SNAPSHOT: []}
    model.changed.connect(lambda topic: heard.get(topic, []).append(time.perf_counter()))
    begins = []
    times, step_s = clicks(
        app,
        window,
        lambda name: model.settings_at(model.snapshot, name) == model.settings_of(name) and not panel.is_due(),
        begins,
    )

    def segment(topic, after):
        """Return for each click the time until the first ``topic`` heard after the times ``after``."""
        return np.array([next(at for at in heard[topic] if at >= begin) for begin in after])

    applied = segment(SETTINGS, begins)
    return {
        "value": float(np.median(times)) * 1e3,
        "p95_ms": float(np.percentile(times, 95)) * 1e3,
        "step_ms": step_s * 1e3,
        "applied_ms": float(np.median(applied - begins)) * 1e3,
        "snapshot_ms": float(np.median(segment(SNAPSHOT, applied) - begins)) * 1e3,
    }


def drag(app, window):
    """Measure the time from a move of the dragged bits slider until the tile shows the levels of its value, in ms."""
    from PyQt5 import QtCore, QtGui, QtTest, QtWidgets

    watch(app, WARM_UP_S)
    name = window.model.current
    slider = window.panels["quantization"].sections["weights"].controls["num_bits"].editor.slider
    tile, times, applied = window.panels["histograms"].canvas.tile(name), [], []
    y = slider.height() // 2

    def is_drawn(bits):
        content = tile.content
        texts = (content.badge.text, "" if content.pending is None else content.pending.brief[2:])
        return any(text.split(" ")[0] == f"w{bits}" for text in texts)

    QtTest.QTest.mousePress(slider, QtCore.Qt.LeftButton, pos=QtCore.QPoint(slider.width() - 2, y))
    for number in range(2 * CLICKS):
        place, before = QtCore.QPoint(slider.width() * (1 + number * 5 % 9) // 10, y), slider.value()
        event = QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove,
            place,
            slider.mapToGlobal(place),
            QtCore.Qt.NoButton,
            QtCore.Qt.LeftButton,
            QtCore.Qt.NoModifier,
        )
        begin = time.perf_counter()
        QtWidgets.QApplication.sendEvent(slider, event)
        if slider.value() != before:
            bits = window.edits.value(name, "num_bits")
            wait(app, lambda: is_drawn(bits), poll_ms=HEARTBEAT_MS)
            times.append(time.perf_counter() - begin)
            applied.append(window.model.settings_of(name).num_bits)
        watch(app, 0.05)
    QtTest.QTest.mouseRelease(slider, QtCore.Qt.LeftButton, pos=place)
    return {
        "value": float(np.median(times)) * 1e3,
        "p95_ms": float(np.percentile(times, 95)) * 1e3,
        "moves": len(times),
        "changes_during_the_drag": int(np.count_nonzero(np.diff(applied))),
    }


def age(app, window):
    """Measure the largest age of a visible tile, in seconds of training."""
    panel, ages = window.panels["histograms"], []
    watch(app, WARM_UP_S)
    end = time.perf_counter() + MEASURED_S

    def is_over():
        shown = [panel._painted[name][1] for name in panel.canvas.visible_names() if name in panel._painted]
        ages.append(window.model.age_s(min(shown)))
        return time.perf_counter() >= end

    wait(app, is_over)
    return {"value": max(ages), "median_s": float(np.median(ages)), "load": os.getloadavg()[0]}


def clicks(app, window, is_visible, begins=None):
    """Return the seconds from each click on a check box until ``is_visible(tensor)``, and those of a step.

    The times of the clicks are appended to ``begins``.
    """
    from PyQt5 import QtCore, QtTest, QtWidgets

    watch(app, WARM_UP_S)
    name, begins = window.model.current, [] if begins is None else begins
    panel = window.panels["quantization"]
    box = panel.sections["weights"].controls["narrow_range"].editor.findChild(QtWidgets.QCheckBox)
    times = []
    for _ in range(CLICKS):
        wanted = not window.model.settings_of(name).narrow_range
        begin = time.perf_counter()
        begins.append(begin)
        QtTest.QTest.mouseClick(box, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(8, box.height() // 2))
        wait(
            app,
            lambda: window.model.settings_of(name).narrow_range == wanted and is_visible(name),
            poll_ms=HEARTBEAT_MS,
        )
        times.append(time.perf_counter() - begin)
        watch(app, 0.3)
    return times, 1 / window.model.steps_per_second()


def open_panel(app, window, name):
    """Show a panel in front of others; the two moments are the first snapshot and the newest."""
    window.docks.open(name)
    if name == "moments":
        wait(app, lambda: len(window.model.past()) > 1)
        window.model.compare_with(0)


def main(kind, network, width, height, show):
    """Open the window and measure ``throughput``, ``frames``, ``latency``, ``visible``, ``drag`` or ``age``."""
    from qatviz.gui.panels.declarations import PANELS
    from qatviz.session.request import NO_LIMIT, NewRunRequest

    with tempfile.TemporaryDirectory() as folder:
        app, application = make_application(folder)
        window = application.open_window()
        window.resize(int(width), int(height))
        window.docks.arrange()
        window.launcher.begin(NewRunRequest(network=network, steps=NO_LIMIT, out=os.path.join(folder, "run")))
        wait(app, lambda: window.model.snapshot is not None and window.model.step > 5)
        if show == EVERYTHING:
            window.model.select([t.name for t in window.model.tensors])
        if show in (panel.name for panel in PANELS):
            open_panel(app, window, show)
        kinds = {
            "throughput": throughput,
            "frames": frames,
            "latency": latency,
            "visible": visible,
            "drag": drag,
            "age": age,
        }
        try:
            result = kinds[kind](app, window)
        finally:
            tensors = len(window.model.tensors)
            window.close()
            application.finish()
    print(json.dumps(dict(result, tensors=tensors)), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(*sys.argv[1:])
