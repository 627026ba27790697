"""Branches of a run: a run that is rewound, or set to another state, continues on a new branch.

A state is identified by its branch, its step, and the number of earlier events on that branch: several events can
occur between two training steps, and a state can lie between any two of them.
"""

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from qatviz.protocol.events import Event

#: Branch of an event to which no place is assigned yet.
UNPLACED = -1


class BranchPoint(NamedTuple):
    """Place of a state on the branches of a run.

    Attributes
    ----------
    branch : int
        Branches are numbered from 0 in the order of their creation.
    step : int
        Number of training steps complete.
    position : int or None
        Number of earlier events on the branch. None: unknown; all events at ``step`` then count as earlier.
    """

    branch: int
    step: int
    position: Optional[int] = None


class BranchPath:
    """Path from the start of a run to a state: its branches in order, each up to the point where the next one starts.

    Attributes
    ----------
    pieces : tuple of (int, BranchPoint or None)
        Each branch with the point up to which it is part of the path; None: all of it.
    """

    def __init__(self, pieces: Tuple[Tuple[int, Optional[BranchPoint]], ...]):
        self.pieces = pieces
        self._limits = dict(pieces)

    def includes(self, point: BranchPoint) -> bool:
        """Return whether the state at ``point`` is on this path."""
        if point.branch not in self._limits:
            return False
        limit = self._limits[point.branch]
        if limit is None or point.step < limit.step:
            return True
        if point.step > limit.step or limit.position is None or point.position is None:
            return point.step == limit.step
        return point.position <= limit.position

    def common_step(self, other: "BranchPath") -> float:
        """Return the last step that both paths have in common; infinite if they end on the same branch, -1 if none."""
        common = -1.0
        for branch, _ in self.pieces:
            if branch in other._limits:
                common = min(self.last_step(branch), other.last_step(branch))
        return common

    def last_step(self, branch: int) -> float:
        """Return the last step of ``branch`` on the path: infinite for the last branch, -1 for a branch not on it."""
        if branch not in self._limits:
            return -1
        limit = self._limits[branch]
        return float("inf") if limit is None else limit.step


class BranchTree:
    """Starting point of each branch.

    Attributes
    ----------
    newest : int
        The branch that the run is on.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._parents: Dict[int, Optional[BranchPoint]] = {0: None}

    def copy(self) -> "BranchTree":
        """Return an independent copy of the tree."""
        tree = BranchTree()
        tree.newest, tree._parents = self.newest, dict(self._parents)
        return tree

    def add(self, branch: int, parent: Optional[BranchPoint]) -> bool:
        """Add a branch and return whether it is now the newest; ``parent`` None: unknown, or the start of the run."""
        if parent is not None or branch not in self._parents:
            self._parents[branch] = parent
        is_newer = branch > self.newest
        self.newest = max(branch, self.newest)
        return is_newer

    def parent_of(self, branch: int) -> Optional[BranchPoint]:
        """Return the point at which a branch starts; None for the first branch, or if unknown."""
        return self._parents.get(branch)

    def path(self, branch: Optional[int] = None) -> BranchPath:
        """Return the path to the end of ``branch``, by default the newest one."""
        number = self.newest if branch is None else branch
        limit: Optional[BranchPoint] = None
        pieces: List[Tuple[int, Optional[BranchPoint]]] = []
        while True:
            pieces.append((number, limit))
            parent = self._parents.get(number)
            if parent is None or parent.branch >= number:  # no branch starts on itself or on a later one
                return BranchPath(tuple(reversed(pieces)))
            if limit is not None and parent.step > limit.step:  # the path leaves this branch before it has begun
                parent = BranchPoint(parent.branch, limit.step)
            number, limit = parent.branch, parent


class BranchCursor:
    """Position of a run on its branches; assigns places to events and starts new branches.

    Parameters
    ----------
    tree : BranchTree, optional
        The branches so far; the run is at the end of the newest one.
    position : int
        Number of events on that branch so far.
    """

    def __init__(self, tree: Optional[BranchTree] = None, position: int = 0):
        self.tree = BranchTree() if tree is None else tree
        self.position = position

    def copy(self) -> "BranchCursor":
        """Return an independent cursor at the same place."""
        return BranchCursor(self.tree.copy(), self.position)

    @property
    def branch(self) -> int:
        """The branch that the run is on."""
        return self.tree.newest

    def point(self, step: int) -> BranchPoint:
        """Return the place of the current state, after ``step`` training steps."""
        return BranchPoint(self.branch, step, self.position)

    def fork(self, parent: BranchPoint) -> int:
        """Start a new branch at ``parent``; return its number."""
        self.tree.add(self.branch + 1, parent)
        self.position = 0
        return self.branch

    def place(self, event: "Event") -> "Event":
        """Return ``event`` with a place, by default the current one, and advance the cursor past it."""
        if event.branch == UNPLACED:
            event = event.placed(self.branch, self.position, self.tree.parent_of(self.branch))
        elif self.tree.add(event.branch, event.parent):
            self.position = 0
        if event.branch == self.branch and not event.is_report:
            self.position = max(self.position, event.position + 1)
        return event

    def place_at(self, event: "Event", point: BranchPoint) -> "Event":
        """Return ``event``, a report on the state at ``point``, with that place."""
        return event.placed(point.branch, point.position or 0, self.tree.parent_of(point.branch))
