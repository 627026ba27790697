"""Reading of batches ahead of their use, so that training does not wait for the disk."""
# Apart from the graph that uses it, as it needs no TensorFlow.

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Dict, Optional, Sequence

import numpy as np

from qatviz.data.streamed import StreamedArray

#: Bytes of the batches that are read ahead, and bounds of their number.
_AHEAD_BYTES, _FEWEST, _MOST = 64 * 2**20, 2, 32
#: Threads that read at the same time: a disk is fastest with several requests.
_THREADS = 4


class ReadAhead:
    """Rows of a streamed array, read by threads before they are used.

    It changes when rows are read, never which. One thread uses it.

    Attributes
    ----------
    batches : int
        Number of batches that it reads ahead.
    """

    def __init__(self, array: StreamedArray, batch_size: int):
        self._array = array
        batch_bytes = max(1, array.nbytes // len(array) * batch_size)
        self.batches = min(max(_AHEAD_BYTES // batch_bytes, _FEWEST), _MOST)
        self._expected: Dict[bytes, Future[np.ndarray]] = {}
        self._threads: Optional[ThreadPoolExecutor] = None

    def expect(self, batches: Sequence[np.ndarray]) -> None:
        """Begin to read these batches (each int ``[n]``), in this order, and forget all others."""
        if self._threads is None and batches:
            self._threads = ThreadPoolExecutor(_THREADS, "qatviz-read-ahead")
        before, self._expected = self._expected, {}
        for rows in batches:
            key = rows.tobytes()
            begun = before.pop(key, None)
            assert self._threads is not None
            self._expected[key] = begun or self._threads.submit(self._array.read, rows)
        for unused in before.values():
            unused.cancel()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return these rows, which were read ahead if they were expected; `DataError` if they can't be read."""
        begun = self._expected.get(rows.tobytes())
        return self._array.read(rows) if begun is None else begun.result()

    def close(self) -> None:
        """Stop reading, after the reads in progress; it can begin again."""
        self.expect(())
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
