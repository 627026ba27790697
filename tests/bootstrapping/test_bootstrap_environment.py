"""Stamps, repair and locking of the environment."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from qatviz.bootstrapping import common, environment
from qatviz.bootstrapping.common import BootstrapError
from qatviz.bootstrapping.environment import ensure_environment, find_environment_fault, read_stamp, write_stamp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = os.path.join(".venv", "Lib" if os.name == "nt" else os.path.join("lib", "python3.7"), "site-packages")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a folder that stands for the checkout, with an environment in it that has no stamp yet."""
    (tmp_path / "setup.py").write_text("version 1")
    (tmp_path / "constraints.txt").write_text("pins 1")
    for module in (common, environment):
        monkeypatch.setattr(module, "ROOT", str(tmp_path))
        monkeypatch.setattr(module, "ENVIRONMENT", str(tmp_path / ".venv"))
    monkeypatch.setattr(environment, "STAMP", str(tmp_path / ".venv" / "qatviz-stamp.json"))
    make_environment(tmp_path)
    return tmp_path


def make_environment(checkout):
    """Create the files of a virtual environment that bootstrap reads."""
    python = checkout / os.path.relpath(common.environment_python(str(checkout / ".venv")), str(checkout))
    python.parent.mkdir(parents=True)
    python.write_text("")
    (checkout / PACKAGES).mkdir(parents=True)
    (checkout / ".venv" / "pyvenv.cfg").write_text("version = 3.7.16")


def test_a_fresh_stamp_is_trusted_and_keeps_its_facts(checkout):
    assert read_stamp() == {}
    write_stamp(qt=["xcb"])
    assert read_stamp()["qt"] == ["xcb"]


@pytest.mark.parametrize(
    "change",
    [
        lambda checkout: (checkout / "setup.py").write_text("version 2"),
        lambda checkout: (checkout / "constraints.txt").write_text("pins 2"),
        lambda checkout: (checkout / ".venv" / "pyvenv.cfg").write_text("version = 3.7.17"),
        lambda checkout: os.remove(common.environment_python()),
        lambda checkout: (checkout / ".venv" / "qatviz-stamp.json").write_text("{"),
        lambda checkout: (checkout / ".venv" / "qatviz-stamp.json").write_text("[]"),
        lambda checkout: (checkout / ".venv" / "qatviz-stamp.json").write_text(json.dumps({"fingerprint": "0"})),
        lambda checkout: (checkout / ".venv" / "qatviz-stamp.json").write_bytes(b"\xff\x00"),
        lambda checkout: shutil.rmtree(str(checkout / ".venv")),
    ],
)
def test_a_stamp_of_another_state_is_not_trusted(checkout, change):
    write_stamp(qt=["xcb"])
    change(checkout)
    assert read_stamp() == {}


def test_a_stamp_that_moved_with_its_checkout_is_not_trusted(checkout, monkeypatch):
    write_stamp()
    moved = str(checkout / "moved")
    os.mkdir(moved)
    for name in ("setup.py", "constraints.txt", ".venv"):
        shutil.move(str(checkout / name), moved)
    monkeypatch.setattr(environment, "ROOT", moved)
    monkeypatch.setattr(common, "ENVIRONMENT", os.path.join(moved, ".venv"))
    monkeypatch.setattr(environment, "STAMP", os.path.join(moved, ".venv", "qatviz-stamp.json"))
    assert read_stamp() == {}


@pytest.fixture
def steps(checkout, monkeypatch):
    """Record the steps of the set-up instead of executing them; `steps.fault` is the fault that it finds first."""

    class Steps(list):
        fault = None

    done = Steps()

    def make(command, **options):
        assert command[:3] == ["found", "-m", "venv"]
        done.append("make")
        make_environment(checkout)
        return 0, "", ""

    monkeypatch.setattr(environment, "find_python", lambda: "found")
    monkeypatch.setattr(environment, "run_captured", make)
    monkeypatch.setattr(environment, "find_environment_fault", lambda: done.fault)
    monkeypatch.setattr(environment, "install", lambda inherit: done.append("install"))
    return done


def test_a_new_checkout_gets_an_environment_once(checkout, steps):
    shutil.rmtree(str(checkout / ".venv"))
    ensure_environment()
    ensure_environment()
    assert steps == ["make", "install"]


