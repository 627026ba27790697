"""Which interpreter bootstrap takes, of those a machine may have."""

import os
import sys

import pytest
from bootstrap_fakes import make_interpreter, make_program

from qatviz.bootstrapping import common, interpreter
from qatviz.bootstrapping.common import BootstrapError
from qatviz.bootstrapping.interpreter import Unsuitable, candidates, find_python, probe

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


@pytest.fixture
def machine(monkeypatch):
    """Return a list that stands for all the machine's interpreters, in the order of preference."""
    paths = []
    monkeypatch.setattr(interpreter, "candidates", lambda: iter(paths))
    monkeypatch.delenv("QATVIZ_PYTHON", raising=False)
    return paths


def test_the_running_cpython_37_is_taken_by_its_base_and_not_by_its_virtual_environment():
    found = probe(sys.executable)
    assert os.path.realpath(found) == os.path.realpath(sys.executable)
    assert os.path.dirname(os.path.dirname(found)) == sys.base_prefix


def test_a_complete_cpython_37_is_taken(tmp_path):
    path = make_interpreter(tmp_path / "python3.7")
    assert probe(path) == path


@pytest.mark.parametrize(
    "facts, reason",
    [
        ({"version": (3, 8, 0)}, "3.8.0"),
        ({"version": (2, 7, 18)}, "2.7.18"),
        ({"implementation": "PyPy"}, "PyPy"),
        ({"bits": 32}, "32 bits"),
        ({"machine": "arm64"}, "arm64"),
        ({"complete": False}, "python3.7-venv"),
        ({"base": "/gone"}, "does not start"),
    ],
)
def test_every_other_interpreter_is_refused_with_the_reason(tmp_path, facts, reason):
    with pytest.raises(Unsuitable, match=reason):
        probe(make_interpreter(tmp_path / "python3.7", **facts))


