"""Runs on data in files begin at once: they read what they train on, and samples, but not the whole data."""

import numpy as np
from tensorflow_needed import needs_tensorflow

import qatviz
from qatviz.data import from_arrays, write_store
from qatviz.data.streamed import StoredArray

pytestmark = needs_tensorflow

COUNT, SHAPE, BATCH_SIZE, STEPS = 30_000, (16, 16, 1), 16, 3


def test_a_run_reads_a_small_part_of_the_examples_before_it_trains(tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    x, y = random.randint(0, 256, (COUNT, *SHAPE)).astype(np.uint8), np.arange(COUNT) % 10
    write_store(from_arrays("many", "test", (x, y), (x[:50], y[:50])), tmp_path / "store")
    read, largest = [], []
    read_into = StoredArray._read_into

    def counted(array, file, row, part):
        if array.path.endswith("x_train.npy"):
            read.append(part.nbytes)
        largest.append(part.nbytes)
        read_into(array, file, row, part)

    monkeypatch.setattr(StoredArray, "_read_into", counted)
    qatviz.train("mlp", str(tmp_path / "store"), batch_size=BATCH_SIZE, steps=STEPS, evaluation_interval=0)
    example = np.prod(SHAPE)
    assert BATCH_SIZE * STEPS * example <= sum(read) < 0.05 * x.nbytes, "batches, some of them ahead, and samples"
    assert max(largest) <= 2**20
