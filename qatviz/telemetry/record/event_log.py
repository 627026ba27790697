"""Events of a record in their current form, whichever version wrote them.

Records of version 0.1 contain only the branch of an event, and only the starting step of a branch. Only this module
derives the rest: the number of events before each, and the states at which branches start. Sentences in such records
are converted by `legacy`.
"""

import json
from bisect import bisect_right
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from qatviz.protocol import values
from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import EVENT_KINDS, CommandApplied, Restored
from qatviz.telemetry.record.legacy import upgrade

#: Columns of the table of events: id, branch, step, time, kind, body.
Row = Tuple[int, int, int, float, str, str]


class EventLog(NamedTuple):
    """Events and branches of a record.

    Attributes
    ----------
    rows : list of dict
        `Event.to_dict` of each, in order, with ``sequence`` (number from 1) and ``time`` (Unix time in seconds).
    tree : BranchTree
        All branches; the run is on the newest.
    """

    rows: List[Dict[str, Any]]
    tree: BranchTree

    def next_position(self) -> int:
        """Return the position of the next event on the newest branch."""
        rows = (row for row in self.rows if row["branch"] == self.tree.newest and not _is_report(row))
        return max((int(row["position"]) for row in rows), default=-1) + 1

    def position_of(self, checkpoint: str, branch: int) -> Optional[int]:
        """Return the position of the state in a checkpoint that a command saved on ``branch``; None if unknown."""
        return _saved_positions(self.rows).get((branch, checkpoint))


def read_log(rows: Iterable[Row], branches: Iterable[Tuple[int, int, int]]) -> EventLog:
    """Return the events and branches of a record.

    Parameters
    ----------
    rows : iterable
        Rows of the table of events.
    branches : iterable
        Rows of the table of branches: id, parent, starting step.

    Raises
    ------
    ValueError, TypeError, KeyError
        If a row is invalid.
    """
    branches = list(branches)
    placed = [
        {
            **values.mapping(json.loads(body), f"event {number}"),
            "step": values.step(step),
            "kind": values.name(kind, "kind"),
            "sequence": number,
            "branch": values.whole(branch, f"branch of event {number}", 0, len(branches) - 1),
            "time": values.date(time, f"time of event {number}"),
        }
        for number, branch, step, time, kind, body in rows
    ]
    for row in placed:
        upgrade(row)
    _add_positions(placed)
    tree = BranchTree()
    parents = _parents(placed, {branch: (parent, step) for branch, parent, step in branches if branch > 0})
    for branch in sorted(parents):
        tree.add(branch, parents[branch])
    for row in placed:
        parent = tree.parent_of(row["branch"])
        row["parent"] = None if parent is None else list(parent)
    return EventLog(placed, tree)


def _is_report(row: Dict[str, Any]) -> bool:
    kind = EVENT_KINDS.get(row["kind"])
    return kind is not None and kind.is_report


def _add_positions(rows: List[Dict[str, Any]]) -> None:
    """Set each event's number of earlier events on its branch, where the record does not contain it."""
    steps: Dict[int, List[int]] = {}
    for row in rows:
        before = steps.setdefault(row["branch"], [])
        if _is_report(row):
            # A report may have been recorded some steps after the state it describes.
            row["position"] = int(row.get("position", bisect_right(before, row["step"])))
        else:
            row["position"] = int(row.get("position", len(before)))
            before.append(row["step"])


def _parents(rows: List[Dict[str, Any]], branches: Dict[int, Tuple[int, int]]) -> Dict[int, BranchPoint]:
    """Return the state at which each branch starts.

    If the events of a branch do not contain it, its first event names the restored checkpoint.
    """
    positions: Dict[int, Optional[int]] = {}
    saved: Optional[Dict[Tuple[int, str], int]] = None
    for row in rows:
        branch = row["branch"]
        if branch not in branches or branch in positions:
            continue
        if row.get("parent") is not None:
            position = row["parent"][2]
            positions[branch] = None if position is None else int(position)
        elif row["kind"] == Restored.__name__:
            if saved is None:
                saved = _saved_positions(rows)
            positions[branch] = saved.get((branches[branch][0], row["name"]))
    return {
        branch: BranchPoint(int(parent), int(step), positions.get(branch))
        for branch, (parent, step) in branches.items()
    }


def _saved_positions(rows: List[Dict[str, Any]]) -> Dict[Tuple[int, str], int]:
    """Return the positions of checkpoints that commands saved, by branch and name; the newest of a name counts.

    Changes that took effect together share the checkpoint of the state before the first.
    """
    found: Dict[Tuple[int, str], int] = {}
    previous: Dict[int, str] = {}
    for row in rows:
        if row["kind"] == CommandApplied.__name__:
            name = row.get("checkpoint", "")
            if name and previous.get(row["branch"]) != name:
                found[row["branch"], name] = row["position"]
            previous[row["branch"]] = name
    return found
