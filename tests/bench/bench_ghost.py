"""Time from an edit in hold mode to its painted preview: grid, error and size of a tensor of a million weights."""

import os
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, Sequence

import numpy as np

NAME = "ghost_ms/million_weights"
NAMES = (NAME,)
TENSOR, SIDE = "wide.weights", 1000
#: Edits, all different.
EDITS = [("num_bits", bits) for bits in (3, 4, 5, 6, 7, 2)] + [
    ("symmetric", False),
    ("narrow_range", False),
    ("per_channel", False),
    ("power_of_two", True),
]
ROUNDS = 4


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figure."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gui"))
    from PyQt5 import QtCore, QtWidgets
    from staging import StagedRun

    from qatviz.gui.model.context import Context
    from qatviz.gui.model.edits import HOLD, Edits
    from qatviz.gui.model.run_model import RunModel
    from qatviz.gui.panels.tensor.panel import TensorPanel
    from qatviz.gui.widgets.theme import DARK, Theme
    from qatviz.network.graph import Network
    from qatviz.network.layers import Dense
    from qatviz.protocol.snapshots import TensorValues, read_only

    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    model, theme = RunModel(), Theme(DARK)
    theme.apply()
    context = Context(model, Edits(model), theme, QtCore.QSettings(os.devnull, QtCore.QSettings.IniFormat))
    context.edits.set_mode(HOLD)
    network = Network("wide", (SIDE,), (Dense("wide", "input", units=SIDE), Dense("logits", "wide", units=10)))
    staged = StagedRun(network)
    model.set_run(staged, network, staged.book, "wide", 1.0)
    staged.advance(2)
    model.process(staged.drain())
    model.select([TENSOR])
    panel = TensorPanel(context)
    panel.resize(400, 700)
    panel.show()
    values = np.random.RandomState(0).normal(0, 0.05, (SIDE, SIDE)).astype(np.float32)
    model.process([TensorValues(staged.step, TENSOR, read_only(values))])
    times = []
    for _ in range(ROUNDS):
        for setting, value in EDITS:
            app.processEvents()
            begin = time.perf_counter()
            context.edits.edit([TENSOR], setting, value)
            panel.refresh()
            panel.grab()  # painted
            times.append(time.perf_counter() - begin)
            context.edits.discard()
    panel.close()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    yield {
        "name": NAME,
        "unit": "ms",
        "value": float(np.median(times)) * 1e3,
        "highest": max(times) * 1e3,
        "p95_ms": float(np.percentile(times, 95)) * 1e3,
        "values": values.size,
    }
