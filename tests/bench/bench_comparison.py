"""Time to open a comparison of many long runs, and to show another moment of a run."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "gui")]

from recorded_samples import record_run  # noqa: E402

from qatviz.metric import MODES  # noqa: E402
from qatviz.protocol import events  # noqa: E402
from qatviz.protocol.run_spec import described_plan as plan_of  # noqa: E402
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord  # noqa: E402
from qatviz.session.catalogue import read_catalogue  # noqa: E402
from qatviz.session.comparison import read_comparison  # noqa: E402
from qatviz.telemetry.record.run_record import RunRecord  # noqa: E402

NAMES = ("comparison_20_runs_s", "catalogue_20_runs_ms", "time_slider_ms")
RUNS, STEPS = 20, 100_000
#: Steps committed at a time: a run of 300 steps per second commits every 0.3 s.
_COMMITTED = 100
_SNAPSHOTS, _MOVES = 40, 30


def long_run(directory):
    """Record a run of lenet with ``STEPS`` steps and an evaluation every 500."""
    record_run(directory, network="lenet", steps=0, ending=False)
    random = np.random.RandomState(0)
    with RunRecord.open(directory) as record:
        tensors = len(plan_of(RunRecord.read(directory).description).tensors)
        values = random.rand(_COMMITTED, len(STEP_MEASURES), tensors).astype(np.float32)
        for step in range(1, STEPS + 1):
            loss = float(2.3 * np.exp(-step / 20_000) + 0.05 * random.rand())
            record.append_step(StepRecord(step, step / 300, loss, 1e-3, values[step % _COMMITTED]))
            if step % 500 == 0:
                score = 0.97 - 0.5 * np.exp(-step / 20_000)
                record.append_event(events.Evaluated(step, dict.fromkeys(MODES, score), 1000, 0.1))
            if step % _COMMITTED == 0:
                record.commit()
        record.append_event(events.Finished(STEPS))
    return directory


def run(names):
    """Yield the figures that ``names`` asks for, as ``{"name", "value", "unit"}``."""
    if set(names) & {"comparison_20_runs_s", "catalogue_20_runs_ms"}:
        yield from _records(names)
    if "time_slider_ms" in names:
        value, cpu = _slider_ms()
        yield {"name": "time_slider_ms", "value": value, "unit": "ms", "bar": 50, "cpu_ms": cpu}


def _records(names):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"run{number}" for number in range(RUNS)]
        long_run(paths[0])
        for path in paths[1:]:
            shutil.copytree(str(paths[0]), str(path))
        if "comparison_20_runs_s" in names:
            app, window = _application(), _window(folder)
            begin, cpu = time.perf_counter(), time.process_time()
            found = read_comparison([str(path) for path in paths])
            _draw_comparison(app, window, found, paths)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            window.close_without_asking()
            assert len(found.runs) == RUNS and found.runs[0].summary.step == STEPS
            yield {"name": "comparison_20_runs_s", "value": seconds, "unit": "s", "bar": 2, "cpu_s": cpu}
        if "catalogue_20_runs_ms" in names:
            begin = time.perf_counter()
            read_catalogue(folder)
            first = time.perf_counter() - begin
            begin = time.perf_counter()
            read_catalogue(folder)
            again = time.perf_counter() - begin
            yield {"name": "catalogue_20_runs_ms", "value": 1e3 * again, "unit": "ms", "first_ms": 1e3 * first}


def _application():
    from PyQt5 import QtWidgets

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["bench"])


def _window(folder):
    """Return a window whose settings are stored in ``folder``."""
    from PyQt5 import QtCore
    from window_stage import make_window

    return make_window(QtCore.QSettings(os.path.join(folder, "settings.ini"), QtCore.QSettings.IniFormat))


def _draw_comparison(app, window, found, paths):
    """Show a comparison in its window."""
    from qatviz.gui.dialogs.comparison.dialog import ComparisonDialog

    dialog = ComparisonDialog(window.context, window.launcher, [str(path) for path in paths])
    dialog.show()
    window.launcher.comparison_read.emit(dialog.directories, found)
    app.processEvents()
    assert dialog.curves.charts[0].shapes(False)
    dialog.close()


def _slider_ms():
    """Return the median time (ms) to show another moment of a lenet run in the window, and that of the processor."""
    from staging import StagedRun
    from window_stage import prepared_of

    app = _application()
    with tempfile.TemporaryDirectory() as folder:
        window = _window(folder)
        window.resize(1280, 800)
        window.show()
        staged = StagedRun("lenet")
        window.show_prepared(prepared_of(staged))
        for _ in range(_SNAPSHOTS):
            window.model.process(staged.advance(1).drain())
        times, cpu = [], []
        for step in np.linspace(1, _SNAPSHOTS - 1, _MOVES).astype(int):
            begin, used = time.perf_counter(), time.process_time()
            window.model.look_back(int(step))
            for panel in window.panels.all():
                while panel.is_due():
                    panel.refresh()
            app.processEvents()
            times.append(time.perf_counter() - begin)
            cpu.append(time.process_time() - used)
        window.close_without_asking()
    return [1e3 * float(np.median(part[_MOVES // 3 :])) for part in (times, cpu)]
