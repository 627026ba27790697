"""Addresses of runs on other machines: ``ssh://[USER@]HOST[:PORT][/RUN]`` and ``tcp://HOST:PORT[/RUN]``."""

import os
import re
import shlex
from typing import Callable, List, NamedTuple, Optional
from urllib.parse import quote, unquote

from qatviz.errors import SettingError
from qatviz.remote.streams import ProcessStream, Stream, connect_tcp

SSH, TCP = "ssh", "tcp"
#: Default command that runs qatviz on a machine that is reached by ssh.
DEFAULT_COMMAND = "qatviz"
#: Environment variable that names a program to use instead of ssh, with its arguments.
SSH_VARIABLE = "QATVIZ_SSH"
#: Seconds within which a port must accept a connection.
_CONNECT_S = 10.0
_FORM = re.compile(r"(ssh|tcp)://(?:([^@/]*)@)?(\[[^\]/]*\]|[^:/@\[\]]*)(?::([^/]*))?(?:/(.*))?", re.DOTALL)
#: Names of hosts and users: without characters that a shell, or ssh, could take for anything else.
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")
_USER = re.compile(r"[A-Za-z0-9_.\\+-]+")
_DIGITS = re.compile(r"[0-9]{1,5}")
LARGEST_PORT = 65535


class Address(NamedTuple):
    """Address of a machine, and of a run there.

    Attributes
    ----------
    scheme : str
        :data:`SSH` or :data:`TCP`.
    host : str
    user : str
        Empty for that of ssh's configuration.
    port : int
        0 for that of ssh's configuration.
    run : str
        Directory of a run, or its name in the folder of runs there; empty for none.
    """

    scheme: str
    host: str
    user: str = ""
    port: int = 0
    run: str = ""

    @property
    def place(self) -> str:
        """Name of the machine in texts: ``ana@box``."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{user}{host}" + (f":{self.port}" if self.port else "")

    @property
    def text(self) -> str:
        """The address as :func:`parse_address` reads it; the run's path has percent escapes."""
        return f"{self.scheme}://{self.place}" + (f"/{quote(self.run)}" if self.run else "")


def parse_address(text: str) -> Address:
    """Return the address in a text; percent escapes in the run's path are decoded.

    Raises
    ------
    SettingError
        If the text is no address, or has a host or user that a shell could take for anything else.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise _refused(text, "expected ssh://[USER@]HOST[:PORT][/RUN] or tcp://HOST:PORT[/RUN]")
    scheme, user, host, port, run = match.groups()
    host, user = host.strip("[]"), user or ""
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise _refused(text, f"the host is {host!r}: expected a name or an IP address")
    if user and (not _USER.fullmatch(user) or user.startswith("-")):
        raise _refused(text, f"the user is {user!r}: expected letters, digits and any of . _ + - \\")
    if port is not None and not port_of(port):
        raise _refused(text, f"the port is {port!r}: expected 1 to {LARGEST_PORT}")
    if scheme == TCP and (port is None or user):
        raise _refused(text, "expected tcp://HOST:PORT[/RUN]")
    return Address(scheme, host, user, int(port or 0), _path(unquote(run or "")))


def port_of(text: str) -> Optional[int]:
    """Return the port, 0 to :data:`LARGEST_PORT`, that a text states in digits; None if it states none."""
    return int(text) if _DIGITS.fullmatch(text) and int(text) <= LARGEST_PORT else None


def address_of(scheme: str, machine: str, run: str = "") -> Address:
    """Return the address of a run on a machine.

    Parameters
    ----------
    scheme : str
        :data:`SSH` or :data:`TCP`.
    machine : str
        ``[USER@]HOST[:PORT]`` for ssh, ``HOST:PORT`` for TCP.
    run : str
        Directory of a run, or its name in the folder of runs there, without percent escapes; empty for none.

    Raises
    ------
    SettingError
        If ``machine`` has another form.
    """
    address = parse_address(f"{scheme}://{machine.strip()}")
    if "/" in machine:
        raise _refused(machine, "it contains '/'")
    return address._replace(run=_path(run.strip()))


def connector(address: Address, remote_command: str = DEFAULT_COMMAND) -> Callable[[], Stream]:
    """Return a function that connects to the server at an address, and raises LinkError if it can't.

    Raises
    ------
    SettingError
        As :func:`ssh_command`.
    """
    if address.scheme == TCP:
        return lambda: connect_tcp(address.host, address.port, _CONNECT_S)
    command = ssh_command(address, remote_command)
    return lambda: ProcessStream(command)


def ssh_command(address: Address, remote_command: str = DEFAULT_COMMAND) -> List[str]:
    """Return the command line that starts qatviz on another machine by the user's own ssh.

    The shell of the user there executes ``remote_command``.

    Raises
    ------
    SettingError
        If ``remote_command`` is empty or has several lines, or the variable :data:`SSH_VARIABLE` has an open quote.
    """
    if not remote_command.strip() or "\n" in remote_command or "\0" in remote_command:
        raise SettingError.of_field(
            "remote_command", f"is {remote_command!r}: expected the command of qatviz there, in one line"
        )
    try:
        program = shlex.split(os.environ.get(SSH_VARIABLE, "")) or ["ssh"]
    except ValueError as error:
        raise SettingError(f"{SSH_VARIABLE} is {os.environ[SSH_VARIABLE]!r}: {error}") from error
    port = ["-p", str(address.port)] if address.port else []
    user = f"{address.user}@" if address.user else ""
    return [*program, "-T", *port, "--", user + address.host, f"{remote_command.strip()} serve --stdio"]


def _path(run: str) -> str:
    """Return the path of a run without trailing slashes; empty if it consists of slashes."""
    return run.rstrip("/") if run.strip("/") else ""


def _refused(text: str, reason: str) -> SettingError:
    return SettingError(f"{text!r} is not the address of a machine: {reason}")


def candidates(run: str, runs_folder: Optional[str]) -> List[str]:
    """Return the paths at which the run of an address is searched for, in order.

    An absolute path, and one that begins with ``~``, is that path only. Any other is searched for below the root
    directory, below the home directory, and in the folder of runs, unless ``runs_folder`` is None.
    """
    if run.startswith(("/", "~")) or os.path.isabs(run):
        return [os.path.expanduser(run)]
    found = ["/" + run, os.path.expanduser(os.path.join("~", run))]
    return [*found, os.path.join(runs_folder, run)] if runs_folder else found
