"""Faults at the edges of a connection: crossing frames, servers that end at once, strangers, failed exports."""

import io
import os
import socket
import threading

import pytest
from remote_stage import refuse_trash, until_answered
from staging import StagedRun
from waiting import ENDLESS_S, wait_until

from qatviz.errors import ExportError, QatvizError, RunStateError
from qatviz.export.progress import Cancelled, Progress
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.snapshots import StepRecord
from qatviz.remote import serving
from qatviz.remote.client import Client
from qatviz.remote.errors import LinkError, RemoteFailure
from qatviz.remote.exports import ExportedFiles, fetched_export
from qatviz.remote.forms import form_of
from qatviz.remote.frames import FROM_SERVER, FROM_VIEWER, Limits, encode, read_exactly, read_frame
from qatviz.remote.handshake import GREETING, Viewer
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.server import Server, prepared_form
from qatviz.remote.streams import SocketStream
from qatviz.remote.subscription import Numbered, Subscription
from qatviz.remote.telemetry import EVENTS, Tail
from qatviz.report.run_data import KnownResults
from qatviz.session import export_process
from qatviz.session.record_requests import ExportRequest
from qatviz.session.workplace import LocalWorkplace


def another_handle(stage, remote):
    """Return a second handle of a run for the same client, as of a second window that opens it."""
    arrays = []
    found = prepared_form(stage.server.run(remote.hosted_id), [], arrays)
    return RemoteWorkplace(stage.clients[0])._prepared(found, arrays).run


def steps_seen(handle, seen):
    seen.extend(item.step for item in handle.drain() if isinstance(item, StepRecord))
    return seen


def test_two_windows_of_one_program_show_a_run_and_one_can_leave(stage):
    first, run = stage.staged()
    second = another_handle(stage, first)
    wait_until(lambda: len(first.connection.viewers) == 2 == len(second.connection.viewers))
    assert not first.connection.steers and not second.connection.steers
    run.advance(3)
    ours, theirs = [], []
    wait_until(lambda: 3 in steps_seen(first, ours) and 3 in steps_seen(second, theirs))
    second.send(c.Evaluate())
    until_answered(second)
    first.leave()
    wait_until(lambda: second.connection.viewers == ())
    run.advance(1)
    wait_until(lambda: 4 in steps_seen(second, theirs))
    stage.renew(second)
    run.advance(1)
    wait_until(lambda: 5 in steps_seen(second, theirs))


def test_frames_that_cross_with_the_end_of_a_subscription_are_ignored(stage):
    ana, _ = stage.staged()
    client, link = stage.clients[0], stage.clients[0]._link
    for frame in ({"t": "fill", "tail": [0, 0, 0]}, {"t": "view", "histograms": False}, {"t": "steer"}):
        client.send({**frame, "run": "left"})
    client.send({"t": "answer", "run": "left", "hands_over": True})
    assert RemoteWorkplace(client).data_names() and client._link is link
    ana.show_histograms(None)  # the first frames of the next connection are attach and view
    stage.server._runs.pop(ana.hosted_id).close()
    stage.cut()
    wait_until(lambda: ana.state == "failed")
    link = client._link
    assert RemoteWorkplace(client).data_names() and client._link is link


def test_a_subscription_that_crosses_with_the_end_of_its_connection_is_ended(stage):
    ana, _ = stage.staged()
    hosted, (session,) = stage.server.run(ana.hosted_id), stage.server._sessions
    wait_until(lambda: hosted.has_viewers)
    session._on_end("lost")
    assert not hosted.has_viewers
    session._on_attach({"run": ana.hosted_id, "received": 0, "tail": [0, -1, -1]}, {})
    assert not hosted.has_viewers and not session._subscriptions


def test_a_subscription_whose_id_is_used_again_is_ended(stage):
    ana, _ = stage.staged()
    hosted, run, client = stage.server.run(ana.hosted_id), StagedRun("mlp"), stage.clients[0]
    other = stage.host(run, run.network, run.book, client=client).run
    wait_until(lambda: hosted.has_viewers)
    client.send(
        {"t": "attach", "run": other.hosted_id, "subscription": ana.hosted_id, "received": 0, "tail": [0, -1, -1]}
    )
    wait_until(lambda: not hosted.has_viewers)


def test_a_request_to_steer_ends_with_its_window(stage):
    ana, _ = stage.staged()
    arrays, client = [], stage.client("bob@desk")
    found = prepared_form(stage.server.run(ana.hosted_id), [], arrays)
    bob = RemoteWorkplace(client)._prepared(found, arrays).run
    bob.ask_to_steer()
    wait_until(lambda: ana.connection.asks == "bob@desk")
    bob.leave()
    wait_until(lambda: not ana.connection.asks)


