"""Calls of a server: those that are not wanted any more, the end of the server during one, and exports in pieces."""

import threading

import pytest
from waiting import ENDLESS_S, wait_until

from qatviz.remote.errors import LinkError
from qatviz.remote.remote_workplace import RemoteWorkplace


def test_a_call_that_times_out_is_cancelled_and_does_not_count(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.server._MOST_CALLS", 1)
    monkeypatch.setattr("qatviz.remote.remote_workplace.QUICK_S", 0.0)
    go_on = threading.Event()
    stage.workplace.data_names = lambda: go_on.wait(ENDLESS_S) and ()
    client = stage.client()
    with pytest.raises(LinkError, match="has not answered for 0 s"):
        RemoteWorkplace(client).data_names()
    (session,) = stage.server._sessions
    wait_until(lambda: [cancelled.is_set() for cancelled in session._cancelled.values()] == [True])
    stage.workplace.delete_run = lambda directory: None
    RemoteWorkplace(client).delete_run("run")  # there is room for a call
    go_on.set()
    wait_until(lambda: not session._calls)
