"""Queue of commands to the training thread: lossless and ordered."""

import threading
from collections import deque
from typing import Deque, List, NamedTuple

from qatviz.errors import RunStateError
from qatviz.protocol.commands import Command, new_id


class Sent(NamedTuple):
    """Command with its id and its number, which counts the commands sent from 1; that of scheduled commands is 0."""

    number: int
    id: str
    command: Command


class Inbox:
    """Queue to which any thread sends, and from which the training thread receives."""

    def __init__(self) -> None:
        self._waiting: Deque[Sent] = deque()
        self._arrived = threading.Condition()
        self._origin, self._number = new_id(), 0
        self._closed = False

    def send(self, command: Command, id: str = "") -> str:
        """Add a command; return its id, by default a new one.

        Raises
        ------
        RunStateError
            If the run has ended (a command is never lost silently), or ``command`` is not a command.
        """
        if not isinstance(command, Command):
            raise RunStateError(f"{command!r} is not a command of qatviz.protocol.commands")
        with self._arrived:
            if self._closed:
                raise RunStateError(f"{type(command).__name__}: the run has ended")
            self._number += 1
            sent = Sent(self._number, id or f"{self._origin}-{self._number}", command)
            self._waiting.append(sent)
            self._arrived.notify_all()
            return sent.id

    def drain(self) -> List[Sent]:
        """Return all pending commands, in order."""
        if not self._waiting:  # without the lock: called between any two training steps
            return []
        with self._arrived:
            taken, self._waiting = list(self._waiting), deque()
            return taken

    def wait(self, timeout_s: float) -> None:
        """Block until a command is pending, at most ``timeout_s`` seconds."""
        with self._arrived:
            self._arrived.wait_for(lambda: bool(self._waiting), timeout_s)

    def close(self) -> List[Sent]:
        """Refuse further commands; return the pending ones."""
        with self._arrived:
            self._closed = True
            taken, self._waiting = list(self._waiting), deque()
            return taken
