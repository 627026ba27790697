"""Diagnosis of downloads that failed."""

import os
import socket

import pytest
from bootstrap_fakes import make_program

from qatviz.bootstrapping.network import PYPI, advice, connection_fault, index_url

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script, the reasons are POSIX's")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)


@pytest.fixture
def server():
    """Return the port of a server that accepts connections, and one where there is none."""
    with socket.socket() as listening, socket.socket() as unused:
        for end in (listening, unused):
            end.bind(("127.0.0.1", 0))
        listening.listen(5)
        yield listening.getsockname()[1], unused.getsockname()[1]


def test_a_host_that_accepts_connections_has_no_fault(server):
    assert connection_fault(f"http://user:secret@127.0.0.1:{server[0]}/simple") == ""


def test_a_fault_names_host_and_reason_but_no_password(server):
    fault = connection_fault(f"http://user:secret@127.0.0.1:{server[1]}/simple")
    assert fault == f"127.0.0.1:{server[1]} can't be reached (Connection refused)"


def test_a_proxy_is_tried_instead_of_the_host(server, monkeypatch):
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{server[0]}")
    assert connection_fault("https://nowhere.invalid/simple") == ""
    monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{server[1]}")
    fault = connection_fault("https://nowhere.invalid/simple")
    assert fault == f"the proxy 127.0.0.1:{server[1]} can't be reached (Connection refused)"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert connection_fault(f"https://127.0.0.1:{server[0]}") == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/", "http://127.0.0.1:99999/"])
def test_an_invalid_port_is_a_fault(url):
    assert connection_fault(url).startswith("127.0.0.1 can't be reached (")


@pytest.mark.parametrize("url", ["", "file:///opt/packages", "/opt/packages"])
def test_a_folder_has_no_connection(url):
    assert connection_fault(url) == ""


def test_advice_follows_a_fault_only():
    assert advice("") == ""
    assert "\nx can't be reached. Connect" in advice("x can't be reached") and "HTTPS_PROXY" in advice("x")


def test_the_index_is_that_of_the_users_settings(tmp_path, monkeypatch):
    assert index_url(str(tmp_path)) == PYPI, "without a pip that works"
    script = 'case "$*" in *"config get global.index-url") echo https://own/simple ;; *) exit 1 ;; esac'
    make_program(tmp_path / "bin" / "python", script)
    assert index_url(str(tmp_path)) == "https://own/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable/simple")
    assert index_url(str(tmp_path)) == "https://variable/simple"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert index_url(str(tmp_path)) == ""
