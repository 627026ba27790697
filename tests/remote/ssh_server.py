"""A real OpenSSH server on loopback, with keys and a configuration of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from qatviz.bootstrapping.system import ssh_server

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SSHD = ssh_server()
HOST = "box"


def need_ssh():
    """Skip the test where there is no OpenSSH server or client."""
    if _SSHD is None or shutil.which("ssh") is None:
        pytest.skip("there is no OpenSSH server (Debian's package openssh-server) or client on this machine")


class SshServer:
    """Server, with the environment in which ``ssh box`` reaches it.

    Attributes
    ----------
    command : str
        How qatviz is called there: this checkout, with a home of its own.
    """

    def __init__(self, folder, address="127.0.0.1"):
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o700)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
                stdin=subprocess.DEVNULL,
            )
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress {address}\nHostKey {folder / 'host_key'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nPrintMotd no\n"
        )
        (folder / "ssh_config").write_text(
            f"Host {HOST}\n  HostName {address}\n  Port {self.port}\n  IdentityFile {folder / 'user_key'}\n"
            f"  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile {folder / 'known_hosts'}\n"
            "  LogLevel ERROR\n"
        )
        self.home = folder / "home"
        self.home.mkdir()
        paths = f"PYTHONPATH={ROOT} XDG_DATA_HOME={self.home} TF_CPP_MIN_LOG_LEVEL=2"
        self.command = f"env {paths} {sys.executable} -W ignore -m qatviz"
        self.program = f"ssh -F {folder / 'ssh_config'}"
        self._log = open(folder / "sshd.log", "wb")  # noqa: SIM115 (closed at the end)
        self._process = subprocess.Popen(
            [_SSHD, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait(address)

    def _wait(self, address):
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex((address, self.port)) == 0:
                    return
            assert self._process.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def server_folder(self):
        """Return the folder of the server of runs that was started over ssh."""
        return self.home / "qatviz" / "server"

    def close(self):
        """End sshd, and the server of runs if there is one."""
        from qatviz.remote.serving import running_server

        self._process.terminate()
        self._process.wait()
        self._log.close()
        running = running_server(self.server_folder())
        if running is not None:
            os.kill(running.pid, 15)
            while os.path.exists(f"/proc/{running.pid}") and running_server(self.server_folder()) is not None:
                time.sleep(0.05)