def test_a_whole_environment_without_a_stamp_is_installed_into_and_kept(checkout, steps):
    (checkout / PACKAGES / "users_own.py").write_text("")
    ensure_environment()
    assert steps == ["install"]
    assert (checkout / PACKAGES / "users_own.py").exists()


def test_a_faulty_environment_is_created_again(checkout, steps, capsys):
    steps.fault = "it is half there"
    (checkout / PACKAGES / "half.py").write_text("")
    ensure_environment()
    assert steps == ["make", "install"]
    assert not (checkout / PACKAGES / "half.py").exists()
    assert "again: it is half there" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_faulty_environment_that_is_a_link_loses_the_link_only(checkout, steps):
    shutil.move(str(checkout / ".venv"), str(checkout / "elsewhere"))
    os.symlink(str(checkout / "elsewhere"), str(checkout / ".venv"))
    steps.fault = "it is old"
    ensure_environment()
    assert not os.path.islink(str(checkout / ".venv"))
    assert (checkout / "elsewhere" / "pyvenv.cfg").exists()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, BootstrapError("pip failed"), OSError("disk full")])
def test_an_interrupted_installation_is_done_again(checkout, steps, monkeypatch, interruption):
    write_stamp()
    (checkout / "constraints.txt").write_text("pins 2")
    whole = environment.install

    def interrupted(inherit):
        steps.append("interrupted")
        raise interruption

    monkeypatch.setattr(environment, "install", interrupted)
    for _ in range(2):
        with pytest.raises(type(interruption) if isinstance(interruption, Exception) else interruption):
            ensure_environment()
        # Back at the old pins, the half-changed environment must not pass for the old one.
        (checkout / "constraints.txt").write_text("pins 1")
        assert read_stamp() == {}
    monkeypatch.setattr(environment, "install", whole)
    ensure_environment()
    ensure_environment()
    assert steps == ["interrupted", "interrupted", "install"]


def test_an_environment_that_cannot_be_created_is_an_error_with_the_reason(checkout, steps, monkeypatch):
    shutil.rmtree(str(checkout / ".venv"))
    monkeypatch.setattr(environment, "run_captured", lambda command, **options: (1, "", "no space left"))
    with pytest.raises(BootstrapError, match="(?s)found could not create.*no space left"):
        ensure_environment()
    assert steps == []


@pytest.fixture
def distribution(checkout, monkeypatch):
    """Return the folder of an installed distribution with one module of 5 bytes; its environment's Python starts."""
    monkeypatch.setattr(environment, "run_captured", lambda command, **options: (0, "3 7 x86_64", ""))
    information = checkout / PACKAGES / "thing-1.0.dist-info"
    information.mkdir()
    (checkout / PACKAGES / "pip-24.0.dist-info").mkdir()
    (checkout / PACKAGES / "pip-24.0.dist-info" / "RECORD").write_text("")
    (checkout / PACKAGES / "thing.py").write_text("x = 1")
    (information / "RECORD").write_text('thing.py,sha256=abc,5\n"thing-1.0.dist-info/RECORD",,\n__pycache__/t.pyc,,\n')
    return information


def test_a_whole_installation_has_no_fault(distribution):
    assert find_environment_fault() is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda info: (info.parent / "thing.py").write_text("x ="),
        lambda info: (info.parent / "thing.py").write_text(""),
        lambda info: (info.parent / "thing.py").unlink(),
        lambda info: (info / "RECORD").unlink(),
        lambda info: (info / "RECORD").write_text("thing.py,sha256=abc,5\nthing-1.0.dist-in"),
        lambda info: (info / "RECORD").write_text("thing.py,sha256=abc,five\n"),
        lambda info: (info.parent / "~hing").mkdir(),
        lambda info: shutil.rmtree(str(info.parent / "pip-24.0.dist-info")),
    ],
)
def test_every_trace_of_an_interrupted_installation_is_a_fault(distribution, damage):
    damage(distribution)
    assert "was interrupted" in find_environment_fault()


