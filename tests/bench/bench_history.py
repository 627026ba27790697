"""Memory and time of the history of a long run."""

import time

import numpy as np

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES
from qatviz.telemetry.history import History

NAMES = ("history_mb_million_steps", "history_append_us")
NUM_STEPS = 1_000_000
NUM_TENSORS = 30
SNAPSHOT_INTERVAL = 50  # steps; more often than the default, so that this track fills its buckets, too
EVALUATION_INTERVAL = 200
NUM_DISTINCT_ROWS = 256


def million_step_history() -> History:
    """Return an empty history with the layout of a network of 30 quantized tensors."""
    tensors = [f"tensor{i}" for i in range(NUM_TENSORS)]
    return History(
        {
            "steps": ["loss", "learning_rate"] + [f"{t}.{m}" for m in STEP_MEASURES for t in tensors],
            "snapshots": [f"snapshot.{t}.{m}" for m in SNAPSHOT_MEASURES for t in tensors],
            "evaluations": ["float", "weights_only", "activations_only", "quantized"],
        }
    )


def run(names):
    """Append a million rows and measure: those of the figures that ``names`` asks for, as ``{"name", "value",
    "unit"}``."""
    history = million_step_history()
    random = np.random.RandomState(0)
    rows = {
        track: list(random.normal(size=(NUM_DISTINCT_ROWS, len(history.names(track)))).astype(np.float32))
        for track in ("steps", "snapshots", "evaluations")
    }
    begin = time.perf_counter()
    for step in range(1, NUM_STEPS + 1):
        history.append("steps", step, rows["steps"][step % NUM_DISTINCT_ROWS])
        if step % SNAPSHOT_INTERVAL == 0:
            history.append("snapshots", step, rows["snapshots"][step // SNAPSHOT_INTERVAL % NUM_DISTINCT_ROWS])
        if step % EVALUATION_INTERVAL == 0:
            history.append("evaluations", step, rows["evaluations"][step % NUM_DISTINCT_ROWS])
    seconds = time.perf_counter() - begin
    loss = history.series("loss")
    assert int(loss.count.sum()) == NUM_STEPS, f"{loss.count.sum()} of {NUM_STEPS} steps are in the history"
    figures = [
        {"name": "history_mb_million_steps", "value": history.nbytes / 1e6, "unit": "MB"},
        {"name": "history_append_us", "value": seconds / NUM_STEPS * 1e6, "unit": "us"},
    ]
    return [figure for figure in figures if figure["name"] in names]
