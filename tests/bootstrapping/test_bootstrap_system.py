"""Detection and installation of missing system libraries and programs."""

import os
import signal
import subprocess
import sys

import pytest
from bootstrap_fakes import make_program

from qatviz.bootstrapping import system
from qatviz.bootstrapping.system import debian_package, install_missing_libraries, install_with_apt, missing_libraries

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it does this on Linux only")


@pytest.mark.parametrize(
    "library, package",
    [
        ("libxcb-icccm.so.4", "libxcb-icccm4"),
        ("libxcb-image.so.0", "libxcb-image0"),
        ("libxcb-keysyms.so.1", "libxcb-keysyms1"),
        ("libxcb-randr.so.0", "libxcb-randr0"),
        ("libxcb-render-util.so.0", "libxcb-render-util0"),
        ("libxcb-xinerama.so.0", "libxcb-xinerama0"),
        ("libxcb-shape.so.0", "libxcb-shape0"),
        ("libxcb-xkb.so.1", "libxcb-xkb1"),
        ("libxcb.so.1", "libxcb1"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libxkbcommon.so.0", "libxkbcommon0"),
        ("libX11.so.6", "libx11-6"),
        ("libX11-xcb.so.1", "libx11-xcb1"),
        ("libGL.so.1", "libgl1"),
        ("libEGL.so.1", "libegl1"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libfontconfig.so.1", "libfontconfig1"),
        ("libfreetype.so.6", "libfreetype6"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
        ("libz.so.1", "zlib1g"),
    ],
)
def test_debian_package_of_each_library_that_qt_links_to(library, package):
    assert debian_package(library) == package


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return a function that adds a program to an otherwise empty PATH; it logs its calls and runs the given script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    log = tmp_path / "log"

    def make(name, script="exit 0"):
        make_program(folder / name, f'echo "{name} $*" >> "{log}"\n{script}')

    make.calls = lambda: log.read_text().splitlines() if log.exists() else []
    make_program(folder / "env", 'export "$1"; shift; exec "$@"')
    return make


def test_libraries_that_the_loader_does_not_find_are_listed_once(programs):
    programs(
        "ldd",
        "echo 'a.so:'; echo '\tlibGL.so.1 => not found'; echo '\tlibc.so.6 => /lib/libc.so.6 (0x1)';"
        "echo '\tlibxcb-icccm.so.4 => not found'; echo '\tlibGL.so.1 => not found'",
    )
    assert missing_libraries() == ["libGL.so.1", "libxcb-icccm.so.4"]


def test_without_ldd_no_library_is_reported_missing(programs):
    assert missing_libraries() == []


INSTALL = "apt-get install -y --no-install-recommends libegl1 libgl1"


def test_root_installs_without_sudo_and_without_questions(programs, monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    programs("apt-get", '[ "$DEBIAN_FRONTEND" = noninteractive ]')
    programs("sudo")
    assert install_with_apt(["libgl1", "libegl1", "libgl1"])
    assert programs.calls() == [INSTALL]


def test_others_install_with_a_sudo_that_needs_no_password(programs, monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    programs("apt-get")
    programs("true")
    programs("sudo", 'shift; exec "$@"')
    assert install_with_apt(["libgl1", "libegl1"])
    assert programs.calls()[-1] == INSTALL
    assert all(call.startswith("sudo -n ") for call in programs.calls() if call.startswith("sudo"))


@pytest.mark.parametrize("has_sudo", [True, False])
def test_if_a_password_is_needed_the_command_is_printed_and_not_run(programs, monkeypatch, capfd, has_sudo):
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    programs("apt-get")
    if has_sudo:
        programs("sudo", "echo 'a password is required' >&2; exit 1")
    assert not install_with_apt(["libgl1", "libegl1"])
    assert "sudo " + INSTALL in capfd.readouterr().err
    assert not [call for call in programs.calls() if call.startswith("apt-get")]


def test_package_lists_are_updated_after_a_first_failure(programs, monkeypatch, tmp_path):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    renewed = tmp_path / "renewed"
    programs("apt-get", f'if [ "$1" = update ]; then : > "{renewed}"; else [ -e "{renewed}" ]; fi')
    assert install_with_apt(["libgl1", "libegl1"])
    assert programs.calls() == [INSTALL, "apt-get update", INSTALL]


def test_a_failing_apt_prints_the_command(programs, monkeypatch, capfd):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    programs("apt-get", "exit 100")
    assert not install_with_apt(["libgl1", "libegl1"])
    assert "to install the missing packages: sudo " + INSTALL in capfd.readouterr().err


def test_on_a_system_without_apt_the_package_names_are_printed(programs, capfd):
    assert not install_with_apt(["libgl1", "libegl1"])
    assert "libegl1 libgl1" in capfd.readouterr().err


def test_missing_packages_are_listed_and_installed_at_once(programs, monkeypatch, capfd):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "missing_libraries", lambda: ["libGL.so.1"])
    monkeypatch.setattr(system, "ssh_server", lambda: None)
    monkeypatch.setattr(system, "starts_services", lambda: False)
    programs("apt-get")
    assert install_missing_libraries(for_tests=True)
    assert "Qt's libGL.so.1, Xvfb, the OpenSSH server" in capfd.readouterr().err
    assert programs.calls() == ["apt-get install -y --no-install-recommends libgl1 openssh-server xvfb"]


def test_no_server_is_installed_that_would_be_started(programs, monkeypatch, capfd):
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system, "missing_libraries", list)
    monkeypatch.setattr(system, "ssh_server", lambda: None)
    monkeypatch.setattr(system, "starts_services", lambda: True)
    programs("apt-get")
    assert install_missing_libraries(for_tests=True)
    assert programs.calls() == ["apt-get install -y --no-install-recommends xvfb"]
    assert "tests over ssh are skipped" in capfd.readouterr().err


def test_if_nothing_is_missing_nothing_is_installed(programs, monkeypatch, capfd):
    monkeypatch.setattr(system, "missing_libraries", list)
    programs("apt-get")
    programs("Xvfb")
    programs("sshd")
    assert not install_missing_libraries(for_tests=True)
    assert (programs.calls(), capfd.readouterr().err) == ([], "")


def test_the_ssh_server_is_found_on_the_path_and_among_system_programs(programs, tmp_path, monkeypatch):
    programs("sshd")
    assert system.ssh_server() == str(tmp_path / "bin" / "sshd")
    searched = []
    monkeypatch.setattr(system.shutil, "which", lambda name, path: searched.append((name, path.split(os.pathsep))))
    assert system.ssh_server() is None
    assert searched == [("sshd", [str(tmp_path / "bin"), "/usr/sbin", "/usr/local/sbin"])]


def test_without_a_working_xvfb_the_tests_run_without_a_display(programs, capfd):
    programs("Xvfb", "exit 1")
    assert system.start_xvfb() is None
    assert "run without it" in capfd.readouterr().err


START_AND_WAIT = """
from qatviz.bootstrapping.system import start_xvfb
print(start_xvfb(), flush=True)
input()
"""


def test_xvfb_ends_with_its_parent_even_if_that_is_killed(programs, tmp_path):
    pipe = str(tmp_path / "alive")
    os.mkfifo(pipe)
    # The stand-in keeps the pipe open while it runs; its shell becomes /bin/sleep.
    programs("Xvfb", f'exec 9> "{pipe}"; echo 77 >&$2; exec /bin/sleep 1000')
    starter = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with starter, open(pipe, "rb") as alive:
        assert starter.stdout.readline() == b":77\n"
        starter.send_signal(signal.SIGKILL)
        assert alive.read() == b"", "the pipe is closed once the server has ended"
