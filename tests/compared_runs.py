"""Runs to compare, without records."""

import numpy as np

from qatviz.analysis.comparison import LOSS, ComparedRun, Track
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.telemetry.run_summary import RunSummary

BOOK = SettingsBook.from_preset(quantization_plan(zoo.build("mlp", (28, 28, 1), 10)), "tflite-int8")


def track(steps, values, step_s=0.5):
    steps = np.array(steps, np.float64)
    return Track(steps, steps * step_s, np.array(values, np.float64))


def run(name="a", tracks=None, changes=(), seed=0, metric="accuracy", examples=64, sqnr=None, step_s=0.5, **more):
    tracks = tracks or {LOSS: track(range(1, 11), np.arange(10.0), step_s)}
    book, _ = BOOK.change(list(changes))
    snapshot = None
    if sqnr is not None:
        count = len(book.plan.tensors)
        values = np.zeros((len(SNAPSHOT_MEASURES), count), np.float32)
        values[SNAPSHOT_MEASURES.index("sqnr_db")] = sqnr
        snapshot = Snapshot(10, 1.0, values, {}, (8,) * count, (True,) * count)
    summary = RunSummary("/runs/" + name, network="mlp", metric=metric, step=10, weight_bytes=1000)
    about = {"network": {}, "batch_size": 32, "seed": seed, "data_name": "digits", "optimizer": "adam"}
    return ComparedRun(summary, about, book, tracks, snapshot=snapshot, examples=examples, **more)
