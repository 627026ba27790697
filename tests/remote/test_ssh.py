"""A real OpenSSH server on loopback: the user's ssh starts a relay, and the run outlives the connection."""

import os

import pytest
from ssh_server import HOST, SshServer, need_ssh
from tensorflow_needed import needs_tensorflow
from waiting import wait_for, wait_until

from qatviz.errors import QatvizError
from qatviz.export.progress import Progress
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.remote.address import Address, parse_address, ssh_command
from qatviz.remote.client import client_of
from qatviz.remote.errors import LinkError
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.serving import running_server
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import NewRunRequest
from qatviz.telemetry.record.refill import STEPS
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import PAUSED

#: Training steps of the run: enough for a command to arrive before their end.
STEPS_DONE = 400


@pytest.mark.parametrize(
    "text, address",
    [
        ("ssh://box", Address("ssh", "box")),
        ("ssh://ana@box.example.org:2222/runs/a", Address("ssh", "box.example.org", "ana", 2222, "runs/a")),
        ("ssh://box//data/runs/a%20b/", Address("ssh", "box", run="/data/runs/a b")),
        ("ssh://box/~/a", Address("ssh", "box", run="~/a")),
        ("ssh://[::1]:22/a", Address("ssh", "::1", "", 22, "a")),
        ("tcp://127.0.0.1:7077", Address("tcp", "127.0.0.1", "", 7077)),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address
    assert parse_address(address.text) == address


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://-oProxyCommand=touch%20x",
        "ssh://-oProxyCommand=id@box",
        "ssh://a b",
        "ssh://box;id",
        "ssh://$(id)",
        "ssh://u@-F",
        "ssh://box:0",
        "ssh://box:x",
        "ssh://box:\u00b2",
        "ssh://box:99999",
        "tcp://box",
        "tcp://ana@box:7",
        "http://box",
        "box",
    ],
)
def test_what_ssh_could_take_for_an_option_or_a_shell_for_a_command_is_refused(text):
    with pytest.raises(QatvizError, match="is not the address of a machine"):
        parse_address(text)


def test_an_open_quote_in_the_name_of_another_program_is_refused(monkeypatch):
    monkeypatch.setenv("QATVIZ_SSH", "ssh '")
    with pytest.raises(QatvizError, match="QATVIZ_SSH is"):
        ssh_command(parse_address("ssh://box"))


def test_ssh_gets_a_list_of_arguments_that_ends_its_options():
    command = ssh_command(parse_address("ssh://ana@box:2222/a"), "~/venv/bin/qatviz")
    assert command == ["ssh", "-T", "-p", "2222", "--", "ana@box", "~/venv/bin/qatviz serve --stdio"]
    for wrong in ("", " ", "a\nb", "a\0"):
        with pytest.raises(QatvizError, match="remote_command"):
            ssh_command(parse_address("ssh://box"), wrong)


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    need_ssh()
    server = SshServer(tmp_path / "ssh")
    monkeypatch.setenv("QATVIZ_SSH", server.program)
    yield server
    server.close()


def workplace_at(address, command):
    client, run = client_of(address, command, "")
    client.open()
    return RemoteWorkplace(client), run


@needs_tensorflow
def test_a_run_over_ssh_outlives_the_connection(ssh, tmp_path):
    place, _ = workplace_at(f"ssh://{HOST}", ssh.command)
    directory = place.new_run_directory("lenet", "")
    assert directory.startswith(str(ssh.home))
    prepared = place.prepare(NewRunRequest(network="mlp", steps=STEPS_DONE, out=directory), lambda notice: None)
    run = prepared.run
    run.start()
    run.send(c.Pause())
    assert run.connection.place == HOST
    wait_until(lambda: run.state == PAUSED)
    run.send(c.ChangeSettings((("dense1.weights.num_bits", 4),)))
    place.client._link._stream._process.kill()  # as if the laptop was closed
    run.send(c.Resume())
    wait_for(run)
    news = run.drain()
    assert any(isinstance(item, events.CommandApplied) for item in news), "the command was sent again"
    server = running_server(ssh.server_folder())
    place.close()
    assert os.path.exists(f"/proc/{server.pid}"), "the server does not end with the connection"

    again, name = workplace_at(f"ssh://{HOST}/{os.path.basename(directory)}", ssh.command)
    late = again.open_run(name)
    assert late.book.value("dense1.weights.num_bits") == 4
    wait_until(lambda: late.run.history.last_step(STEPS) == STEPS_DONE)
    assert late.run.history.series("loss").mean.tolist() == pytest.approx(
        RunRecord.read(directory).steps().loss.tolist()
    )

    out = tmp_path / "here" / "model.tflite"
    seen = []
    checkpoint = again.keep_checkpoint(directory, again.checkpoints(directory)[-1].name)
    request = ExportRequest(directory, checkpoint, out=str(out), examples=20)
    record = again.export(request, Progress(lambda what, done: seen.append(done)))
    assert out.read_bytes()[4:8] == b"TFL3" and seen == sorted(seen) and seen[-1] > 0.9
    assert sorted(os.path.basename(path) for path in record["files"]) == sorted(os.listdir(out.parent))
    assert all(os.path.dirname(path) == str(out.parent) for path in record["files"])
    page = again.report(directory, _nothing_known(), None)
    assert page.startswith(b"<!DOCTYPE html>") or b"<html" in page[:200]
    again.close()


def _nothing_known():
    from qatviz.report.run_data import KnownResults

    return KnownResults()


def test_the_messages_of_ssh_and_of_the_shell_there_are_shown(ssh):
    with pytest.raises(LinkError, match="no-such-program"):
        workplace_at(f"ssh://{HOST}", "no-such-program")
    with pytest.raises(LinkError, match="resolve hostname"):
        workplace_at("ssh://no-such-host.invalid", ssh.command)
