"""The end of the program does not wait for machines that do not answer."""

import signal
import socket
from types import SimpleNamespace

import pytest
from PyQt5 import QtCore
from waiting import ENDLESS_S, wait_until

from qatviz.app.main import Application
from qatviz.remote import client as remote_client
from qatviz.remote.handshake import Viewer
from qatviz.remote.streams import SocketStream


def test_closing_a_window_that_connects_does_not_wait_for_the_server(app, tmp_path, monkeypatch):
    silent = []

    def connect():
        there, here = socket.socketpair()
        silent.append(there)
        return SocketStream(here)

    client = remote_client.Client(connect, "box", Viewer("v", "ana"))
    monkeypatch.setattr(remote_client, "VIEWER_S", ENDLESS_S)
    monkeypatch.setattr(remote_client, "client_of", lambda *_: (client, ""))
    application = Application(QtCore.QSettings(str(tmp_path / "settings.ini"), QtCore.QSettings.IniFormat))
    application.open_remote_window("ssh://box", "qatviz", "")
    wait_until(lambda: client._connecting is not None)
    (window,) = application.windows
    window.close()
    application.finish()  # would wait for the server
    assert client._connecting is None and not application.windows
    for stream in silent:
        stream.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_windows_only_once_the_function_that_it_interrupts_has_returned(
    app, tmp_path, monkeypatch, number
):
    """That function may hold a lock, of the run's history for example, for which closing would wait in vain."""
    ended = []
    application = Application(QtCore.QSettings(str(tmp_path / "settings.ini"), QtCore.QSettings.IniFormat))
    monkeypatch.setattr(application, "app", SimpleNamespace(quit=lambda: ended.append(number)))
    window = application.open_window()
    application._on_signal(number, None)
    assert application.windows == [window] and window.isVisible() and not ended
    app.processEvents()
    assert not application.windows and not window.isVisible()
    assert ended == ([number] if number == signal.SIGTERM else [])
    monkeypatch.undo()
    application.finish()
