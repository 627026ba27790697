"""A large user-defined model: MobileNetV2 at 96x96, imported from Keras, trained with quantization and live
changes."""

import time
from typing import Dict, Iterator, Sequence

import numpy as np

START, STEP, GROWTH = (f"imported_{name}/mobilenetv2_96" for name in ("start_s", "step_ms", "growth_mb"))
NAMES = (START, STEP, GROWTH)
EXAMPLES, BATCH_SIZE, STEPS = 200, 16, 70
#: Steps after which memory is compared: by then every kind of work has been done once.
SETTLED = 30
#: Number of steps between changes of settings.
CHANGE_EVERY = 5


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``, all in one run."""
    import tensorflow.compat.v1 as tf

    from qatviz.data import from_arrays
    from qatviz.protocol.commands import ChangeSettings
    from qatviz.protocol.snapshots import StepRecord
    from qatviz.session.begin import new_spec
    from qatviz.session.models import object_model
    from qatviz.training.handle import Run

    random = np.random.RandomState(0)
    labels = np.arange(EXAMPLES) % 10
    images = random.randint(0, 256, (EXAMPLES, 96, 96, 3)).astype(np.uint8)
    data = from_arrays("noise", "the benchmark", (images, labels))
    with tf.Graph().as_default(), tf.Session().as_default():
        keras = tf.keras.applications.MobileNetV2(input_shape=(96, 96, 3), weights=None, classes=10)
        model = object_model(keras, data)
    begin, first = time.perf_counter(), 0.0
    training = Run(new_spec(model, data, "noise", batch_size=BATCH_SIZE, steps=STEPS))
    training.start()
    seconds, memory, changed = [], {}, 0
    while not training.wait(0.05):
        for item in training.drain():
            if isinstance(item, StepRecord):
                first = first or time.perf_counter() - begin
                seconds.append(item.seconds)
                memory[item.step] = _resident_mb()
                if item.step // CHANGE_EVERY > changed:
                    changed = item.step // CHANGE_EVERY
                    training.send(ChangeSettings((("*.weights.num_bits", 4 + changed % 2 * 4),)))
    tensors = len(training.spec.plan.tensors)
    if training.state != "finished":
        raise RuntimeError(f"the run is {training.state}")
    figures = {
        START: ("s", first),
        STEP: ("ms", float(np.median(np.diff(seconds))) * 1e3),
        GROWTH: ("MB", max(memory.values()) - memory[min(step for step in memory if step >= SETTLED)]),
    }
    for name in names:
        unit, value = figures[name]
        yield {
            "name": name,
            "unit": unit,
            "value": value,
            "tensors": tensors,
            "steps": STEPS,
            "changes": changed,
            "resident_mb": max(memory.values()),
        }


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
