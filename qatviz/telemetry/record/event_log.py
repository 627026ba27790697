"""The events of a record in their present form, whatever version wrote them.

Records of version 0.1 say of an event only its branch, and of a branch only the step at which it begins. What they lack
is derived here, and nowhere else: the number of events before each, and the states that branches go on from. What they
say in words is translated by `legacy`.
"""

import json
from bisect import bisect_right
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import EVENT_KINDS, CommandApplied, Restored
from qatviz.telemetry.record.legacy import upgrade

#: Columns of the table of events: id, branch, step, time, kind, body.
Row = Tuple[int, int, int, float, str, str]


class EventLog(NamedTuple):
    """All events of a record.

    Attributes
    ----------
    rows : list of dict
        `Event.to_dict` of each, in order, with ``sequence`` (its number, from 1) and ``time`` (Unix time, seconds).
    tree : BranchTree
        The branches; the run is on the newest.
    """

    rows: List[Dict[str, Any]]
    tree: BranchTree

    def next_position(self) -> int:
        """Return the position of the next event of the newest branch."""
        own = [row["position"] for row in self.rows if row["branch"] == self.tree.newest and not _is_report(row)]
        return max(own) + 1 if own else 0

    def position_of(self, checkpoint: str, branch: int) -> Optional[int]:
        """Return the position of a checkpoint that was saved on ``branch`` as a command asked for; None if unknown."""
        return _saved_positions(self.rows).get((branch, checkpoint))


def read_log(rows: Iterable[Row], branches: Iterable[Tuple[int, int, int]]) -> EventLog:
    """Return the events of a record.

    Parameters
    ----------
    rows : iterable
        Of the table of events.
    branches : iterable
        Of the table of branches: id, parent, step at which it begins.

    Raises
    ------
    ValueError, TypeError, KeyError
        If a row holds something else than a record does.
    """
    placed = [
        {
            **json.loads(body),
            "step": int(step),
            "kind": str(kind),
            "sequence": number,
            "branch": int(branch),
            "time": time,
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
    """Count the events before each of its branch, where that is not recorded."""
    steps: Dict[int, List[int]] = {}
    for row in rows:
        before = steps.setdefault(row["branch"], [])
        if _is_report(row):
            # It may have come some steps after the state that it reports of.
            row["position"] = int(row.get("position", bisect_right(before, row["step"])))
        else:
            row["position"] = int(row.get("position", len(before)))
            before.append(row["step"])


def _parents(rows: List[Dict[str, Any]], branches: Dict[int, Tuple[int, int]]) -> Dict[int, BranchPoint]:
    """Return the state that each branch goes on from.

    Where the events of a branch do not tell it, the event of its beginning names the checkpoint that was restored.
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
    """Return the positions of checkpoints that commands saved, by branch and name; of several, that of the newest.

    Several changes that took effect together share the checkpoint of the state before them all.
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
