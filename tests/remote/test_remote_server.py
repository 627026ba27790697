"""A server admits who shows the token, speaks versions, hands over the steering, and survives hostile peers."""

import contextlib
import socket
import stat
import threading

import pytest
from remote_stage import refuse_trash, until_answered
from waiting import wait_until

from qatviz.errors import QatvizError, RecordError, RunStateError
from qatviz.export.progress import Cancelled, Progress
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.remote import handshake, serving
from qatviz.remote.client import Client, client_of
from qatviz.remote.errors import LinkError, RemoteFailure
from qatviz.remote.frames import encode, read_exactly
from qatviz.remote.handshake import GREETING, Viewer, greet, welcome
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.serving import Listener, is_loopback, parse_listen, running_server, token_of
from qatviz.remote.streams import ProcessStream, SocketStream, connect_tcp
from qatviz.session.workplace import LocalWorkplace

ANA, BOB = "ana@laptop", "bob@desk"


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "user_folder", lambda: str(tmp_path))
    listener = Listener(LocalWorkplace(refuse_trash), "127.0.0.1", 0)
    yield listener
    listener.close()


def attached(stage, remote, name):
    """Return the handle of the same run for another window."""
    client = stage.client(name)
    hosted = stage.server.run(remote.hosted_id)
    found, arrays = _form(hosted)
    return RemoteWorkplace(client)._prepared(found, arrays).run


def _form(hosted):
    from qatviz.remote.server import prepared_form

    arrays = []
    return prepared_form(hosted, [], arrays), arrays


# The token and the versions


def test_the_token_is_in_a_private_file_and_stays(listener, tmp_path):
    path = tmp_path / "server" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().strip() == listener.token and len(listener.token) >= 32
    assert token_of(path.parent) == (listener.token, False)
    assert stat.S_IMODE((path.parent / "server.json").stat().st_mode) == 0o600


def test_a_viewer_needs_the_token(listener):
    def client(token):
        return Client(lambda: connect_tcp("127.0.0.1", listener.port, 5.0), "here", Viewer("v", "ana"), token)

    for wrong in ("wrong", "é", "x" * 3000):
        with pytest.raises(LinkError, match="token"):
            client(wrong).open()
    right = client(listener.token)
    right.open()
    assert RemoteWorkplace(right).data_names()
    right.close()


def test_there_is_one_server(listener):
    assert running_server(listener.folder).port == listener.port
    with pytest.raises(QatvizError, match=f"runs already on 127.0.0.1:{listener.port}"):
        Listener(LocalWorkplace(refuse_trash), "127.0.0.1", 0)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", bytes(5), b"\xff" * 100, encode({"t": "hello"}), b""])
def test_a_stranger_is_turned_away(listener, data):
    with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
        assert read_exactly(stranger.recv, len(GREETING)) == GREETING
        with contextlib.suppress(OSError):  # the server may have closed it before
            stranger.sendall(data)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                continue
    wait_until(lambda: not listener.server._sessions)


def test_a_silent_stranger_is_turned_away(listener, monkeypatch):
    monkeypatch.setattr("qatviz.remote.server.STRANGER_S", 0.2)
    with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
        while stranger.recv(4096):
            continue


def pair():
    one, other = socket.socketpair()
    return SocketStream(one), SocketStream(other)


def negotiated(ours, theirs):
    """Return what both sides of a greeting with these versions return or raise."""
    here, there = pair()
    found = {}

    def serve():
        try:
            handshake.admit(there, "")
            found["server"] = welcome(there, "id", "box", theirs)
        except QatvizError as error:
            found["server"] = error

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        found["viewer"] = greet(here, "", Viewer("v", "ana"), ours)
    except QatvizError as error:
        found["viewer"] = error
    thread.join()
    here.close()
    there.close()
    return found


def test_the_newest_common_version_is_chosen():
    assert negotiated((1, 2, 3), (2, 3, 4))["viewer"].version == 3
    found = negotiated((1,), (2, 3))
    for error in found.values():
        assert "versions 2, 3" in str(error) and "version 1" in str(error)


