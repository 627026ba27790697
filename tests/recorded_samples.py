"""Records of runs that look trained, made without TensorFlow in a fraction of a second."""

import numpy as np

from qatviz.metric import MODES
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord
from qatviz.telemetry.record.run_record import RunRecord

#: Float accuracy of evaluations approaches this; the quantized one is less by the loss per missing bit.
BEST, PER_BIT = 0.97, 0.02
STEP_S = 0.01


def loss_at(step, seed=0):
    return 2.3 * np.exp(-step / 40) + 0.05 + 0.001 * seed


def record_run(
    directory, bits=8, seed=0, steps=20, interval=5, network="mlp", first=0, snapshots=(), ending=True, **about
):
    """Record a run of ``steps`` training steps, evaluated every ``interval``; ``about`` are entries of its description.

    ``snapshots`` are appended; ``first`` is the step of its start, if it is a fork.
    """
    built = zoo.build(network, (28, 28, 1), 10)
    book = SettingsBook.from_preset(quantization_plan(built), "tflite-int8")
    if bits != 8:
        book, _ = book.change([("*.weights.num_bits", bits)])
    description = {
        "network": built.to_dict(),
        "data": "mnist-5k",
        "data_name": "mnist-5k",
        "task": "classification",
        "batch_size": 32,
        "optimizer": "adam",
        "seed": seed,
        "steps": steps,
        "settings": book.to_dict(),
        "schedule": [],
        **about,
    }
    shape = (len(STEP_MEASURES), len(book.plan.tensors))
    with RunRecord.create(directory, description) as record:
        record.append_event(events.Started(first, 0.0, ""))
        for step in range(first, steps + 1):
            if step > first:
                values = np.full(shape, 0.1 + step / 1000, np.float32)
                record.append_step(StepRecord(step, step * STEP_S, loss_at(step, seed), 1e-3, values))
            if step % interval == 0 and step > first:
                score = BEST - 0.5 * np.exp(-step / 20)
                scores = (score, score, score, score - PER_BIT * (8 - bits))
                record.append_event(events.Evaluated(step, dict(zip(MODES, scores)), 1000, 0.1))
        for snapshot in snapshots:
            record.append_snapshot(snapshot)
        if ending:
            record.append_event(events.Finished(steps))
    return directory
