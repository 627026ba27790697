"""History of all series of a run in bounded memory.

A history has *tracks*: groups of series that are measured at the same steps (each training step, each snapshot, each
evaluation). The newest rows of a track are stored individually. Older rows are folded into buckets of 2^k consecutive
rows, which store the minimum, maximum, mean and number of values of every series, and the first and last step. When a
track's buckets are all in use, neighbours merge and k grows by one, so extremes are never lost and memory stays
bounded.

A run that is set to another state continues on a new branch. Readers get the rows that led to the current state; rows
of abandoned branches are stored, and returned again once the run is set to a state on one of them.
"""

import threading
from abc import ABC, abstractmethod
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.snapshots import read_only
from qatviz.telemetry.history_branches import BranchedTrack

#: Number of buckets of the older part of a track: four times what a wide screen shows. 332 series need 44 MB for them.
DEFAULT_CAPACITY = 8192
#: Smallest number of newest rows of a track that are stored individually.
DEFAULT_RECENT = 1024


class Series(NamedTuple):
    """Values of one series in ascending order of steps: buckets, then single rows, which are buckets of one row.

    Attributes
    ----------
    first_step, last_step : np.ndarray
        int64 ``[n]``, ascending: steps of the first and the last row of each bucket. Of single rows at the same step,
        which differ by a change of settings, only the newest is included.
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


class SeriesSource(ABC):
    """Series of a run by name, of which parts are read."""

    @abstractmethod
    def series(self, name: str, start: Optional[int] = None, stop: Optional[int] = None) -> Series:
        """Return a copy of the part of one series that led to the current state.

        Parameters
        ----------
        start, stop : int, optional
            Return only the buckets that overlap the steps ``start`` to ``stop``, inclusive.

        Returns
        -------
        Series
            Read-only arrays.

        Raises
        ------
        KeyError
            If there is no series ``name``.
        """

    @abstractmethod
    def steps_around(self, name: str, start: int, stop: int) -> Tuple[Optional[int], Optional[int]]:
        """Return the last step of a series before ``start``, and the first after ``stop``; None where there is none.

        Raises
        ------
        KeyError
            If there is no series ``name``.
        """


class History(SeriesSource):
    """History of all series of a run by name; one thread writes, any thread may read copies.

    Parameters
    ----------
    tracks : dict of str to sequence of str
        Names of the series of each track; a name belongs to one track only.
    capacity : int
        Buckets of each track; even, at least 2.
    recent : int
        Smallest number of newest rows of each track that are stored individually (at most twice as many); at least 1.
    branch : int
        Branch that the run is on.

    Raises
    ------
    ValueError
        If a name occurs twice, or ``capacity`` or ``recent`` is not allowed.
    """

    def __init__(
        self,
        tracks: Dict[str, Sequence[str]],
        capacity: int = DEFAULT_CAPACITY,
        recent: int = DEFAULT_RECENT,
        branch: int = 0,
    ):
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity of a history is {capacity}, expected an even number of at least 2")
        if recent < 1:
            raise ValueError(f"recent rows of a history are {recent}, expected at least 1")
        self._lock = threading.Lock()
        self._tree = BranchTree()
        self._tree.add(branch, None)
        self._tracks: Dict[str, BranchedTrack] = {}
        self._names: Dict[str, Tuple[str, ...]] = {}
        self._columns: Dict[str, Tuple[BranchedTrack, int]] = {}
        for track_name, names in tracks.items():
            track = self._tracks[track_name] = BranchedTrack(len(names), capacity, recent, branch)
            self._names[track_name] = tuple(names)
            for column, name in enumerate(names):
                if name in self._columns:
                    raise ValueError(f"series {name!r} of track {track_name!r} occurs twice")
                self._columns[name] = (track, column)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def tracks(self) -> Tuple[str, ...]:
        """Names of the tracks."""
        return tuple(self._names)

    def names(self, track: str) -> Tuple[str, ...]:
        """Return the names of the series of ``track``, in the order of its values."""
        return self._names[track]

    @property
    def nbytes(self) -> int:
        """Total size of all arrays in bytes."""
        with self._lock:
            return sum(track.nbytes for track in self._tracks.values())

    def append(self, track: str, step: int, values: np.ndarray, position: int = 0) -> None:
        """Append one row: the values of all series of ``track`` at ``step``.

        Parameters
        ----------
        step : int
            At least the track's last step: a step is measured again after a change of settings.
        values : np.ndarray
            ``[len(names)]``, cast to float32; NaN means no value.
        position : int
            Number of earlier events on the branch: it distinguishes measurements before and after a change of settings
            at the same step.

        Raises
        ------
        ValueError
            If ``step`` is before the last one, or the number of values is wrong.
        """
        with self._lock:
            self._tracks[track].append(step, position, values)

    def extend(self, track: str, steps: np.ndarray, values: np.ndarray) -> None:
        """Append many rows at once: ``steps`` int64 ``[n]`` ascending, ``values`` ``[n, len(names)]``.

        Raises as `append` does, before anything is added.
        """
        with self._lock:
            self._tracks[track].extend(np.asarray(steps, np.int64), np.asarray(values, np.float32))

    @property
    def branch(self) -> int:
        """Branch that the run is on."""
        with self._lock:
            return self._tree.newest

    def rewind(self, parent: BranchPoint, branch: int) -> None:
        """Continue from the state at ``parent`` on a new branch; readers no longer get rows that did not lead to it.

        Single rows are separated exactly. A bucket that straddles the state is omitted, because its values from before
        and after the state cannot be separated. The gap before the state is thus shorter than one bucket.

        Raises
        ------
        ValueError
            If ``branch`` is not newer than the current one.
        """
        with self._lock:
            if branch <= self._tree.newest:
                raise ValueError(f"branch {branch} of a history is not newer than branch {self._tree.newest}")
            self._tree.add(branch, parent)
            path = self._tree.path()
            for track in self._tracks.values():
                track.rewind(path)

    def series(self, name: str, start: Optional[int] = None, stop: Optional[int] = None) -> Series:
        track, column = self._columns[name]
        with self._lock:
            copied = track.read(column, start, stop)
        return Series(*(read_only(array) for array in copied))

    def steps_around(self, name: str, start: int, stop: int) -> Tuple[Optional[int], Optional[int]]:
        track, _ = self._columns[name]
        with self._lock:
            return track.around(start, stop)

    def last_step(self, track: str) -> Optional[int]:
        """Return the step of the newest row of ``track`` that led to the current state; None if there is none."""
        with self._lock:
            return self._tracks[track].last_step

    def latest(self, track: str) -> Optional[Tuple[int, np.ndarray]]:
        """Return the step and a copy of the values of the newest row; None if it is in a bucket or there is none."""
        with self._lock:
            newest = self._tracks[track].latest()
        return None if newest is None else (newest[0], read_only(newest[1]))
