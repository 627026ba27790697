"""The end of a connection: what the peer sent before it closed the connection is processed."""

import threading

from waiting import wait_for

from qatviz.remote import link as module
from qatviz.remote.frames import FROM_SERVER, FROM_VIEWER, encode
from qatviz.remote.link import Link
from qatviz.remote.streams import Stream


class ClosedByPeer(Stream):
    """Stream whose peer has sent frames and then closed it: writing fails before they are read."""

    def __init__(self, sent):
        self._unread, self._has_failed, self.is_closed = sent, threading.Event(), threading.Event()

    def read(self, length):
        wait_for(self._has_failed)
        if self.is_closed.is_set():
            return b""
        part, self._unread = self._unread[:length], self._unread[length:]
        return part

    def write(self, data):
        self._has_failed.set()
        raise BrokenPipeError(32, "Broken pipe")

    def close(self):
        self.is_closed.set()


def test_the_last_frames_of_a_peer_are_read_although_writing_fails():
    sent = encode({"t": "start", "run": "a"}, {}, FROM_VIEWER) + encode({"t": "stop"}, {}, FROM_VIEWER)
    received, ended, reasons = [], threading.Event(), []

    def end(reason):
        reasons.append(reason)
        ended.set()

    link = Link(
        ClosedByPeer(sent), FROM_VIEWER, FROM_SERVER, lambda header, arrays: received.append(header["t"]), end, "test"
    )
    link.send({"t": "status"})
    link.start()
    wait_for(ended)
    link.join()
    assert received == ["start", "stop"] and len(reasons) == 1 and "has ended" in reasons[0]


class SilentPeer(ClosedByPeer):
    """Stream from which nothing more arrives, although writing fails."""

    def read(self, length):
        wait_for(self.is_closed)
        return b""


def test_a_peer_that_sends_nothing_more_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(module, "_LAST_FRAMES_S", 0.05)
    ended, stream = threading.Event(), SilentPeer(b"")
    link = Link(stream, FROM_VIEWER, FROM_SERVER, lambda header, arrays: None, lambda reason: ended.set(), "test")
    link.send({"t": "status"})
    link.start()
    wait_for(ended)
    link.join()
    assert stream.is_closed.is_set()