class Waits:
    """The event of a client's end, which notes how long an attempt to connect waits for it."""

    def __init__(self, last):
        self.seconds, self._last, self._is_set = [], last, threading.Event()

    def is_set(self):
        return self._is_set.is_set()

    def set(self):
        self._is_set.set()

    def wait(self, seconds):
        self.seconds.append(seconds)
        return self._is_set.is_set() or len(self.seconds) >= self._last


def test_a_server_that_ends_each_connection_at_once_is_not_flooded():
    streams = []

    def connect():
        there, here = socket.socketpair()
        streams.append(there)
        there.sendall(GREETING + encode({"t": "welcome", "version": 1, "instance": "i", "host": "box"}))
        there.shutdown(socket.SHUT_WR)
        return SocketStream(here)

    client = Client(connect, "box", Viewer("v", "ana"))
    client._closed = Waits(5)
    client.open()
    wait_until(lambda: len(client._closed.seconds) == 5)
    assert client._closed.seconds == [0.0, 0.5, 1.0, 2.0, 4.0]
    client.close()
    for stream in streams:
        stream.close()


def test_the_end_does_not_wait_for_an_attempt_to_connect(stage):
    client, silent, begun = stage.client(), [], threading.Event()

    def connect():
        there, here = socket.socketpair()
        silent.append(there)
        begun.set()
        return SocketStream(here)

    client._connect = connect  # a network that swallows everything: no server answers
    stage.cut()
    assert begun.wait(ENDLESS_S)
    wait_until(lambda: client._connecting is not None)
    client.close()
    assert not any(thread.is_alive() for thread in client._threads)
    never = Client(connect, "box", Viewer("v", "ana"))
    aborted = threading.Thread(target=lambda: (wait_until(lambda: never._connecting), never.abort_connecting()))
    aborted.start()
    with pytest.raises(LinkError):
        never.open()
    aborted.join()
    late = Client(connect, "box", Viewer("v", "ana"))
    late.abort_connecting()  # before a thread begins to connect
    with pytest.raises(LinkError, match="was closed"):
        late.open()
    for stream in silent:
        stream.close()


def test_a_failing_report_of_progress_fails_the_call_and_not_the_connection(stage):
    client = stage.client()
    link = client._link

    def read_runs(folder, progress):
        while True:
            progress.at("reading", 0.5)

    def fail(what, fraction):
        raise RuntimeError("the window is gone")

    stage.workplace.read_runs = read_runs
    with pytest.raises(RuntimeError, match="the window is gone"):
        RemoteWorkplace(client).read_runs("", Progress(fail))
    assert RemoteWorkplace(client).data_names() and client._link is link


