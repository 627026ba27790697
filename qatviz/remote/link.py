"""Connection to a peer: frames in both directions, and the detection of a lost peer.

Three threads read, write and watch. Frames of :meth:`Link.send` are written first, in order; then frames of the feeds,
while the peer has fewer than :data:`WINDOW` bytes yet to acknowledge. So few bytes wait in the buffers of the network,
and a new frame arrives soon, however slow the connection is.
"""

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional

import numpy as np

from qatviz.errors import QatvizError
from qatviz.remote.errors import FrameError, LinkError
from qatviz.remote.frames import Frame, Limits, encode, read_frame
from qatviz.remote.streams import Stream

#: Number of unacknowledged bytes at which the feeds wait: those that a connection of 10 Mbit/s transfers in 77 ms.
WINDOW = 96_000
#: Number of received bytes after which an acknowledgement is sent.
_ACKNOWLEDGED = 4096
#: Largest number of bytes that may wait to be written: beyond it, the peer does not read, and the connection is ended.
_MOST_WAITING = 1 << 28
#: Seconds that frames which a peer sent before it closed the connection are still read once nothing can be written.
_LAST_FRAMES_S = 2.0
#: Seconds between two pings, and seconds without received bytes after which the connection is considered lost.
PING_S, SILENCE_S = 2.0, 10.0
ACK, PING = "ack", "ping"

#: Source of telemetry: returns its next frame, encoded; None if there is none now.
Feed = Callable[[], Optional[bytes]]


