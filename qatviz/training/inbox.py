"""The queue of commands from everybody to the training thread: lossless and ordered."""

import threading
from collections import deque
from typing import Deque, List, NamedTuple

from qatviz.errors import RunStateError
from qatviz.protocol.commands import Command


class Sent(NamedTuple):
    """A command with the number it was sent under, counting from 1; 0 are commands of the run's own schedule."""

    sequence: int
    command: Command


class Inbox:
    """Any thread sends; the training thread takes."""

    def __init__(self):
        self._waiting: Deque[Sent] = deque()
        self._arrived = threading.Condition()
        self._sequence = 0
        self._closed = False

    def send(self, command: Command) -> int:
        """Add a command; its number. :class:`RunStateError` once the run has ended (a command is never silently lost),
        or if it is none.
        """
        if not isinstance(command, Command):
            raise RunStateError(f"{command!r} is not a command of qatviz.protocol.commands")
        with self._arrived:
            if self._closed:
                raise RunStateError(f"{command.describe()}: the run has ended")
            self._sequence += 1
            self._waiting.append(Sent(self._sequence, command))
            self._arrived.notify_all()
            return self._sequence

    def take_all(self) -> List[Sent]:
        """All commands that wait, in order."""
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
        """Take no more commands; those that came too late."""
        with self._arrived:
            self._closed = True
            taken, self._waiting = list(self._waiting), deque()
            return taken
