"""Every series of a run, for the whole run, in bounded memory.

A history has *tracks*: groups of series that are measured at the same steps (each training step, each snapshot, each
evaluation). The newest rows of a track are kept as they came. Older rows are folded into buckets of 2^k consecutive
rows; of each bucket survive, for every series, the minimum, the maximum, the mean and the number of values, and the
first and last step. When a track's buckets are all in use, neighbours merge and k grows by one, so extremes are never
lost and memory stays where it is.
"""

import threading
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.snapshots import read_only
from qatviz.telemetry.history_track import Track

#: Buckets of the older part of a track. 8192 are four times what a wide screen shows; 332 series need 44 MB of them.
DEFAULT_CAPACITY = 8192
#: Newest rows of a track that are kept as they came, at least.
DEFAULT_RECENT = 1024


class Series(NamedTuple):
    """One series, oldest first: buckets, then single steps (which are buckets of one row).

    Attributes
    ----------
    first_step, last_step : np.ndarray
        int64 ``[n]``: steps of the first and the last row of a bucket; ascending.
    minimum, maximum, mean : np.ndarray
        float32 ``[n]`` over the bucket's values that are not NaN; NaN where there is none.
    count : np.ndarray
        int32 ``[n]``: number of values that are not NaN.
    """

    first_step: np.ndarray
    last_step: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    count: np.ndarray


class History:
    """All series of a run by name. One thread writes; any thread may read, and gets copies.

    Parameters
    ----------
    tracks : dict of str to sequence of str
        The names of the series of each track; a name belongs to one track only.
    capacity : int
        Buckets of each track; even, at least 2.
    recent : int
        Newest rows of each track that stay single at least (twice as many at most); at least 1.

    Raises
    ------
    ValueError
        If a name occurs twice, or ``capacity`` or ``recent`` is not allowed.
    """

    def __init__(
        self, tracks: Dict[str, Sequence[str]], capacity: int = DEFAULT_CAPACITY, recent: int = DEFAULT_RECENT
    ):
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity of a history is {capacity}, expected an even number of at least 2")
        if recent < 1:
            raise ValueError(f"recent rows of a history are {recent}, expected at least 1")
        self._lock = threading.Lock()
        self._tracks: Dict[str, Track] = {}
        self._names: Dict[str, Tuple[str, ...]] = {}
        self._columns: Dict[str, Tuple[Track, int]] = {}
        for track_name, names in tracks.items():
            track = self._tracks[track_name] = Track(len(names), capacity, recent)
            self._names[track_name] = tuple(names)
            for column, name in enumerate(names):
                if name in self._columns:
                    raise ValueError(f"series {name!r} of track {track_name!r} occurs twice")
                self._columns[name] = (track, column)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def tracks(self) -> List[str]:
        """Names of the tracks."""
        return list(self._tracks)

    def names(self, track: str) -> Tuple[str, ...]:
        """Names of the series of ``track``, in the order of its values."""
        return self._names[track]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays held."""
        with self._lock:
            return sum(track.nbytes for track in self._tracks.values())

    def append(self, track: str, step: int, values: np.ndarray) -> None:
        """Add one row: the values of all series of ``track`` at ``step``.

        Parameters
        ----------
        step : int
            Later than the track's last step.
        values : np.ndarray
            ``[len(names)]``, cast to float32; NaN says that there is no value.

        Raises
        ------
        ValueError
            If ``step`` is not after the last one, or the number of values is wrong.
        """
        with self._lock:
            self._tracks[track].append(step, values)

    def extend(self, track: str, steps: np.ndarray, values: np.ndarray) -> None:
        """Add many rows at once: ``steps`` int64 ``[n]`` ascending, ``values`` ``[n, len(names)]``.

        Raises as `append` does, before anything is added.
        """
        with self._lock:
            self._tracks[track].extend(np.asarray(steps, np.int64), np.asarray(values, np.float32))

    def rewind(self, step: int) -> None:
        """Forget all that came after ``step``: the run was set back to it and goes on from there.

        Single rows are forgotten exactly. A bucket that straddles ``step`` holds values of both timelines that can't
        be told apart, so all of it goes: what remains is true, and the gap before ``step`` is shorter than one
        bucket (at most ``2 / capacity`` of the rows that the track has seen).
        """
        with self._lock:
            for track in self._tracks.values():
                track.rewind(step)

    def series(self, name: str, start: Optional[int] = None, stop: Optional[int] = None) -> Series:
        """A copy of one series.

        Parameters
        ----------
        start, stop : int, optional
            Only the buckets that touch the steps ``start`` to ``stop``, both included.

        Returns
        -------
        Series
            Read-only arrays.

        Raises
        ------
        KeyError
            If there is no series ``name``.
        """
        track, column = self._columns[name]
        with self._lock:
            copied = track.read(column, start, stop)
        return Series(*(read_only(array) for array in copied))

    def last_step(self, track: str) -> Optional[int]:
        """Step of the newest row of ``track``; None where there is none."""
        with self._lock:
            return self._tracks[track].last_step

    def latest(self, track: str) -> Optional[Tuple[int, np.ndarray]]:
        """Step and values (float32 ``[len(names)]``, a copy) of the newest row that was not folded; None if none."""
        with self._lock:
            newest = self._tracks[track].latest()
        return None if newest is None else (newest[0], read_only(newest[1]))