def test_what_a_shell_prints_before_is_skipped_and_other_programs_are_named():
    stream = ProcessStream(["sh", "-c", "echo Welcome to box; exec cat >/dev/null"])
    stream_end = threading.Timer(0.3, stream.close)
    stream_end.start()
    with pytest.raises(LinkError, match="Welcome to box"):
        greet(stream, "", Viewer("v", "ana"))
    stream_end.join()
    stream = ProcessStream(["sh", "-c", "echo qatviz: command not found >&2; exit 127"])
    with pytest.raises(LinkError, match="command not found"):
        greet(stream, "", Viewer("v", "ana"))
    stream.close()
    with pytest.raises(LinkError, match="can't be started"):
        ProcessStream(["/nowhere/ssh"])


def test_a_server_that_sends_no_frames_is_an_error_and_not_a_hang():
    here, there = pair()
    there.write(b"hello, " + GREETING + b"\xff" * 10)
    with pytest.raises(LinkError, match="not a server of qatviz"):
        greet(here, "", Viewer("v", "ana"))
    here.close()
    there.close()


@pytest.mark.parametrize("text", ["", "7077", "host:", "host:x", "host:\u00b2", ":1", "h:70000"])
def test_listen_addresses_are_checked(text):
    with pytest.raises(QatvizError, match="listen"):
        parse_listen(text)


def test_a_name_that_no_host_can_have_is_a_lost_connection():
    with pytest.raises(LinkError, match=r"a\.\.b:7077 can't be reached"):
        connect_tcp("a..b", 7077, 1.0)


def test_a_damaged_token_is_replaced(tmp_path):
    (tmp_path / "token").write_bytes(b"\xff" * 40)
    token, is_new = token_of(tmp_path)
    assert is_new and token_of(tmp_path) == (token, False)


def test_loopback_is_recognized():
    assert parse_listen("[::1]:7") == ("::1", 7)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1")] == (
        [True] * 3 + [False] * 3
    )


# Viewers of one run


def test_one_viewer_steers_and_hands_over(stage):
    ana, run = stage.staged()
    bob = attached(stage, ana, BOB)
    wait_until(lambda: bob.connection.steers == ANA and ana.connection.viewers == (ANA, BOB))
    with pytest.raises(RunStateError, match="ana@laptop steers this run"):
        bob.send(c.Pause())
    bob.send(c.TakeSnapshot())  # changes nothing
    until_answered(bob)
    bob.ask_to_steer()
    wait_until(lambda: ana.connection.asks == BOB and bob.connection.has_asked)
    ana.answer(False)
    wait_until(lambda: not ana.connection.asks and not bob.connection.has_asked)
    assert bob.connection.steers == ANA
    bob.ask_to_steer()
    wait_until(lambda: ana.connection.asks == BOB)
    ana.answer(True)
    wait_until(lambda: ana.connection.steers == BOB and not bob.connection.steers)
    assert "bob@desk steers this run" in ana.connection.obstacle
    bob.send(c.Pause())
    until_answered(bob)
    run.advance(1)
    for handle in (ana, bob):
        seen = []
        wait_until(
            lambda seen=seen, handle=handle: (
                seen.extend(handle.drain())
                or any(isinstance(item, events.CommandApplied) and isinstance(item.command, c.Pause) for item in seen)
            )
        )


def test_a_command_that_another_viewer_may_not_send_is_rejected_by_the_server(stage):
    ana, run = stage.staged()
    bob = attached(stage, ana, BOB)
    wait_until(lambda: bob.connection.steers)
    bob._steering = None  # as if the status had not arrived yet
    sent = bob.send(c.Stop())
    seen = []
    wait_until(lambda: seen.extend(bob.drain()) or any(getattr(item, "id", "") == sent for item in seen))
    (rejected,) = [item for item in seen if getattr(item, "id", "") == sent]
    assert isinstance(rejected, events.CommandRejected) and "ana@laptop steers" in rejected.message
    run.advance(1)
    assert run.state == "running" and not run.sent