@pytest.mark.parametrize(
    "script, reason",
    [
        ("echo 'pyenv: python3.7: command not found' >&2; exit 127", "pyenv: python3.7: command not found"),
        ("exit 3", "exit code 3"),
        ("echo this is no JSON", "does not start"),
        ("echo '[1, 2]'", "does not start"),
        ("echo '7'", "does not start"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_program_that_is_no_interpreter_is_refused(tmp_path, script, reason):
    with pytest.raises(Unsuitable, match=reason):
        probe(make_program(tmp_path / "python3.7", script))


def test_an_interpreter_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(Unsuitable, match="no answer within 0.2 s"):
        probe(make_program(tmp_path / "python3.7", "exec sleep 100"))


def test_a_file_that_cannot_be_run_is_refused(tmp_path):
    (tmp_path / "python3.7").write_text("")
    with pytest.raises(Unsuitable, match="ermission denied"):
        probe(str(tmp_path / "python3.7"))


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.7.16/bin/python3.7",
        ".pyenv/versions/miniconda3-3.7-4.12/bin/python3.7",
        "miniconda3/bin/python3.7",
        "anaconda3/envs/old/bin/python3.7",
        "miniforge3/envs/old/bin/python3.7",
        ".conda/envs/old/bin/python3.7",
        ".local/share/uv/python/cpython-3.7.9-linux-x86_64-gnu/bin/python3.7",
        ".asdf/installs/python/3.7.17/bin/python3.7",
    ],
)
def test_the_places_below_home_are_looked_at(tmp_path, place):
    path = make_program(tmp_path / place, "")
    assert path in candidates(environ={}, home=str(tmp_path))


@pytest.mark.parametrize(
    "variable, place",
    [
        ("PATH", "python3.7"),
        ("PATH", "python3"),
        ("PATH", "python"),
        ("PYENV_ROOT", "versions/3.7.2/bin/python3.7"),
        ("CONDA_PREFIX", "bin/python3.7"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.7.9-x/bin/python3.7"),
        ("XDG_DATA_HOME", "uv/python/cpython-3.7.9-x/bin/python3.7"),
    ],
)
def test_the_places_that_variables_name_are_looked_at(tmp_path, variable, place):
    path = make_program(tmp_path / place, "")
    assert path in candidates(environ={variable: str(tmp_path)}, home=str(tmp_path / "home"))


def test_the_environments_that_conda_lists_are_looked_at_whatever_their_names(tmp_path):
    path = make_program(tmp_path / "odd [name]" / "bin" / "python3.7", "")
    listing = tmp_path / ".conda" / "environments.txt"
    listing.parent.mkdir()
    listing.write_text(f"/gone\n{tmp_path / 'odd [name]'}\n")
    assert path in candidates(environ={}, home=str(tmp_path))


def test_unset_variables_name_no_place():
    assert all(os.path.isabs(path) or path.startswith(".") for path in candidates(environ={}, home="/nowhere"))


def test_a_shim_that_refuses_does_not_hide_the_version_behind_it(tmp_path, machine, capsys):
    machine += [
        str(tmp_path / "missing"),
        make_program(tmp_path / "shims" / "python3.7", "exit 127"),
        make_interpreter(tmp_path / "3.11" / "python3", version=(3, 11, 7)),
        make_interpreter(tmp_path / "versions" / "3.7.16" / "python3.7"),
    ]
    assert find_python() == machine[-1]
    assert capsys.readouterr().err == ""


def test_the_environment_itself_is_never_what_it_is_made_from(tmp_path, machine, monkeypatch):
    monkeypatch.setattr(interpreter, "ENVIRONMENT", str(tmp_path / ".venv"))
    machine += [make_interpreter(tmp_path / ".venv" / "bin" / "python"), make_interpreter(tmp_path / "python3.7")]
    assert find_python() == machine[-1]


def test_without_any_one_is_fetched_after_telling_what_was_looked_at(tmp_path, machine, monkeypatch, capsys):
    machine.append(make_interpreter(tmp_path / "python3", version=(3, 12, 1)))
    monkeypatch.setattr(interpreter, "fetch_python", lambda: "fetched")
    assert find_python() == "fetched"
    told = capsys.readouterr().err
    assert "no CPython 3.7" in told and machine[0] + " is Python 3.12.1" in told


def test_the_interpreter_the_user_names_is_taken_before_all_others(tmp_path, machine, monkeypatch):
    machine.append(make_interpreter(tmp_path / "other"))
    monkeypatch.setenv("QATVIZ_PYTHON", make_interpreter(tmp_path / "mine"))
    assert find_python() == str(tmp_path / "mine")


def test_a_wrong_one_that_the_user_names_is_an_error(tmp_path, machine, monkeypatch):
    machine.append(make_interpreter(tmp_path / "other"))
    monkeypatch.setenv("QATVIZ_PYTHON", make_interpreter(tmp_path / "mine", version=(3, 9, 1)))
    with pytest.raises(BootstrapError, match="mine is Python 3.9.1; a 64-bit"):
        find_python()


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """Let a shell script stand for uv; it installs into a folder of the test's."""

    def make(install):
        script = f'case "$2" in install) {install} ;; dir) echo "{tmp_path / "pythons"}" ;; esac'
        path = make_program(tmp_path / "uv", script)
        monkeypatch.setattr(interpreter, "fetch_uv", lambda scratch: path)
        monkeypatch.setattr(interpreter.platform, "machine", lambda: "x86_64")

    return make


def test_what_uv_installs_is_used(tmp_path, uv):
    ready = make_interpreter(tmp_path / "ready" / "bin" / "python3.7")
    place = tmp_path / "pythons" / "cpython-3.7.9-any"
    uv(f'mkdir -p "{place}/bin" && ln -s "{ready}" "{place}/bin/python3.7"')
    assert interpreter.fetch_python() == ready


def test_where_uv_cannot_install_the_ways_by_hand_are_told(uv):
    uv("echo no network >&2; exit 2")
    with pytest.raises(BootstrapError, match="(?s)uv could not install.*conda create.*pyenv install.*QATVIZ_PYTHON"):
        interpreter.fetch_python()


def test_where_uv_installs_nothing_that_is_told(uv):
    uv("exit 0")
    with pytest.raises(BootstrapError, match="no CPython 3.7 in"):
        interpreter.fetch_python()


def test_a_machine_that_tensorflow_has_no_wheels_for_is_told_so_at_once(monkeypatch):
    monkeypatch.setattr(interpreter.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(interpreter.sys, "platform", "linux")
    with pytest.raises(BootstrapError, match="x86-64 only, and this machine is aarch64"):
        interpreter.fetch_python()


def test_uv_is_asked_of_pypi_by_an_environment_of_its_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(interpreter, "output_of", lambda command, **options: (asked.append(command) or 0, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: asked.append([folder, *step]))
    assert interpreter.fetch_uv(str(tmp_path)).startswith(str(tmp_path))
    assert asked[0] == [sys.executable, "-m", "venv", str(tmp_path / "helper")]
    assert asked[-1][0] == str(tmp_path / "helper") and asked[-1][-1] == interpreter.UV


@pytest.mark.parametrize("apt_works", [True, False])
def test_a_debian_python_without_ensurepip_is_completed_with_apt_where_that_works(tmp_path, monkeypatch, apt_works):
    complete = []

    def apt(packages):
        complete.extend(packages if apt_works else [])
        return apt_works

    monkeypatch.setattr(interpreter, "install_with_apt", apt)
    monkeypatch.setattr(interpreter, "output_of", lambda command, **options: (0 if complete else 1, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: 0)
    if apt_works:
        assert interpreter.fetch_uv(str(tmp_path))
        assert complete == ["python3-venv"]
    else:
        with pytest.raises(BootstrapError, match="(?s)cannot make a virtual environment.*conda"):
            interpreter.fetch_uv(str(tmp_path))


def test_pip_that_cannot_fetch_uv_is_an_error_with_the_ways_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "output_of", lambda command, **options: (0, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: 1)
    with pytest.raises(BootstrapError, match="(?s)uv could not be fetched.*conda"):
        interpreter.fetch_uv(str(tmp_path))


def test_what_leads_another_interpreter_astray_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    environ = common.clean_environ(ADDED="too")
    assert "PYTHONHOME" not in environ and "PYTHONPATH" not in environ
    assert (environ["KEPT"], environ["ADDED"]) == ("yes", "too")