@pytest.mark.parametrize("answer", [(127, "", "no such file"), (1, "", "No module named pip"), (0, "3 11 x86_64", "")])
def test_an_environment_with_an_unsuitable_python_is_faulty(distribution, monkeypatch, answer):
    monkeypatch.setattr(environment, "run_captured", lambda command, **options: answer)
    assert "is not 3.7 with pip" in find_environment_fault()


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failing_pip_is_an_error(checkout, monkeypatch, failing):
    codes = [0, 0]
    codes[failing] = 1
    (checkout / "constraints.txt").write_text(
        "# comment==1\nThing_a==1.0  # why\nthing.b==2.0\n"
        f'here==3; sys_platform == "{sys.platform}"\nelsewhere==4; sys_platform != "{sys.platform}"\n'
    )
    (checkout / PACKAGES / "thing_b-2.0.dist-info").mkdir()
    monkeypatch.setattr(environment, "pip_install", lambda *arguments, **options: codes.pop(0))
    monkeypatch.setattr(environment, "connection_fault", lambda url: "pypi.org:443 can't be reached")
    with pytest.raises(BootstrapError, match="pip could not install") as error:
        environment.install({})
    assert "missing in .venv: Thing_a 1.0, here 3.\npypi.org:443 can't be reached. Connect" in str(error.value)
    (checkout / "constraints.txt").write_text("thing-b==2.0\n")
    codes[:] = [1]
    monkeypatch.setattr(environment, "connection_fault", lambda url: "")
    with pytest.raises(BootstrapError, match="missing in .venv: qatviz itself.\nCall bootstrap.py again"):
        environment.install({})


def test_every_pin_is_understood():
    with open(os.path.join(ROOT, "constraints.txt"), encoding="utf-8") as file:
        lines = [line.partition("  ")[0].strip() for line in file if "==" in line and not line.startswith("#")]
    assert len(lines) > 50
    assert [environment.PIN.match(line).group() for line in lines] == lines


def test_a_tensorflow_that_does_not_start_is_an_error(checkout, monkeypatch):
    monkeypatch.setattr(environment, "pip_install", lambda *arguments, **options: 0)
    monkeypatch.setattr(environment.subprocess, "call", lambda command, **options: -4)
    with pytest.raises(BootstrapError, match="AVX"):
        environment.install({})


HOLD_LOCK = """
import subprocess, sys
from qatviz.bootstrapping.environment import exclusive_lock
with exclusive_lock() as lock:
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=0, pass_fds=[lock.fileno()])
    print("locked", flush=True)
    heir.wait()
"""


@pytest.mark.skipif(os.name == "nt", reason="children inherit no locks on Windows")
def test_the_lock_is_held_until_its_holder_and_its_children_have_ended(tmp_path, monkeypatch):
    copy = str(tmp_path / "qatviz" / "bootstrapping")  # A real bootstrap may hold the checkout's own lock.
    shutil.copytree(os.path.join(ROOT, "qatviz", "bootstrapping"), copy)
    for name in ("__init__.py", "atomic_files.py", "tensorflow_presence.py"):
        shutil.copy(os.path.join(ROOT, "qatviz", name), str(tmp_path / "qatviz"))
    monkeypatch.setattr(environment, "__file__", os.path.join(copy, "environment.py"))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK], cwd=str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder, open(environment.__file__, "r+b") as file:
        assert holder.stdout.readline() == b"locked\n"
        assert not environment.try_lock(file)
        holder.kill()
        holder.wait()
        assert not environment.try_lock(file), "the child still runs, so the environment is not free yet"
        holder.stdin.write(b"\n")
    with environment.exclusive_lock():
        pass


def test_a_waiting_call_prints_so_and_continues_when_the_lock_is_free(monkeypatch, capsys):
    attempts = [False, False, True]
    monkeypatch.setattr(environment, "try_lock", lambda file: attempts.pop(0))
    monkeypatch.setattr(environment.time, "sleep", lambda seconds: None)
    with environment.exclusive_lock():
        assert attempts == []
    assert capsys.readouterr().err.count("waiting for it") == 1


@pytest.mark.parametrize("character", ["$", os.pathsep, '"', "`", "\n"])
def test_a_path_that_pip_or_venv_cannot_use_is_refused_with_the_reason(checkout, monkeypatch, character):
    monkeypatch.setattr(environment, "ROOT", f"/home/me/a{character}touch x{character}b")
    monkeypatch.setattr(environment, "find_python", lambda: pytest.fail("nothing is to be created"))
    with pytest.raises(BootstrapError, match=re.escape(f"with {character!r} in its path: ") + ".*; move the checkout"):
        ensure_environment()
