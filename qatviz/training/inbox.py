"""The queue of commands from everybody to the training thread: lossless and ordered."""

import threading
from collections import deque
from typing import Deque, List, NamedTuple

from qatviz.errors import RunStateError
from qatviz.protocol.commands import Command, new_id


class Sent(NamedTuple):
    """A command with its id, and its number among those that were sent, from 1; 0 for those of the run's schedule."""

    number: int
    id: str
    command: Command


class Inbox:
    """Any thread sends; the training thread takes."""

    def __init__(self):
        self._waiting: Deque[Sent] = deque()
        self._arrived = threading.Condition()
        self._origin, self._number = new_id(), 0
        self._closed = False

    def send(self, command: Command) -> str:
        """Add a command; return its id.

        Raises
        ------
        RunStateError
            Once the run has ended: a command is never silently lost. Also if it is no command.
        """
        if not isinstance(command, Command):
            raise RunStateError(f"{command!r} is not a command of qatviz.protocol.commands")
        with self._arrived:
            if self._closed:
                raise RunStateError(f"{type(command).__name__}: the run has ended")
            self._number += 1
            sent = Sent(self._number, f"{self._origin}-{self._number}", command)
            self._waiting.append(sent)
            self._arrived.notify_all()
            return sent.id

    def take_all(self) -> List[Sent]:
        """Return all commands that wait, in order."""
        if not self._waiting:  # without the lock: this is asked between any two steps
            return []
        with self._arrived:
            taken, self._waiting = list(self._waiting), deque()
            return taken

    def wait(self, timeout_s: float) -> None:
        """Block until a command waits, at most ``timeout_s`` seconds."""
        with self._arrived:
            self._arrived.wait_for(lambda: bool(self._waiting), timeout_s)

    def close(self) -> List[Sent]:
        """Take no more commands; return those that came too late."""
        with self._arrived:
            self._closed = True
            taken, self._waiting = list(self._waiting), deque()
            return taken