def test_steering_is_free_once_the_viewer_that_steers_has_gone(stage):
    ana, _ = stage.staged()
    bob = attached(stage, ana, BOB)
    wait_until(lambda: bob.connection.steers == ANA)
    ana.leave()
    wait_until(lambda: bob.connection.viewers == ())
    bob.ask_to_steer()
    wait_until(lambda: not bob.connection.steers)


def test_windows_of_one_name_are_told_apart(stage):
    ana, _ = stage.staged()
    stage.streams["second"] = None
    client = Client(stage.clients[0]._connect, "box", Viewer("second", ANA))
    client.open()
    stage.clients.append(client)
    found, arrays = _form(stage.server.run(ana.hosted_id))
    RemoteWorkplace(client)._prepared(found, arrays)
    wait_until(lambda: ana.connection.viewers == (ANA, f"{ANA} (2)"))


def test_commands_that_are_sent_twice_are_executed_once(stage):
    ana, run = stage.staged()
    frame = {"t": "command", "run": ana.hosted_id, "id": "abc-1", "command": c.Pause().to_dict()}
    for _ in range(3):
        ana._client.send(frame)
    ana.send(c.Evaluate())
    until_answered(ana)
    assert [type(command).__name__ for command in run.sent] == ["Pause", "Evaluate"]


def test_a_slow_viewer_gets_the_newest_and_learns_what_was_dropped(stage, monkeypatch):
    monkeypatch.setattr("qatviz.remote.link.WINDOW", 1)  # nothing more until the last frame is acknowledged
    monkeypatch.setattr("qatviz.remote.link._ACKNOWLEDGED", 1 << 40)
    monkeypatch.setattr("qatviz.remote.subscription._MOST_STEPS", 100)
    ana, run = stage.staged()
    wait_until(lambda: ana.connection.viewers == ())
    run.advance(400, snapshot=False)
    hosted = stage.server.run(ana.hosted_id)
    wait_until(lambda: hosted.last_step == 400)
    subscription = hosted._subscriptions[0]
    assert subscription.channel.dropped > 200
    newest = [item for item in subscription.channel.drain() if hasattr(item, "record")][-1]
    assert newest.record.step == 400


def test_a_hidden_window_gets_no_histograms(stage):
    ana, run = stage.staged()
    ana.show_histograms(None)
    hosted = stage.server.run(ana.hosted_id)
    wait_until(lambda: [known.shows_histograms for known in hosted._subscriptions] == [False])
    run.advance(2)
    snapshots, seen = ana.history.names("snapshots")[0], []
    wait_until(lambda: seen.extend(ana.drain()) or ana.history.series(snapshots).last_step.tolist() == [2])
    assert not [item for item in seen if hasattr(item, "histograms")]
    ana.show_histograms([run.plan.tensors[0].name])  # the newest comes at once
    wait_until(lambda: seen.extend(ana.drain()) or any(hasattr(item, "histograms") for item in seen))


def test_a_run_of_a_server_that_was_killed_fails_with_a_sentence(stage):
    ana, _ = stage.staged()
    stage.server._runs.pop(ana.hosted_id).close()
    stage.cut()
    wait_until(lambda: ana.state == "failed")
    (failed,) = [item for item in ana.drain() if isinstance(item, events.Failed)]
    assert failed.explained and "has ended" in failed.message


def test_a_run_and_its_server_stay_for_a_while_after_the_end_of_training(stage):
    ana, run = stage.staged()
    server, hosted = stage.server, stage.server.run(ana.hosted_id)
    hosted.began = True
    wait_until(lambda: hosted.has_viewers)
    stage.clients[0].close()
    wait_until(lambda: not server._sessions and not hosted.has_viewers)
    hosted.idle_since = server._in_use_at = float("-inf")  # the window has left long ago
    assert not server.is_idle(300.0)
    run.end(events.Finished(run.step))
    wait_until(lambda: not hosted.is_training)
    assert not server.is_idle(300.0) and server.run(ana.hosted_id) is hosted
    server._in_use_at = float("-inf")
    assert server.is_idle(300.0)


