"""Calls of a server: those that are not wanted any more, the end of the server during one, and exports in pieces."""

import contextlib
import os
import threading

import pytest
from staging import StagedRun
from waiting import ENDLESS_S, join, wait_for, wait_until

from qatviz.errors import NetworkError, QatvizError
from qatviz.export.progress import Progress
from qatviz.remote.errors import LinkError
from qatviz.remote.exports import _Pace, fetched_export
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.session import inspection
from qatviz.session.model_info import ModelQuestion
from qatviz.session.prepared import Prepared
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import NewRunRequest


def test_a_call_that_times_out_is_cancelled_and_does_not_count(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.server._MOST_CALLS", 1)
    monkeypatch.setattr("qatviz.remote.remote_workplace.QUICK_S", 0.0)
    go_on = threading.Event()
    stage.workplace.data_names = lambda: go_on.wait(ENDLESS_S) and ()
    client = stage.client()
    with pytest.raises(LinkError, match="has not answered for 0 s"):
        RemoteWorkplace(client).data_names()
    (session,) = wait_until(lambda: stage.server._sessions)
    wait_until(lambda: [cancelled.is_set() for cancelled in session._cancelled.values()] == [True])
    stage.workplace.delete_run = lambda directory: None
    RemoteWorkplace(client).delete_run("run")  # there is room for a call
    go_on.set()
    wait_until(lambda: not session._calls)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_server_that_is_closed_gets_no_run_from_a_call_in_progress(stage, monkeypatch, is_cut):
    begun, go_on, run = threading.Event(), threading.Event(), StagedRun("mlp")
    discarded = []
    run.discard = lambda: discarded.append(run)

    def prepare(request, notify):
        begun.set()
        wait_for(go_on)
        return Prepared(run, run.network, run.book, "late", 12.0, "")

    def open_run():
        with contextlib.suppress(QatvizError):
            RemoteWorkplace(client).prepare(NewRunRequest(), lambda notice: None)

    stage.workplace.prepare, client = prepare, stage.client()
    window = threading.Thread(target=open_run)
    window.start()
    wait_for(begun)
    (session,) = stage.server._sessions
    (call,) = session._calls.values()
    if is_cut:
        client.close()
        wait_until(lambda: not stage.server._sessions)
    waited = call.join
    monkeypatch.setattr(call, "join", lambda *given: go_on.set() or waited(*given))  # the server waits for it
    stage.server.close()
    was_waited_for = go_on.is_set()
    go_on.set()
    join(window, call)
    assert was_waited_for and not stage.server._runs and discarded == [run]


def test_an_export_is_fetched_with_several_requests_in_flight(stage, tmp_path, monkeypatch):
    monkeypatch.setattr("qatviz.remote.exports._clock", lambda: 0.0)  # no piece waits for another
    content = os.urandom(40 * (1 << 16) + 123)

    def export(request, progress):
        for name in (request.out, request.out + ".parity.json"):
            with open(name, "wb") as file:
                file.write(content if name == request.out else b"")
        return {"files": [request.out]}

    stage.workplace.export = export
    client, most, lock, present = stage.client(), [0], threading.Lock(), [0]
    call, together = client.call, threading.Event()

    def counted(name, *given):
        if name != "read":
            return call(name, *given)
        with lock:
            present[0] += 1
            most[0] = max(most[0], present[0])
            if most[0] == 16:
                together.set()
            is_late = given[0][2] >= 20 * (1 << 16)
        try:
            if is_late:
                wait_for(together)
            return call(name, *given)
        finally:
            with lock:
                present[0] -= 1

    monkeypatch.setattr(client, "call", counted)
    fetched_export(client, ExportRequest("run", "final", out=str(tmp_path / "a.tflite")), Progress())
    assert (tmp_path / "a.tflite").read_bytes() == content and most[0] == 16
    assert (tmp_path / "a.tflite.parity.json").read_bytes() == b""


def test_pieces_that_wait_for_others_are_requested_one_at_a_time():
    pace = _Pace()
    for _ in range(40):
        pace.note(0.1)
    assert pace.requests == 16
    for _ in range(40):
        pace.note(0.2)
    assert pace.requests == 1


class Inspecting:
    """Inspector whose inspections last until they are cancelled."""

    begun = threading.Event()

    def __init__(self):
        self._cancelled = threading.Event()

    def inspect(self, question):
        self.begun.set()
        wait_for(self._cancelled)
        raise NetworkError(f"{question.path}: cancelled", "model")

    def cancel(self):
        self._cancelled.set()


@pytest.mark.parametrize("end", [RemoteWorkplace.cancel_checks, RemoteWorkplace.close])
def test_checks_of_models_are_cancelled_by_their_own_window_only(stage, monkeypatch, end):
    monkeypatch.setattr(inspection, "ModelInspector", Inspecting)
    monkeypatch.setattr(Inspecting, "begun", threading.Event())
    ana, bob, found = RemoteWorkplace(stage.client()), RemoteWorkplace(stage.client("bob@desk")), []

    def check():
        try:
            ana.check_model(ModelQuestion("a.h5"))
        except QatvizError as error:
            found.append(str(error))

    checking = threading.Thread(target=check)
    checking.start()
    wait_for(Inspecting.begun)
    bob.cancel_checks()
    session = next(session for session in stage.server._sessions if session.viewer.id == "ana@laptop")
    assert not found and session.has_calls and not session._checks._inspector._cancelled.is_set()
    end(ana)
    join(checking)
    wait_until(lambda: not session.has_calls)
    assert len(found) == 1
