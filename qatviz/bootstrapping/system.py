"""What wheels don't bring: the system libraries that Qt's windows need, and Xvfb for the tests."""

import ctypes
import functools
import glob
import os
import select
import shutil
import signal
import subprocess
import sys

from qatviz.bootstrapping.common import ON_LINUX, clean_environ, output_of, packages_folder, say

XVFB_TIMEOUT_S = 20
# Libraries whose package in Debian isn't named after the library, as debian_package() takes for granted.
DEBIAN_EXCEPTIONS = {"libglib-2.0.so.0": "libglib2.0-0", "libgthread-2.0.so.0": "libglib2.0-0", "libz.so.1": "zlib1g"}


def debian_package(library):
    """Return Debian's package of a library: libGL.so.1 is in libgl1, libxkbcommon-x11.so.0 in libxkbcommon-x11-0."""
    name, _, version = library.lower().partition(".so.")
    return DEBIAN_EXCEPTIONS.get(library, name + ("-" if name[-1:].isdigit() else "") + version)


def missing_libraries():
    """Return the names of the system libraries that Qt needs and the loader does not find, sorted (Linux)."""
    qt = os.path.join(packages_folder(), "PyQt5")
    files = glob.glob(os.path.join(glob.escape(qt), "Qt[GWS]*.abi3.so"))
    files += [os.path.join(qt, "Qt5", "plugins", "platforms", name) for name in ("libqxcb.so", "libqoffscreen.so")]
    listing = output_of(["ldd", *files], env=clean_environ(LC_ALL="C"))[1]
    return sorted({line.split()[0] for line in listing.splitlines() if line.endswith("=> not found")})


def install_with_apt(packages):
    """Install Debian packages and tell whether that worked; where it can't, print the command for the user."""
    names = sorted(set(packages))
    if not ON_LINUX or not shutil.which("apt-get"):
        say("install with your system's package manager (by Debian's names): " + " ".join(names))
        return False
    command = ["apt-get", "install", "-y", "--no-install-recommends", *names]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not sudo or output_of([*sudo, "true"])[0] == 0:
        say("installing: " + " ".join(command))
        quietly = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive"]
        # Where the package lists are old or absent, as in a fresh container, the first try fails.
        for step in (command, ["apt-get", "update"], command):
            if not subprocess.call(quietly + step, stdin=subprocess.DEVNULL, stdout=sys.stderr) and step is command:
                return True
    say("to install what is missing: sudo " + " ".join(command))
    return False


def supply_libraries(with_xvfb=False):
    """Name what Qt, and the tests, lack on this Linux, and tell whether it could be installed."""
    missing = {"Qt's " + name: debian_package(name) for name in missing_libraries()}
    if with_xvfb and not shutil.which("Xvfb"):
        missing["Xvfb"] = "xvfb"
    if missing:
        say("missing on this system: " + ", ".join(missing))
    return bool(missing) and install_with_apt(missing.values())


def start_xvfb():
    """Start a virtual X server that ends with this process, and return its display name, or None."""
    # PR_SET_PDEATHSIG: no server stays behind, not even when the tests are killed.
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
    say("Xvfb does not start; the tests go on without it")
    return None
