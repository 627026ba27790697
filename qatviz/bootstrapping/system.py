"""System packages that wheels do not contain: libraries of Qt's plugins; Xvfb and an SSH server for tests."""

import ctypes
import functools
import glob
import os
import select
import shutil
import signal
import subprocess
import sys
from typing import Iterable, List, Optional

from qatviz.bootstrapping.common import ON_LINUX, clean_environment, log, packages_folder, run_captured

XVFB_TIMEOUT_S = 20
#: Debian packages of libraries for which the rule in debian_package() is wrong.
DEBIAN_EXCEPTIONS = {"libglib-2.0.so.0": "libglib2.0-0", "libgthread-2.0.so.0": "libglib2.0-0", "libz.so.1": "zlib1g"}


def debian_package(library: str) -> str:
    """Return the Debian package of a library: libgl1 for libGL.so.1, libxkbcommon-x11-0 for libxkbcommon-x11.so.0."""
    name, _, version = library.lower().partition(".so.")
    return DEBIAN_EXCEPTIONS.get(library, name + ("-" if name[-1:].isdigit() else "") + version)


def missing_libraries() -> List[str]:
    """Return the sorted names of the system libraries that Qt needs and the loader does not find (Linux)."""
    qt = os.path.join(packages_folder(), "PyQt5")
    files = glob.glob(os.path.join(glob.escape(qt), "Qt[GWS]*.abi3.so"))
    files += [os.path.join(qt, "Qt5", "plugins", "platforms", name) for name in ("libqxcb.so", "libqoffscreen.so")]
    listing = run_captured(["ldd", *files], env=clean_environment(LC_ALL="C"))[1]
    return sorted({line.split()[0] for line in listing.splitlines() if line.endswith("=> not found")})


def install_with_apt(packages: Iterable[str]) -> bool:
    """Install Debian packages; return whether it succeeded, and print the command for the user if not."""
    names = sorted(set(packages))
    if not ON_LINUX or not shutil.which("apt-get"):
        log("install these packages (Debian's names) with your package manager: " + " ".join(names))
        return False
    command = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not sudo or run_captured([*sudo, "true"])[0] == 0:
        log("installing: " + " ".join(command))
        quietly = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive"]
        # The first attempt fails if the package lists are old or absent, as in a fresh container.
        for step in (command, ["apt-get", "update"], command):
            if not subprocess.call(quietly + step, stdin=subprocess.DEVNULL, stdout=sys.stderr) and step is command:
                return True
    log("to install the missing packages: sudo " + " ".join(command))
    return False


def ssh_server() -> Optional[str]:
    """Return the path of OpenSSH's server, of which tests start one of their own; None if it is not installed.

    It is searched for on PATH and in the folders of system programs, which are not on every user's PATH.
    """
    folders = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which("sshd", path=os.pathsep.join(folders))


def starts_services() -> bool:
    """Return whether systemd runs, which starts an installed server at once and at each boot."""
    return os.path.isdir("/run/systemd/system")


def install_missing_libraries(for_tests: bool = False) -> bool:
    """Install the system libraries that Qt lacks on this Linux; return whether anything was installed.

    Parameters
    ----------
    for_tests : bool
        If True, Xvfb and OpenSSH's server are installed, too; the server only where no system service starts it.
    """
    missing = {"Qt's " + name: debian_package(name) for name in missing_libraries()}
    if for_tests and not shutil.which("Xvfb"):
        missing["Xvfb"] = "xvfb"
    if for_tests and ssh_server() is None:
        if starts_services():
            log("tests over ssh are skipped: they need openssh-server, whose installation would start a server here")
        else:
            missing["the OpenSSH server"] = "openssh-server"
    if missing:
        log("missing on this system: " + ", ".join(missing))
    return bool(missing) and install_with_apt(missing.values())


def start_xvfb() -> Optional[str]:
    """Start a virtual X server that ends with this process; return its display name, or None if it does not start."""
    # PR_SET_PDEATHSIG: the server ends even if the tests are killed.
    end_with_parent = functools.partial(ctypes.CDLL(None).prctl, 1, signal.SIGTERM)
    reader, writer = os.pipe()
    with open(reader) as display:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1920x1080x24"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writer],
            preexec_fn=end_with_parent,  # noqa: PLW1509 (no thread has been started yet)
            start_new_session=True,
        )
        os.close(writer)
        number = display.readline().strip() if select.select([display], [], [], XVFB_TIMEOUT_S)[0] else ""
    if number:
        return ":" + number
    server.kill()
    log("Xvfb does not start; the tests run without it")
    return None
