"""Training from a store of data that is read from the disk: its speed, relative to plain reading, and its memory.

``QATVIZ_BENCH_STORE_GB`` is the size of the store, by default 1; the goal is for 10. The disk must have room for it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, Sequence

import numpy as np

NAMES = ("data_store_speed_ratio", "data_store_peak_mb", "data_store_step_ratio")
GIGABYTES = float(os.environ.get("QATVIZ_BENCH_STORE_GB", "1"))
IMAGE_SHAPE = 96, 96, 3
#: Bytes of one plain read.
_PIECE_BYTES = 16 * 2**20
_HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 3600


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``: one epoch of a child process, and plain reading of its file before and after."""
    if not names:
        return
    directory = Path(tempfile.mkdtemp(prefix="qatviz-store-"))
    try:
        path = directory / "store"
        count = write(path)
        before = plain_speed(path / "x_train.npy")
        forget(path)
        found = child("store", path)
        after = plain_speed(path / "x_train.npy")
        in_memory = child("memory", path)
        speed = float(np.median([before, after]))
        sizes = {"gigabytes": GIGABYTES, "examples": count}
        yield from (
            figure
            for figure in (
                {
                    "name": NAMES[0],
                    "unit": "ratio",
                    "value": found["bytes_per_s"] / speed,
                    "plain_mb_per_s": speed / 1e6,
                    "trained_mb_per_s": found["bytes_per_s"] / 1e6,
                    **sizes,
                },
                {"name": NAMES[1], "unit": "MB", "value": found["peak_mb"], **sizes},
                # The same steps on 512 examples in memory, which shows what the network itself costs.
                {"name": NAMES[2], "unit": "ratio", "value": found["step_s"] / in_memory["step_s"], **sizes},
            )
            if figure["name"] in names
        )
    finally:
        shutil.rmtree(str(directory), ignore_errors=True)


def write(path: Path) -> int:
    """Write a store of random images of GIGABYTES; return their number."""
    from qatviz.data import from_arrays, write_store
    from qatviz.data.streamed import StreamedArray

    random = np.random.RandomState(0).randint(0, 256, (256, *IMAGE_SHAPE)).astype(np.uint8)
    count = int(GIGABYTES * 1e9 / random[0].size)

    class Repeated(StreamedArray):
        def read(self, rows):
            return random[rows % len(random)]

    small = from_arrays("random", "bench", (random, np.arange(256) % 2), (random, np.arange(256) % 2))
    labels = (np.arange(count) % 2).astype(np.int32)
    write_store(replace(small, x_train=Repeated((count, *IMAGE_SHAPE), np.uint8), y_train=labels), path)
    return count


def plain_speed(path: Path) -> float:
    """Return the bytes per second of reading a file from the disk from its beginning to its end."""
    forget(path.parent)
    begin, size = time.perf_counter(), 0
    with open(str(path), "rb", buffering=0) as file:
        buffer = bytearray(_PIECE_BYTES)
        while True:
            found = file.readinto(buffer)
            if not found:
                return size / (time.perf_counter() - begin)
            size += found


def forget(directory: Path) -> None:
    """Drop the pages of a directory's files from the system's cache."""
    for path in directory.iterdir():
        with open(str(path), "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(kind: str, path: Path) -> Dict[str, float]:
    """Return what ``data_store_child.py`` prints: bytes_per_s, step_s, peak_mb."""
    process = subprocess.run(
        [sys.executable, str(_HERE / "data_store_child.py"), kind, str(path)],
        stdout=subprocess.PIPE,
        timeout=_TIMEOUT_S,
        check=True,
        text=True,
    )
    return dict(zip(("bytes_per_s", "step_s", "peak_mb"), map(float, process.stdout.split()[-3:])))
