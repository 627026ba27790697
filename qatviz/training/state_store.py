"""States of a run in memory: for undo and redo, and checkpoints by name."""

from collections import OrderedDict
from typing import List, Optional

from qatviz.errors import RunStateError
from qatviz.protocol.run_state import RunState

#: Memory limit of all states together; the oldest unnamed ones are dropped first.
MEMORY_LIMIT_BYTES = 512 * 2**20
#: Largest number of states for undo.
UNDO_LIMIT = 32


class StateStore:
    """Undo and redo stacks, and checkpoints by name, within a memory limit."""

    def __init__(self, memory_limit: int = MEMORY_LIMIT_BYTES, undo_limit: int = UNDO_LIMIT):
        self._memory_limit, self._undo_limit = memory_limit, undo_limit
        self._undo: List[RunState] = []
        self._redo: List[RunState] = []
        self._named: OrderedDict[str, RunState] = OrderedDict()
        #: Size of all states, which is not summed again for each of thousands of commands.
        self._nbytes = 0

    def push_undo(self, state: RunState) -> None:
        """Push the state that a change replaces, and clear the redo stack."""
        self._push(self._undo, state)
        while self._redo:
            self._pop(self._redo)
        self._trim()

    def undo(self, present: RunState) -> RunState:
        """Return the state before the last change, and push ``present`` for :meth:`redo`."""
        if not self._undo:
            raise RunStateError("there is nothing to undo")
        self._push(self._redo, present)
        return self._pop(self._undo)

    def redo(self, present: RunState) -> RunState:
        """Return the state before the last :meth:`undo`, and push ``present`` for :meth:`undo`."""
        if not self._redo:
            raise RunStateError("there is nothing to redo")
        self._push(self._undo, present)
        return self._pop(self._redo)

    def keep(self, state: RunState) -> None:
        """Store a checkpoint by its name, replacing one of the same name."""
        replaced = self._named.pop(state.name, None)
        self._nbytes += state.nbytes - (replaced.nbytes if replaced else 0)
        self._named[state.name] = state
        self._trim()

    def drop(self, name: str) -> None:
        """Forget the checkpoint with this name, if it is in memory."""
        dropped = self._named.pop(name, None)
        self._nbytes -= dropped.nbytes if dropped else 0

    def named(self, name: str) -> Optional[RunState]:
        """Return the state with this name, also one for undo or redo; None if it is not in memory."""
        if name in self._named:
            return self._named[name]
        return next((state for state in reversed(self._redo + self._undo) if state.name == name), None)

    def names(self) -> List[str]:
        """Return the names of all states that :meth:`named` finds, each once."""
        return list(dict.fromkeys([*self._named, *(state.name for state in self._undo + self._redo)]))

    def _push(self, states: List[RunState], state: RunState) -> None:
        states.append(state)
        self._nbytes += state.nbytes

    def _pop(self, states: List[RunState], index: int = -1) -> RunState:
        state = states.pop(index)
        self._nbytes -= state.nbytes
        return state

    def _trim(self) -> None:
        # The newest undo state always stays: a change must be revocable however large the network is.
        while len(self._undo) > self._undo_limit or (len(self._undo) > 1 and self._nbytes > self._memory_limit):
            self._pop(self._undo, 0)
        while len(self._named) > 1 and self._nbytes > self._memory_limit:
            self._nbytes -= self._named.popitem(last=False)[1].nbytes