class Link:
    """Connection over a stream on which both peers have already greeted each other.

    Parameters
    ----------
    stream : Stream
    limits : Limits
        Limits of received frames.
    peer_limits : Limits
        Limits of sent frames: those that the peer accepts.
    on_frame : callable (header, arrays)
        Called on the reading thread with each frame. An exception ends the connection.
    on_end : callable (str)
        Called once, on any thread, with the reason why the connection has ended; empty if it was closed here.
    name : str
        Part of the names of the threads.
    """

    def __init__(
        self,
        stream: Stream,
        limits: Limits,
        peer_limits: Limits,
        on_frame: Callable[[Dict[str, Any], Dict[str, np.ndarray]], None],
        on_end: Callable[[str], None],
        name: str,
    ):
        self._stream, self._limits, self._peer_limits = stream, limits, peer_limits
        self._on_frame, self._on_end = on_frame, on_end
        self._changed = threading.Condition()
        self._waiting: Deque[bytes] = deque()
        self._waiting_bytes = 0
        self._feeds: List[Feed] = []
        self._sent = self._acknowledged = 0  # bytes of all frames sent, and of those that the peer has received
        self._received = self._reported = 0  # bytes of all frames received, and of those that were acknowledged
        self._news = 0  # number of changes, so that none is missed between calling the feeds and waiting
        self._ended, self._reason, self._is_writing = False, "", False
        self._heard = time.monotonic()  # time at which bytes were last received
        self._quit = threading.Event()
        targets = (("reader", self._read), ("writer", self._write), ("watch", self._watch))
        self._threads = [
            threading.Thread(target=target, name=f"qatviz-{name}-{role}", daemon=True) for role, target in targets
        ]
        self._reader = self._threads[0]

    def start(self) -> None:
        """Start the threads, once."""
        for thread in self._threads:
            thread.start()

    def send(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] = {}) -> None:
        """Send a frame without waiting.

        Raises
        ------
        LinkError
            If the connection has ended.
        TooLargeError
            If the peer does not accept the frame; the connection goes on.
        """
        self.send_encoded(encode(header, arrays, self._peer_limits))

    def send_encoded(self, frame: bytes) -> None:
        """Send a frame, encoded within the peer's limits, without waiting; raise LinkError as :meth:`send` does."""
        with self._changed:
            if self._ended:
                raise LinkError(self._reason or "the connection is closed")
            self._waiting.append(frame)
            self._waiting_bytes += len(frame)
            is_stuck = self._waiting_bytes > _MOST_WAITING
            self._notify()
        if is_stuck:
            self.end(f"the other side does not read: more than {_MOST_WAITING:,} bytes wait")

    def add_feed(self, feed: Feed) -> None:
        """Call ``feed`` for frames, on the writing thread, whenever there is room for one."""
        with self._changed:
            self._feeds.append(feed)
            self._notify()

    def remove_feed(self, feed: Feed) -> None:
        """Call ``feed`` no more, but for a call that the writing thread has begun."""
        with self._changed:
            if feed in self._feeds:
                self._feeds.remove(feed)

    def notify(self) -> None:
        """Wake the writing thread, because a feed has something new."""
        with self._changed:
            self._notify()

    def end(self, reason: str = "") -> None:
        """End the connection, and report the reason; later calls have no effect."""
        with self._changed:
            if self._ended:
                return
            self._ended, self._reason = True, reason
            self._notify()
        self._quit.set()
        self._stream.close()
        self._on_end(reason)

    def flush(self, timeout_s: float) -> None:
        """Wait until all frames of :meth:`send` are written, at most ``timeout_s`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or not (self._waiting or self._is_writing), timeout_s)

    def join(self) -> None:
        """Wait until the threads have ended, except the calling one."""
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join()

    def _notify(self) -> None:
        self._news += 1
        self._changed.notify_all()

    # Threads

    def _read(self) -> None:
        try:
            while True:
                frame, size = read_frame(self._read_some, self._limits)
                self._received += size
                self._process(frame)
                if self._received - self._reported >= _ACKNOWLEDGED:
                    self._reported = self._received
                    self.send({"t": ACK, "bytes": self._received})
        except EOFError:
            self.end(self._stream.last_messages() or "the connection has ended")
        except QatvizError as error:  # an invalid frame, or the connection was closed here
            self.end(str(error))
        except Exception as error:
            self.end(f"{type(error).__name__}: {error}")
            raise

    def _read_some(self, length: int) -> bytes:
        part = self._stream.read(length)
        self._heard = time.monotonic()
        return part

    def _process(self, frame: Frame) -> None:
        header, arrays = frame
        kind = header.get("t")
        if kind == ACK:
            count = header.get("bytes")
            if isinstance(count, bool) or not isinstance(count, int):
                raise FrameError(f"an acknowledgement of {count!r}: expected a number of bytes")
            with self._changed:
                self._acknowledged = count
                self._notify()
        elif kind != PING:
            self._on_frame(header, arrays)

    def _write(self) -> None:
        try:
            while True:
                frame = self._next()
                if frame is None:
                    return
                self._stream.write(frame)
                with self._changed:
                    self._is_writing = False
                    self._notify()
        except OSError as error:
            # The peer has closed the connection: its last frames, such as the request to start a run, may be unread.
            self._reader.join(_LAST_FRAMES_S)
            self.end(self._stream.last_messages() or f"the connection has ended: {error.strerror or error}")
        except Exception as error:
            self.end(f"{type(error).__name__}: {error}")
            raise

    def _next(self) -> Optional[bytes]:
        """Wait for the next frame to write, and return it; None at the end."""
        while True:
            with self._changed:
                if self._ended:
                    return None
                if self._waiting:
                    frame = self._waiting.popleft()
                    self._waiting_bytes -= len(frame)
                    self._sent += len(frame)
                    self._is_writing = True
                    return frame
                news = self._news
                feeds = list(self._feeds) if self._sent - self._acknowledged < WINDOW else []
            for feed in feeds:
                found = feed()
                if found is not None:
                    self._turn(feed)
                    self._sent += len(found)
                    return found
            with self._changed:
                if self._news == news:
                    self._changed.wait()

    def _turn(self, feed: Feed) -> None:
        """Move a feed to the end of the list, so that the other feeds are called first next time."""
        with self._changed:
            if feed in self._feeds:
                self._feeds.remove(feed)
                self._feeds.append(feed)

    def _watch(self) -> None:
        while not self._quit.wait(PING_S):
            if time.monotonic() - self._heard > SILENCE_S:
                self.end(f"nothing was received for {SILENCE_S:g} s")
                return
            try:
                self.send({"t": PING})
            except LinkError:
                return
