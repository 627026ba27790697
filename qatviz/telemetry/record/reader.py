"""Reader of a run's record: while it is written, after it ended, after its process was killed."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union, cast

import numpy as np

from qatviz.errors import NetworkError, RecordError, SettingError
from qatviz.protocol import values
from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import EVENT_KINDS, Event, event_from
from qatviz.protocol.schedule import Plan, remaining_plan
from qatviz.protocol.snapshots import Snapshot, phase, read_only
from qatviz.protocol.timeline import LoggedEvent
from qatviz.protocol.wire import unpack_losses, unpack_snapshot, unpack_steps
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles, CheckpointInfo
from qatviz.telemetry.record.contents import check_description, check_shape, checked_event, checked_snapshot
from qatviz.telemetry.record.event_log import EventLog, Row, read_log
from qatviz.telemetry.record.legacy import is_equivalent, save_reason_of
from qatviz.telemetry.record.own_files import INITIAL
from qatviz.telemetry.record.schema import (
    DATABASE_NAME,
    State,
    checked_rows,
    open_for_reading,
    read_body,
    read_branches,
    read_description,
    read_rows,
    read_state,
    reading,
)

#: Number of step blocks read in one transaction.
_BLOCKS_AT_ONCE = 32
#: Number of snapshots read in one transaction.
_SNAPSHOTS_AT_ONCE = 16

#: Subdirectory and name of the initial parameters, if the run was given any.
PARAMETERS = "parameters"
#: Branch and step that are before all others.
_START = (-1, -1)


class StepSeries(NamedTuple):
    """Step records, by column.

    Attributes
    ----------
    steps : np.ndarray
        int64 ``[n]``, ascending.
    seconds, loss, learning_rate : np.ndarray
        float64 ``[n]``.
    values : np.ndarray
        float32 ``[n, len(STEP_MEASURES), num_tensors]``.
    losses : np.ndarray
        float32 ``[n, outputs]``: losses of several outputs; without columns for one output, and in records of older
        versions.
    """

    steps: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    learning_rate: np.ndarray
    values: np.ndarray
    losses: np.ndarray


def joined(parts: Sequence[StepSeries]) -> StepSeries:
    """Return the records of all parts, at least one; losses that an older version did not record are NaN."""
    outputs = max(part.losses.shape[1] for part in parts)
    unknown = [np.full((len(part.steps), outputs), np.nan, np.float32) for part in parts]
    parts = [
        part if part.losses.shape[1] == outputs else part._replace(losses=missing)
        for part, missing in zip(parts, unknown)
    ]
    return StepSeries(*(np.concatenate(column) for column in zip(*parts)))


class LossSeries(NamedTuple):
    """Losses of training steps.

    Attributes
    ----------
    steps : np.ndarray
        int64 ``[n]``, ascending.
    seconds, loss : np.ndarray
        float64 ``[n]``.
    """

    steps: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray


class _SnapshotRow(NamedTuple):
    """Row of the table of snapshots; ``row`` is its id."""

    row: int
    body_crc: int
    branch: int
    step: int


class RecordReader:
    """Read-only record of a run, for any thread.

    Nothing stays open between two calls, and each call returns the items committed at its start. The *surviving
    timeline* led to the run's current state: steps, snapshots and events abandoned by an undo are not part of it,
    unless a redo restored them. Snapshots survive by their step: one of the step to which the run was rewound survives
    until there is another one of that step.

    Parameters
    ----------
    directory : str or Path
        Directory of the run.

    Raises
    ------
    RecordError
        If there is no record, or it is damaged or of another format. Every method raises the same.
    """

    def __init__(self, directory: Union[str, Path]):
        self.directory = Path(directory).absolute()
        self.path = self.directory / DATABASE_NAME
        self._checkpoints = CheckpointFiles(self.directory)
        self._initial = CheckpointFiles(self.directory, INITIAL)
        # Rows are only added, so that a log with the present numbers of events and branches is up to date.
        self._known_log: Optional[Tuple[Tuple[int, int], EventLog]] = None
        self._known_events: Optional[Tuple[EventLog, List[Event]]] = None
        with open_for_reading(self.path) as connection:
            self._description = read_description(connection)
            try:
                self._tensor_plan = check_description(self._description)
            except RecordError as error:
                raise error.of_file(str(self.path)) from error
            self._state(connection)

    @property
    def description(self) -> Dict[str, Any]:
        """Description of the run (a copy), with ``run_id`` and ``created`` (Unix time, seconds)."""
        copied: Dict[str, Any] = json.loads(json.dumps(self._description))
        return copied

    @property
    def last_step(self) -> int:
        """Last step on the surviving timeline; 0 before the first."""
        with open_for_reading(self.path) as connection:
            return self._state(connection).last_step

    def events(self, surviving_only: bool = False) -> List[Dict[str, Any]]:
        """Return all events in the order in which they occurred.

        Parameters
        ----------
        surviving_only : bool
            Return only those on the surviving timeline.

        Returns
        -------
        list of dict
            `Event.to_dict` of each, with ``sequence`` (number from 1) and ``time`` (Unix time in seconds).
        """
        log = self._log()
        path = log.tree.path()
        return [dict(row) for row in log.rows if not surviving_only or path.includes(_point_of(row))]

    def log(self) -> Tuple[List[LoggedEvent], int]:
        """Return all events in the order in which they occurred, and the number of events of unknown kinds.

        Those were recorded by a later version.
        """
        log = self._log()
        path = log.tree.path()
        known = [row for row in log.rows if row["kind"] in EVENT_KINDS]
        if self._known_events is None or self._known_events[0] is not log:
            self._known_events = log, [self._event(row) for row in known]
        found = [
            LoggedEvent(event, path.includes(_point_of(row)), row["time"])
            for event, row in zip(self._known_events[1], known)
        ]
        return found, len(log.rows) - len(known)

    def plan(self) -> Plan:
        """Return the remaining plan of the run; see :func:`qatviz.protocol.schedule.remaining_plan`."""
        log = [logged.event for logged in self.log()[0]]
        with reading(self.path):
            return remaining_plan(self._description, log, self.last_step, is_equivalent)

    def _log(self) -> EventLog:
        with open_for_reading(self.path) as connection:
            state = self._state(connection)
            if self._known_log is None or self._known_log[0] != (state.events, state.branches):
                rows = read_rows(connection, "events", range(1, state.events + 1))
                log = read_log(cast(List[Row], list(rows)), read_branches(connection, state))
                self._known_log = (state.events, state.branches), log
            return self._known_log[1]

    def steps(self, start: Optional[int] = None, stop: Optional[int] = None) -> StepSeries:
        """Return the step records of the surviving timeline with ``start <= step <= stop``, all at once.

        A million steps of 30 tensors are 1.4 GB: use `iter_steps` for long runs.
        """
        parts = list(self.iter_steps(start, stop))
        if not parts:
            with open_for_reading(self.path) as connection:
                shape = self._state(connection).shape or (0, 0)
            seconds, loss, rate = np.empty((3, 0))
            measures, losses = np.empty((0, *shape), np.float32), np.empty((0, 0), np.float32)
            parts = [StepSeries(np.empty(0, np.int64), seconds, loss, rate, measures, losses)]
        return StepSeries(*map(read_only, joined(parts)))

    def iter_steps(self, start: Optional[int] = None, stop: Optional[int] = None) -> Iterator[StepSeries]:
        """Yield the step records of `steps` in pieces of at most a few thousand.

        The surviving timeline is that at the first call of ``next``; later rewinds do not affect it.
        """
        previous = -np.inf
        for _, piece in self._iter_pieces(self._limits(), start, stop):
            if piece.steps[0] <= previous:
                raise RecordError(f"{self.path}: damaged: step {piece.steps[0]} comes after step {previous}")
            previous = piece.steps[-1]
            yield piece

    def iter_branch_steps(
        self, surviving_only: bool = False, after: Tuple[int, int] = _START
    ) -> Iterator[Tuple[int, StepSeries]]:
        """Yield pieces like `iter_steps`, each with its branch, for all branches or for the surviving timeline.

        Blocks that end at or before the branch and step ``after`` are not read.
        """
        yield from self._iter_pieces(self._limits() if surviving_only else None, None, None, after)

    def losses(self, most_blocks: int) -> LossSeries:
        """Return the losses of the surviving timeline; of a long run, those of ``most_blocks`` blocks spread over it.

        Measures of tensors are not read, so that this takes a small part of the time of `steps`.
        """
        with open_for_reading(self.path) as connection:
            state = self._state(connection)
            limits = _surviving(connection, state)
            rows = list(checked_rows(connection, "blocks", "WHERE id <= ?", (state.blocks,)))
            self._check_blocks(rows, 0, state)
            wanted = [row for row in rows if row[2] <= limits.get(row[1], -np.inf)]
            if len(wanted) > most_blocks:
                wanted = [wanted[index] for index in np.linspace(0, len(wanted) - 1, most_blocks).round().astype(int)]
            pieces = []
            for block, branch, first_step, last_step, body_crc in wanted:
                columns = unpack_losses(read_body(connection, "blocks", block, body_crc))
                _check_ends(block, columns[0], first_step, last_step)
                chosen = columns[0] <= limits[branch]
                pieces.append([column[chosen] for column in columns])
        if not pieces:
            pieces.append([np.empty(0, np.int64), np.empty(0), np.empty(0)])
        steps, seconds, loss = (np.concatenate(column) for column in zip(*pieces))
        if (np.diff(steps) <= 0).any():
            raise RecordError(f"{self.path}: damaged: the steps of its blocks do not ascend")
        return LossSeries(read_only(steps), read_only(seconds), read_only(loss))

    def branches(self) -> BranchTree:
        """Return the branches of the run."""
        return self._log().tree.copy()

    def snapshots(self) -> List[int]:
        """Return the steps of the snapshots on the surviving timeline, ascending.

        Old snapshots are thinned out, see `qatviz.telemetry.record.database.SNAPSHOTS_KEPT_WHOLE`.
        """
        with open_for_reading(self.path) as connection:
            return sorted(self._snapshot_ids(connection))

    def snapshot(self, step: int) -> Snapshot:
        """Return the snapshot of ``step``; RecordError if there is none."""
        with open_for_reading(self.path) as connection:
            ids = self._snapshot_ids(connection)
            if step not in ids:
                nearest = sorted(sorted(ids, key=lambda other: abs(other - step))[:2])
                raise RecordError(f"{self.path}: no snapshot of step {step}; the nearest are of {nearest or 'no step'}")
            return self._unpacked(read_body(connection, "snapshots", *ids[step][:2]), step, ids[step].branch)

    def iter_snapshots(self, start: Optional[int] = None, stop: Optional[int] = None) -> Iterator[Snapshot]:
        """Yield the snapshots on the surviving timeline with ``start <= step <= stop``.

        Snapshots that the writer thins out meanwhile are omitted.
        """
        with open_for_reading(self.path) as connection:
            ids = self._snapshot_ids(connection)
        steps = sorted(step for step in ids if (start is None or step >= start) and (stop is None or step <= stop))
        yield from self._iter_bodies([ids[step] for step in steps])

    def iter_some_snapshots(self, most: int, surviving: bool) -> Iterator[Snapshot]:
        """Yield at most ``most`` snapshots by branch and step, spread over those that survive or over those that don't.

        The first, the last, and the first of each phase (:func:`qatviz.protocol.snapshots.phase`) are preferred: there
        are far more late snapshots than early ones, but much happens early.
        """
        with open_for_reading(self.path) as connection:
            ids = {item.row: item for item in self._snapshot_ids(connection).values()}
            rows = [_SnapshotRow(row, crc, branch, step) for row, branch, step, crc in self._snapshot_rows(connection)]
        rows = sorted((item for item in rows if (item.row in ids) == surviving), key=lambda item: item[2:])
        yield from self._iter_bodies([rows[index] for index in _spread(rows, most)])

    def iter_branch_snapshots(
        self, surviving_only: bool = False, after: Tuple[int, int] = _START
    ) -> Iterator[Snapshot]:
        """Yield the snapshots of all branches, or of the surviving timeline, like `iter_snapshots`.

        Of all branches, those at or before the branch and step ``after`` are omitted.
        """
        if surviving_only:
            yield from self.iter_snapshots()
            return
        with open_for_reading(self.path) as connection:
            rows = self._snapshot_rows(connection)
        yield from self._iter_bodies(
            [_SnapshotRow(row, crc, branch, step) for row, branch, step, crc in rows if (branch, step) > after]
        )

    def load_checkpoint(self, name: str) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
        """Return arrays and metadata of a checkpoint; see `CheckpointFiles.load`."""
        arrays, meta = self._checkpoints.load(name)
        with reading(self.path):
            meta["reason"] = save_reason_of(meta["reason"]).to_wire()
            if "position" not in meta:  # version 0.1
                meta["position"] = self._log().position_of(name, int(meta.get("branch", 0)))
        return arrays, meta

    def initial_parameters(self) -> Optional[Dict[str, np.ndarray]]:
        """Return the initial parameters by ``layer.parameter``; None if they were seeded."""
        if not self._description.get("given_parameters"):
            return None
        return self._initial.load(PARAMETERS)[0]

    def list_checkpoints(self) -> List[CheckpointInfo]:
        """Return all checkpoints by step, damaged ones included; see `CheckpointFiles.list`."""
        return self._checkpoints.list()

    def is_surviving(self, point: BranchPoint) -> bool:
        """Return whether a state, such as a checkpoint's (`CheckpointInfo.point`), is on the surviving timeline.

        False for a branch missing from the record, because the process ended before it was written.
        """
        return self._log().tree.path().includes(point)

    def _limits(self) -> Dict[int, float]:
        """Return the last surviving step of each branch from which the current state descends."""
        with open_for_reading(self.path) as connection:
            return _surviving(connection, self._state(connection))

    def _iter_pieces(
        self,
        limits: Optional[Dict[int, float]],
        start: Optional[int],
        stop: Optional[int],
        after: Tuple[int, int] = _START,
    ) -> Iterator[Tuple[int, StepSeries]]:
        """Yield branch and steps of the blocks present at the start; ``limits`` None: of all branches."""
        with open_for_reading(self.path) as connection:
            state = self._state(connection)
        first = -np.inf if start is None else start
        last = np.inf if stop is None else stop
        done = 0
        while done < state.blocks:
            with open_for_reading(self.path) as connection:
                pieces, done = self._read_blocks(connection, done, state, first, last, limits, after)
            yield from pieces

    def _read_blocks(
        self,
        connection: sqlite3.Connection,
        done: int,
        state: State,
        first: float,
        last: float,
        limits: Optional[Dict[int, float]],
        after: Tuple[int, int],
    ) -> Tuple[List[Tuple[int, StepSeries]], int]:
        """Return branch and requested steps of the next blocks after the id ``done``, and the new ``done``."""
        end = min(done + _BLOCKS_AT_ONCE, state.blocks)
        rows = list(checked_rows(connection, "blocks", "WHERE id > ? AND id <= ?", (done, end)))
        self._check_blocks(rows, done, state._replace(blocks=end))
        pieces = []
        for block, branch, first_step, last_step, body_crc in rows:
            limit = last if limits is None else min(limits.get(branch, -np.inf), last)
            if first_step > limit or last_step < first or (branch, last_step) <= after:
                continue
            columns = unpack_steps(read_body(connection, "blocks", block, body_crc))
            if columns[4].shape[1:] != state.shape:
                raise ValueError(
                    f"block {block} has values of the shape {columns[4].shape[1:]}, expected {state.shape}"
                )
            _check_ends(block, columns[0], first_step, last_step)
            chosen = (columns[0] >= first) & (columns[0] <= limit)
            if chosen.any():
                pieces.append((branch, StepSeries(*(read_only(column[chosen]) for column in columns))))
        return pieces, end

    @staticmethod
    def _check_blocks(rows: Sequence[Tuple[Any, ...]], done: int, state: State) -> None:
        """Check that rows are those of the blocks after the id ``done``, and that their columns are valid."""
        if [row[0] for row in rows] != list(range(done + 1, state.blocks + 1)):
            raise ValueError(f"table blocks lacks rows between {done + 1} and {state.blocks}")
        for block, branch, first_step, last_step, _ in rows:
            values.whole(branch, f"branch of block {block}", 0, state.branches - 1)
            if not values.step(first_step, f"first step of block {block}") <= values.step(last_step, "last step"):
                raise ValueError(f"block {block} begins with step {first_step} and ends with step {last_step}")

    def _iter_bodies(self, wanted: Sequence["_SnapshotRow"]) -> Iterator[Snapshot]:
        """Yield the snapshots of rows, omitting those deleted meanwhile."""
        for begin in range(0, len(wanted), _SNAPSHOTS_AT_ONCE):
            with open_for_reading(self.path) as connection:
                kept = {row[0] for row in connection.execute("SELECT id FROM snapshots")}
                bodies = [
                    (read_body(connection, "snapshots", item.row, item.body_crc), item.step, item.branch)
                    for item in wanted[begin : begin + _SNAPSHOTS_AT_ONCE]
                    if item.row in kept
                ]
            with reading(self.path):
                snapshots = [self._unpacked(*body) for body in bodies]
            yield from snapshots

    def _event(self, row: Dict[str, Any]) -> Event:
        try:
            return checked_event(event_from(row), self._tensor_plan)
        except (RecordError, NetworkError, SettingError, ValueError) as error:
            raise RecordError(f"{self.path}: event {row['sequence']} can't be used: {error}") from error

    def _unpacked(self, body: bytes, step: int, branch: int) -> Snapshot:
        return replace(checked_snapshot(unpack_snapshot(body), step, self._tensor_plan), branch=branch)

    def _state(self, connection: sqlite3.Connection) -> State:
        state = read_state(connection)
        check_shape(state, self._tensor_plan)
        return state

    def _snapshot_ids(self, connection: sqlite3.Connection) -> Dict[int, "_SnapshotRow"]:
        """Return the newest row of each surviving snapshot by step."""
        limits = _surviving(connection, self._state(connection))
        rows = self._snapshot_rows(connection)
        return {
            step: _SnapshotRow(row, body_crc, branch, step)
            for row, branch, step, body_crc in rows
            if step <= limits.get(branch, -1)
        }

    def _snapshot_rows(self, connection: sqlite3.Connection) -> List[Tuple[int, int, int, int]]:
        """Return row, branch, step and CRC of the body of each snapshot."""
        state = self._state(connection)
        rows = list(checked_rows(connection, "snapshots"))
        if len(rows) != state.kept:
            raise ValueError(f"table snapshots has {len(rows)} rows, expected {state.kept}")
        for row, branch, step, _ in rows:
            values.whole(branch, f"branch of snapshot {row}", 0, state.branches - 1)
            values.step(step, f"step of snapshot {row}")
        return cast(List[Tuple[int, int, int, int]], rows)


def _check_ends(block: int, steps: np.ndarray, first_step: int, last_step: int) -> None:
    """Raise ValueError unless the steps of a block begin and end as its row says."""
    if len(steps) == 0 or (steps[0], steps[-1]) != (first_step, last_step):
        raise ValueError(f"block {block} does not contain the steps {first_step} to {last_step}")


def _point_of(row: Dict[str, Any]) -> BranchPoint:
    """Return the place of the first state after an event."""
    kind = EVENT_KINDS.get(row["kind"])
    position = row["position"] + (0 if kind is not None and kind.is_report else 1)
    return BranchPoint(row["branch"], row["step"], position)


def _surviving(connection: sqlite3.Connection, state: State) -> Dict[int, float]:
    """Return the last surviving step of each branch that the present state descends from."""
    branches = {branch: (parent, fork_step) for branch, parent, fork_step in read_branches(connection, state)}
    limits: Dict[int, float] = {}
    branch, limit = state.branch, np.inf
    while True:
        limits[branch] = limit
        if not branch:
            break
        parent, fork_step = branches[branch]
        branch, limit = parent, min(limit, fork_step)
    return limits


def _spread(rows: Sequence[_SnapshotRow], most: int) -> List[int]:
    """Return indices of at most ``most`` rows: the first of each phase, the last, and others between them."""
    phases = [(row.branch, phase(row.step)) for row in rows]
    first = [index for index, found in enumerate(phases) if index == 0 or found != phases[index - 1]]
    chosen = sorted({*first, *range(len(rows))[-1:]})
    if len(chosen) >= most:
        return [chosen[index] for index in np.linspace(0, len(chosen) - 1, most).astype(int)]
    while len(chosen) < min(most, len(rows)):  # the middle of the longest gap
        gap, before = max((after - before, -at) for at, (before, after) in enumerate(zip(chosen, chosen[1:])))
        chosen.insert(1 - before, chosen[-before] + gap // 2)
    return chosen
