"""Frames of the missing part of a viewer's history, read from the record of the run, branch by branch."""

from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from qatviz.protocol.events import Evaluated, Event
from qatviz.remote import telemetry as t
from qatviz.telemetry.record.reader import RecordReader, StepSeries
from qatviz.telemetry.record.refill import ByBranch

#: Largest size of the values in a frame of steps, in bytes: new telemetry waits until at most one such frame is sent.
_FRAME_BYTES = 1 << 16

Part = Tuple[Dict[str, Any], Dict[str, np.ndarray]]


def missing_frames(reader: RecordReader, tail: t.Tail) -> Iterator[Part]:
    """Yield header and arrays of each frame after ``tail``: branches, evaluations, steps, and measures of snapshots.

    Raises
    ------
    RecordError
        If the record is damaged.
    """
    tree = reader.branches()
    evaluations: Dict[int, List[Event]] = {}
    for logged in reader.log()[0]:
        if isinstance(logged.event, Evaluated) and logged.event.branch >= tail.branch:
            evaluations.setdefault(logged.event.branch, []).append(logged.event)
    pieces = ByBranch(reader.iter_branch_steps(False, (tail.branch, tail.step)), lambda piece: piece[0])
    snapshots = ByBranch(reader.iter_branch_snapshots(False, (tail.branch, tail.snapshot)), lambda item: item.branch)
    for branch in range(tail.branch, tree.newest + 1):
        parent = tree.parent_of(branch)
        events = [event.to_dict() for event in evaluations.get(branch, ())]
        yield (
            {"t": t.BRANCH, "branch": branch, "parent": None if parent is None else list(parent), "events": events},
            {},
        )
        for number, piece in pieces.of(branch):
            after = tail.step if number == tail.branch else -1
            wanted = piece.steps > after
            if wanted.any():
                yield from _frames_of(number, StepSeries(*(column[wanted] for column in piece)))
        for snapshot in snapshots.of(branch):
            row = t.SnapshotRow(snapshot.branch, snapshot.step, snapshot.position, snapshot.values)
            header, arrays = t.row_frame(row)
            yield dict(header, fills=True), arrays


def _frames_of(branch: int, piece: StepSeries) -> Iterator[Part]:
    bytes_per_step = max(1, piece.values[:1].nbytes)
    most = max(1, _FRAME_BYTES // bytes_per_step)
    for first, end in t.runs_of_steps(piece.steps):
        for begin in range(first, end, most):
            part = slice(begin, min(begin + most, end))
            arrays = {
                "steps": piece.steps[part],
                "scalars": np.stack([piece.seconds[part], piece.loss[part], piece.learning_rate[part]], axis=1),
                "values": piece.values[part],
                "losses": piece.losses[part],
            }
            yield {"t": t.STEPS, "branch": branch, "fills": True}, arrays