def test_a_call_too_many_fails_and_not_the_connection(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.server._MOST_CALLS", 1)
    begun, go_on = threading.Event(), threading.Event()

    def data_names():
        begun.set()
        go_on.wait(ENDLESS_S)
        return ()

    stage.workplace.data_names = data_names
    client = stage.client()
    link, place = client._link, RemoteWorkplace(client)
    first = threading.Thread(target=place.data_names)
    first.start()
    assert begun.wait(ENDLESS_S)
    with pytest.raises(QatvizError, match="'kind_of' is not executed: 1 calls"):
        place.kind_of("run")
    go_on.set()
    first.join()
    assert place.data_names() == () and client._link is link


def test_runs_that_the_server_does_not_have_share_no_evaluator(stage):
    run, seen = StagedRun("mlp"), []

    def evaluate(handle, directory, book, progress):
        seen.append(handle)
        raise RunStateError("no state")

    stage.workplace.evaluate = evaluate
    place = RemoteWorkplace(stage.client())
    for directory in ("one", "two"):
        with pytest.raises(RunStateError, match="no state"):
            place.evaluate(run, directory, run.book, Progress())
    assert seen[0] is not seen[1]


def test_an_invalid_answer_ends_the_connection_with_its_reason(stage):
    link = stage.client()._link
    wait_until(lambda: stage.server._sessions)[0]._link.send({"t": "result", "id": "x"})
    wait_until(lambda: link._ended)
    assert link._reason.startswith("an invalid frame of the kind 'result': id of a call is 'x'")


def test_an_error_in_the_program_is_named_in_a_line_and_traced_as_its_cause(stage):
    stage.workplace.data_names = lambda: 1 / 0
    with pytest.raises(RemoteFailure) as caught:
        RemoteWorkplace(stage.client()).data_names()
    assert str(caught.value) == "ZeroDivisionError: division by zero"
    assert "data_names = lambda" in str(caught.value.__cause__)


def test_an_answer_that_is_too_large_fails_its_call_and_not_the_connection(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.server.FROM_SERVER", Limits(1 << 16, 1 << 18, 1 << 16))
    stage.workplace.report = lambda *_: os.urandom(1 << 17)
    stage.workplace.kind_of = lambda path: "x" * (1 << 17)
    client = stage.client()
    link, place = client._link, RemoteWorkplace(client)
    with pytest.raises(
        QatvizError, match=r"result of 'report' can't be sent: it has 131,\d+ bytes; at most 65,536 are"
    ):
        place.report("run", KnownResults(), None)
    with pytest.raises(QatvizError, match="result of 'kind_of' can't be sent: it has 131,"):
        place.kind_of("run")
    assert place.data_names() and client._link is link


def test_arguments_that_are_too_large_fail_their_call_and_not_the_connection(stage):
    ana, _ = stage.staged()
    client = stage.clients[0]
    link, place = client._link, RemoteWorkplace(client)
    name = "x" * FROM_VIEWER.header
    with pytest.raises(QatvizError, match="arguments of 'kind_of' can't be sent to box: it has 4,194,"):
        place.kind_of(name)
    with pytest.raises(QatvizError, match="at most 4,194,304 are accepted"):
        ana.send(c.ApplyPreset(name))
    assert not ana.has_unanswered and place.data_names() and client._link is link


def test_reports_that_are_too_large_are_dropped_and_counted(stage, monkeypatch):
    ana, run = stage.staged()
    wait_until(lambda: ana.connection.viewers == ())
    monkeypatch.setattr("qatviz.remote.subscription.FROM_SERVER", Limits(1 << 12, 1 << 12, 1 << 12))
    run.take_snapshot()
    run.put(events.RecordFailed(run.step, "full"))
    link, seen = stage.clients[0]._link, []
    wait_until(lambda: seen.extend(ana.drain()) or any(isinstance(item, events.RecordFailed) for item in seen))
    wait_until(lambda: ana.dropped == 1)  # events are sent first
    assert stage.clients[0]._link is link


def test_many_events_are_sent_in_several_frames(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.subscription._MOST_EVENTS", 2)
    ana, run = stage.staged()
    for number in range(5):
        run.put(events.RecordFailed(run.step, str(number)))
    hosted, seen = stage.server.run(ana.hosted_id), []
    wait_until(lambda: seen.extend(ana.drain()) or len(seen) == 5)
    subscription = Subscription(hosted, "again", Viewer("v", "bob"), stage.clients[0]._link, Tail())
    for number, logged in enumerate(hosted._log, 1):
        subscription.channel.put_event(Numbered(number, logged.event))
    frames = []
    while sum(frame["t"] == EVENTS for frame in frames) < 3:
        frames.append(read_frame(io.BytesIO(subscription.next_frame()).read, FROM_SERVER)[0][0])
    subscription.end()
    sent = [(frame["first"], len(frame["events"])) for frame in frames if frame["t"] == EVENTS]
    assert sent == [(1, 2), (3, 2), (5, 1)]


def greeted(server, token):
    """Return the end of a stream that the server has greeted and waits for."""
    there, here = socket.socketpair()
    server.serve(SocketStream(there), token)
    return here


def test_strangers_are_limited_and_do_not_delay_the_end(monkeypatch):
    monkeypatch.setattr("qatviz.remote.server._MOST_STRANGERS", 2)
    server = Server(LocalWorkplace(refuse_trash), "box")
    silent = [greeted(server, "token") for _ in range(3)]
    for stream in silent[:2]:
        assert read_exactly(stream.recv, len(GREETING)) == GREETING
    assert silent[2].recv(1) == b""
    strangers = list(server._strangers)
    server.close()
    assert strangers and not any(thread.is_alive() for thread in strangers)
    for stream in silent:
        stream.close()


def test_a_peer_without_a_thread_is_turned_away_and_takes_no_place(monkeypatch):
    server = Server(LocalWorkplace(refuse_trash), "box")
    there, here = socket.socketpair()

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            server.serve(SocketStream(there), "token")
    assert here.recv(1) == b"" and not server._strangers
    server.close()
    here.close()


def test_a_token_that_is_no_unicode_text_is_refused():
    server = Server(LocalWorkplace(refuse_trash), "box")
    stranger = greeted(server, "token")
    stranger.sendall(encode({"t": "token", "token": "\ud800"}))
    wait_until(lambda: not server._strangers)
    assert b"the token is not that of this server" in stranger.recv(4096)
    server.close()
    stranger.close()


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "user_folder", lambda: str(tmp_path))
    monkeypatch.setattr(serving, "_ACCEPT_PAUSE_S", 0.0)
    listener = serving.Listener(LocalWorkplace(refuse_trash), "127.0.0.1", 0)
    yield listener
    listener.close()


def test_a_server_goes_on_after_an_error_of_accept(listener, monkeypatch):
    serve, failures = listener.server.serve, [RuntimeError("can't start new thread"), OSError(24, "Too many files")]

    def failing(stream, token):
        if failures:
            stream.close()
            raise failures.pop()
        serve(stream, token)

    monkeypatch.setattr(listener.server, "serve", failing)
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", listener.port)) as refused:
            assert not refused.recv(1)
    with socket.create_connection(("127.0.0.1", listener.port)) as admitted:
        assert read_exactly(admitted.recv, len(GREETING)) == GREETING


def test_the_port_of_a_server_that_was_killed_does_not_get_the_token(tmp_path):
    with socket.socket() as other:  # another program has the port by now, and answers like a server
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        state = tmp_path / "server.json"
        state.write_text(f'{{"host": "127.0.0.1", "port": {other.getsockname()[1]}, "pid": 1}}')

        class Ended:
            poll = staticmethod(lambda: 1)

        with pytest.raises(LinkError, match="has ended during its start"):
            serving._connected(tmp_path, lambda folder: Ended)
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.accept()
        assert not state.exists()


def test_a_file_that_cannot_be_written_frees_the_lock_of_the_server(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "user_folder", lambda: str(tmp_path))

    def fail(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(serving, "write_private_file", fail)
        with pytest.raises(QatvizError, match="No space left"):
            serving.Listener(LocalWorkplace(refuse_trash), "127.0.0.1", 0)
    serving.Listener(LocalWorkplace(refuse_trash), "127.0.0.1", 0).close()


# Exports


class Exporting:
    """Workplace whose export writes a file, then does ``then``."""

    def __init__(self, then=lambda: None):
        self.then, self.folders = then, []

    def export(self, request, progress):
        self.folders.append(os.path.dirname(request.out))
        with open(request.out, "wb") as file:
            file.write(b"abc")
        self.then()
        return {"files": [request.out]}


def request_form(out):
    return [form_of(ExportRequest("run", "final", out=str(out)), [])]


def test_files_of_failed_exports_are_deleted(tmp_path):
    def fail():
        raise ExportError("refused")

    files, failing = ExportedFiles(), Exporting(fail)
    with pytest.raises(ExportError, match="refused"):
        files.export(failing, request_form(tmp_path / "a.tflite"), Progress())
    late = Exporting(files.close)  # the connection ends during the export
    with pytest.raises(ExportError, match="connection has ended"):
        files.export(late, request_form(tmp_path / "a.tflite"), Progress())
    for folder in failing.folders + late.folders:
        assert not os.path.exists(folder)


class Fetching:
    """Client of a server with an export of one file, which fails to forget it."""

    place = "box"

    def __init__(self, error=None, piece=b"abc"):
        self.error, self.piece = error, piece

    def call(self, name, arguments, arrays, progress=None):
        if name == "export":
            return {"id": "x", "folder": "/there", "record": {"files": ["/there/a"]}, "files": [["a", 3]]}, []
        if name == "forget":
            raise LinkError("the connection to box is lost")
        if self.error is not None:
            raise self.error
        arrays = []
        return form_of(self.piece, arrays), arrays


def test_an_export_that_is_fetched_does_not_fail_at_its_clean_up(tmp_path):
    request = ExportRequest("run", "final", out=str(tmp_path / "a"))
    assert fetched_export(Fetching(), request, Progress())["files"] == [str(tmp_path / "a")]
    assert (tmp_path / "a").read_bytes() == b"abc"
    with pytest.raises(Cancelled):
        fetched_export(Fetching(Cancelled("cancelled")), request, Progress())


@pytest.mark.parametrize("piece, size", [(b"", 0), (b"abcd", 4)])
def test_a_file_that_has_another_size_than_announced_is_refused(tmp_path, piece, size):
    request = ExportRequest("run", "final", out=str(tmp_path / "a"))
    with pytest.raises(ExportError, match=f"a: has {size} bytes on box, expected 3"):
        fetched_export(Fetching(piece=piece), request, Progress())
    assert not (tmp_path / "a").exists()


def test_a_failing_report_of_progress_ends_the_export_process(monkeypatch):
    program = "import json; print(json.dumps({'progress': 0.1, 'what': 'a'})); print('x' * (1 << 20))"
    monkeypatch.setattr(export_process, "export_arguments", lambda request: ["-c", program])

    def fail(what, fraction):
        raise RuntimeError("the window is gone")

    with pytest.raises(RuntimeError, match="the window is gone"):
        export_process.run_export(ExportRequest("run", "final"), Progress(fail))
