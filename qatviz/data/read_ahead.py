"""Reading of batches ahead of their use, so that training does not wait for the disk."""
# Apart from the graph that uses it, as it needs no TensorFlow.

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Dict, Optional, Sequence

import numpy as np

from qatviz.data.streamed import StreamedArray

#: Bytes of the batches that are read ahead, and smallest and largest number of them.
_AHEAD_BYTES, _FEWEST, _MOST = 64 * 2**20, 2, 32
#: Threads that read at the same time: a disk is fastest with several requests.
_THREADS = 4


class ReadAhead:
    """Reader of batches of a streamed array, which reads them in threads before they are used.

    It returns the same rows as the array. All methods must be called from one thread.

    Parameters
    ----------
    array : StreamedArray
    batch_size : int
        Rows in a batch.

    Attributes
    ----------
    batches : int
        Number of batches that may be read ahead.
    """

    def __init__(self, array: StreamedArray, batch_size: int):
        self._array = array
        batch_bytes = max(1, array.nbytes // len(array) * batch_size)
        self.batches = min(max(_AHEAD_BYTES // batch_bytes, _FEWEST), _MOST)
        self._expected: Dict[bytes, Future[np.ndarray]] = {}
        self._threads: Optional[ThreadPoolExecutor] = None

    def expect(self, batches: Sequence[np.ndarray]) -> None:
        """Begin to read these batches of rows (indices, int ``[n]``), in this order, and drop all others."""
        if self._threads is None:
            if not batches:
                return
            self._threads = ThreadPoolExecutor(_THREADS, "qatviz-read-ahead")
        before, self._expected = self._expected, {}
        for rows in batches:
            key = rows.tobytes()
            is_begun = key in before
            self._expected[key] = before.pop(key) if is_begun else self._threads.submit(self._array.read, rows)
        for dropped in before.values():
            dropped.cancel()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of these indices (int ``[n]``), which may have been read ahead.

        Raises
        ------
        DataError
            If they can't be read.
        """
        begun = self._expected.get(rows.tobytes())
        return self._array.read(rows) if begun is None else begun.result()

    def close(self) -> None:
        """Stop reading, after the reads in progress; :meth:`expect` can begin again."""
        self.expect(())
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
