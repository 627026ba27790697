"""The branches of a run: one that is set to an earlier or another state continues from there on a new branch.

A state is placed by its branch, its step, and the number of events of that branch that came before it: several things
happen between two steps, and a state can lie between any two of them.
"""

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from qatviz.protocol.events import Event

#: Branch of an event that was not placed yet.
UNPLACED = -1


class BranchPoint(NamedTuple):
    """The place of a state.

    Attributes
    ----------
    branch : int
        Branches are numbered in the order in which they begin, from 0.
    step : int
        Number of training steps complete.
    position : int or None
        Number of events of the branch that came before; None: unknown, all those at ``step`` count as before.
    """

    branch: int
    step: int
    position: Optional[int] = None


class BranchPath:
    """What led to a state: the branches from the first one on, each up to the point where the next one begins.

    Attributes
    ----------
    pieces : tuple of (int, BranchPoint or None)
        Each branch with the point up to which it is part of the path; None: all of it.
    """

    def __init__(self, pieces: Tuple[Tuple[int, Optional[BranchPoint]], ...]):
        self.pieces = pieces
        self._limits = dict(pieces)

    def includes(self, point: BranchPoint) -> bool:
        """Whether the run was in the state at ``point`` on its way."""
        if point.branch not in self._limits:
            return False
        limit = self._limits[point.branch]
        if limit is None or point.step < limit.step:
            return True
        if point.step > limit.step or limit.position is None or point.position is None:
            return point.step == limit.step
        return point.position <= limit.position

    def common_step(self, other: "BranchPath") -> float:
        """Return the last step that both paths have in common; infinite if they end on the same branch."""
        common = -1.0
        for branch, _ in self.pieces:
            if branch in other._limits:
                common = min(self.last_step(branch), other.last_step(branch))
        return common

    def last_step(self, branch: int) -> float:
        """Return the last step of a branch that is part of the path: infinite of the last branch, -1 of no part."""
        if branch not in self._limits:
            return -1
        limit = self._limits[branch]
        return float("inf") if limit is None else limit.step


class BranchTree:
    """Where each branch begins.

    Attributes
    ----------
    newest : int
        The branch that the run is on.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._parents: Dict[int, Optional[BranchPoint]] = {0: None}

    def copy(self) -> "BranchTree":
        """Return another tree with the same branches."""
        tree = BranchTree()
        tree.newest, tree._parents = self.newest, dict(self._parents)
        return tree

    def add(self, branch: int, parent: Optional[BranchPoint]) -> bool:
        """Note where a branch begins (None: with the run, or unknown); return whether it is the newest by now."""
        if parent is not None or branch not in self._parents:
            self._parents[branch] = parent
        is_newer = branch > self.newest
        self.newest = max(branch, self.newest)
        return is_newer

    def parent_of(self, branch: int) -> Optional[BranchPoint]:
        """Return the point that a branch goes on from; None for the first one, and where it is unknown."""
        return self._parents.get(branch)

    def path(self, branch: Optional[int] = None) -> BranchPath:
        """Return what led to the end of ``branch``, by default the newest one."""
        number = self.newest if branch is None else branch
        limit: Optional[BranchPoint] = None
        pieces: List[Tuple[int, Optional[BranchPoint]]] = []
        while True:
            pieces.append((number, limit))
            parent = self._parents.get(number)
            if parent is None or parent.branch >= number:  # no branch begins on itself, or on a later one
                return BranchPath(tuple(reversed(pieces)))
            if limit is not None and parent.step > limit.step:  # what came before the branch was meant
                parent = BranchPoint(parent.branch, limit.step)
            number, limit = parent.branch, parent


class BranchCursor:
    """Where a run is on its branches: places its events, and begins new branches.

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
        """Return another cursor at the same place, which does not follow this one."""
        return BranchCursor(self.tree.copy(), self.position)

    @property
    def branch(self) -> int:
        """The branch that the run is on."""
        return self.tree.newest

    def point(self, step: int) -> BranchPoint:
        """Return the place of the present state, which is after ``step`` steps."""
        return BranchPoint(self.branch, step, self.position)

    def fork(self, parent: BranchPoint) -> int:
        """Begin a new branch at ``parent``; return its number."""
        self.tree.add(self.branch + 1, parent)
        self.position = 0
        return self.branch

    def place(self, event: "Event") -> "Event":
        """Return ``event`` placed at the present, unless it is placed; what comes later is placed after it."""
        if event.branch == UNPLACED:
            event = event.placed(self.branch, self.position, self.tree.parent_of(self.branch))
        elif self.tree.add(event.branch, event.parent):
            self.position = 0
        if event.branch == self.branch and not event.is_report:
            self.position = max(self.position, event.position + 1)
        return event

    def place_at(self, event: "Event", point: BranchPoint) -> "Event":
        """Return ``event``, which reports something of the state at ``point``, placed there."""
        return event.placed(point.branch, point.position or 0, self.tree.parent_of(point.branch))