# Calls


def test_errors_keep_their_class_and_text(stage):
    place = RemoteWorkplace(stage.client())
    with pytest.raises(RecordError, match="/nowhere"):
        place.checkpoints("/nowhere")
    with pytest.raises(RecordError, match="there is no run 'nothing'"):
        place.open_run("nothing")
    assert place.open_run("") is None


def test_an_error_in_the_program_arrives_with_its_traceback(stage):
    place = RemoteWorkplace(stage.client())
    stage.workplace.data_names = lambda: 1 / 0
    with pytest.raises(Exception, match="ZeroDivisionError"):
        place.data_names()


def test_calls_report_progress_and_can_be_cancelled(stage):
    place, seen, wanted = RemoteWorkplace(stage.client()), [], threading.Event()
    ended = threading.Event()

    def read_runs(folder, progress):
        try:
            while True:
                progress.at("reading", 0.5)
        finally:
            ended.set()

    stage.workplace.read_runs = read_runs

    def report(what, fraction):
        seen.append((what, fraction))
        wanted.set()

    with pytest.raises(Cancelled):
        place.read_runs("", Progress(report, lambda: ("reading", 0.5) in seen))
    assert ended.wait(60)


def test_a_call_fails_when_the_connection_is_cut(stage):
    place, begun, go_on = RemoteWorkplace(stage.client()), threading.Event(), threading.Event()

    def data_names():
        begun.set()
        go_on.wait(60)
        return ()

    stage.workplace.data_names = data_names
    cutter = threading.Thread(target=lambda: (begun.wait(60), stage.cut()))
    cutter.start()
    with pytest.raises(LinkError, match="the connection to box is lost"):
        place.data_names()
    go_on.set()
    cutter.join()


def test_a_viewer_that_sends_nonsense_is_cut_off_and_the_server_goes_on(stage):
    ana, run = stage.staged()
    for frame in (
        {"t": "nothing"},
        {"t": "attach", "run": 3},
        {"t": "attach", "run": ana.hosted_id, "received": -1, "tail": []},
        {"t": "command", "run": ana.hosted_id, "id": "x", "command": {"kind": "SingleStep"}},
        {"t": "call", "id": "x", "name": "folder"},
        {"t": "fill", "run": ana.hosted_id, "tail": [0, 0]},
        {"t": "view", "run": ana.hosted_id, "histograms": 1},
    ):
        client = stage.client(f"mallory {frame['t']} {len(frame)}")
        link = client._link
        link.send(frame)
        wait_until(lambda link=link: link._ended)
    for name in ("system", "_evaluator", "__class__", "prepare"):
        with pytest.raises((QatvizError, RemoteFailure)):
            stage.clients[0].call(name, [], [])
    run.advance(1)
    wait_until(lambda: any(isinstance(item, object) for item in ana.drain()))


def test_addresses_lead_to_clients():
    client, run = client_of("ssh://ana@box:2222/runs/a", "~/venv/bin/qatviz", "")
    assert (client.place, run) == ("ana@box:2222", "runs/a")
    with pytest.raises(QatvizError):
        client_of("ssh://-oProxyCommand=x/", "qatviz", "")


def test_files_of_an_export_stay_at_its_path():
    from qatviz.export.encodings import torch_format
    from qatviz.export.npz import format as npz
    from qatviz.remote.exports import _checked_files

    assert _checked_files([["a.tflite", 3], ["a.tflite.parity.txt", 1]], "a.tflite")[0] == ("a.tflite", 3)
    for suffix, beside in ((".npz", npz.SUFFIX), (".encodings", torch_format.SUFFIX)):
        assert len(_checked_files([["a" + suffix, 3], ["a" + beside, 1]], "a" + suffix)) == 2
    for name in ("../x", "/etc/passwd", "a.tflite/../../x", "other", "ab.json", "a.tflite//x", ""):
        with pytest.raises(ValueError, match="file"):
            _checked_files([[name, 1]], "a.tflite")
