"""Set-up of the viewer on machines that TensorFlow 1.15 has no wheels for, staged by other values of the platform."""

import os
import platform
import shutil

import pytest
from bootstrap_fakes import make_program
from test_bootstrap_environment import checkout, distribution, make_environment  # noqa: F401

import bootstrap
from qatviz.bootstrapping import environment, viewer
from qatviz.bootstrapping.common import BootstrapError
from qatviz.bootstrapping.environment import ensure_environment, find_environment_fault, is_for_tensorflow

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


@pytest.fixture(params=[("arm64", False), ("aarch64", True)], ids=["Apple silicon", "ARM Linux"])
def arm(request, monkeypatch):
    """A machine without CPython 3.7 for TensorFlow; returns whether it runs Linux."""
    processor, on_linux = request.param
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(viewer, "ON_LINUX", on_linux)
    monkeypatch.setattr(environment, "find_python", lambda: None)
    return on_linux


def python(path, version="3 11", qt=True, venv=True, base="/usr"):
    """Write an interpreter that answers the questions of viewer.py."""
    answer = f"echo '{version}'; echo '{base}'" if venv else "echo 'No module named venv' >&2; exit 1"
    return make_program(path, f'case "$2" in *PyQt5*) exit {0 if qt else 1} ;; *) {answer} ;; esac')


def test_the_viewer_is_installed_and_the_log_says_so(checkout, arm, monkeypatch, tmp_path, capsys):
    shutil.rmtree(str(checkout / ".venv"))
    own = python(tmp_path / "bin" / "python3")
    monkeypatch.setattr(viewer.sys, "executable", own)
    made, installed, captured = [], [], viewer.run_captured

    def make(command, **options):
        if command[1:3] == ["-m", "venv"]:
            made.append(command)
            make_environment(checkout)
            return 0, "", ""
        return (0, f"3 11 {platform.machine()}", "")

    monkeypatch.setattr(environment, "run_captured", make)
    monkeypatch.setattr(environment, "pip_install", lambda folder, arguments, **_: installed.append(arguments) or 0)
    monkeypatch.setattr(environment.subprocess, "call", lambda *_, **__: pytest.fail("TensorFlow was imported"))
    assert viewer.run_captured is captured, "the interpreter is a program of its own"
    ensure_environment()
    ensure_environment()
    (command,) = made
    assert command[0] == own and ("--system-site-packages" in command) == arm
    assert len(installed) == 2 and not any("constraints.txt" in arguments for arguments in installed)
    log = capsys.readouterr().err
    assert f"TensorFlow 1.15 exists for x86-64 only, and this machine is {platform.machine()}" in log
    assert "setting up the viewer, which shows recorded runs" in log and "without TensorFlow, into .venv" in log
    assert "bootstrap.py run open RUN" in log


@pytest.mark.parametrize(
    "facts, reason",
    [({"version": "3 6"}, "is Python 3.6; expected Python 3.7 or later"), ({"venv": False}, "lacks venv")],
)
def test_an_unsuitable_interpreter_is_an_error(arm, monkeypatch, tmp_path, facts, reason):
    monkeypatch.setattr(viewer.sys, "executable", python(tmp_path / "python3", **facts))
    with pytest.raises(BootstrapError, match=reason):
        viewer.viewer_choice()


def test_the_environment_is_not_created_from_itself(arm, monkeypatch, tmp_path):
    monkeypatch.setattr(viewer, "ENVIRONMENT", str(tmp_path / ".venv"))
    monkeypatch.setattr(viewer.sys, "executable", python(tmp_path / ".venv" / "bin" / "python3", base="/opt/own"))
    assert viewer.viewer_choice().python == "/opt/own/bin/python3"


@pytest.mark.parametrize("apt_works", [True, False])
def test_qt_comes_from_debian_where_it_has_no_wheels(monkeypatch, tmp_path, apt_works):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(viewer, "ON_LINUX", True)
    debian = python(tmp_path / "usr" / "python3", qt=False)
    monkeypatch.setattr(viewer, "DEBIAN_PYTHON", debian)
    monkeypatch.setattr(viewer.sys, "executable", python(tmp_path / "own", qt=False))
    wanted = []

    def install(packages):
        wanted.extend(packages)
        if apt_works:
            python(tmp_path / "usr" / "python3")
        return apt_works

    monkeypatch.setattr(viewer, "install_with_apt", install)
    if apt_works:
        assert viewer.viewer_choice() == (debian, ["--system-site-packages"])
    else:
        with pytest.raises(BootstrapError, match="PyQt5 has no wheels for Linux on aarch64"):
            viewer.viewer_choice()
    assert wanted == ["python3-pyqt5", "python3-pyqt5.qtsvg", "python3-venv"]


@pytest.mark.parametrize(
    "answer, machine, fault, with_tensorflow",
    [
        ("3 11 arm64", "arm64", False, False),
        ("3 7 x86_64", "arm64", False, True),
        ("3 7 aarch64", "aarch64", False, False),
        ("3 11 x86_64", "x86_64", True, False),
        ("3 7 amd64", "AMD64", False, True),
    ],
)
def test_an_environment_suits_its_machine(distribution, monkeypatch, answer, machine, fault, with_tensorflow):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(environment, "run_captured", lambda command, **options: (0, answer, ""))
    assert (find_environment_fault() is not None) == fault
    assert is_for_tensorflow() == with_tensorflow


def test_the_packages_of_another_python_are_found(checkout, monkeypatch):
    packages = environment.packages_folder()
    assert packages.endswith(os.path.join("python3.7", "site-packages"))
    library = os.path.dirname(os.path.dirname(packages))
    os.rename(os.path.join(library, "python3.7"), os.path.join(library, "python3.12"))
    assert environment.packages_folder().endswith(os.path.join("python3.12", "site-packages"))


def test_tests_of_the_viewer_run_without_the_pinned_checks(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(bootstrap, "is_viewer", lambda: True)
    monkeypatch.setattr(bootstrap, "check", lambda: pytest.fail("the checks need pinned tools"))
    monkeypatch.setattr(bootstrap, "ON_LINUX", False)
    monkeypatch.setattr(bootstrap, "exec_python", lambda arguments, *_, **__: ran.append(arguments) or 0)
    assert bootstrap.test([]) == 0
    assert ran and "running the tests that need no TensorFlow" in capsys.readouterr().err
