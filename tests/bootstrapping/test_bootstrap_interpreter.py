"""Selection of an interpreter among those of a machine, and its installation."""

import os
import sys

import pytest
from bootstrap_fakes import make_interpreter, make_program

from qatviz.bootstrapping import common, interpreter, viewer
from qatviz.bootstrapping.common import BootstrapError
from qatviz.bootstrapping.interpreter import UnsuitableInterpreter, candidates, find_python, probe

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")


@pytest.fixture
def machine(monkeypatch):
    """Return a list that stands for all interpreters of the machine, in order of preference."""
    paths = []
    monkeypatch.setattr(interpreter, "candidates", lambda: iter(paths))
    monkeypatch.delenv("QATVIZ_PYTHON", raising=False)
    return paths


def test_the_base_of_the_running_cpython_37_is_used():
    found = probe(sys.executable)
    assert os.path.realpath(found) == os.path.realpath(sys.executable)
    assert os.path.dirname(os.path.dirname(found)) == sys.base_prefix


def test_a_complete_cpython_37_is_used(tmp_path):
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
    with pytest.raises(UnsuitableInterpreter, match=reason):
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
def test_a_program_other_than_an_interpreter_is_refused(tmp_path, script, reason):
    with pytest.raises(UnsuitableInterpreter, match=reason):
        probe(make_program(tmp_path / "python3.7", script))


def test_an_interpreter_that_hangs_is_refused_after_a_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(UnsuitableInterpreter, match="no answer within 0.2 s"):
        probe(make_program(tmp_path / "python3.7", "exec sleep 100"))


def test_a_file_that_cannot_be_run_is_refused(tmp_path):
    (tmp_path / "python3.7").write_text("")
    with pytest.raises(UnsuitableInterpreter, match="ermission denied"):
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
def test_places_below_home_are_candidates(tmp_path, place):
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
def test_places_named_by_variables_are_candidates(tmp_path, variable, place):
    path = make_program(tmp_path / place, "")
    assert path in candidates(environ={variable: str(tmp_path)}, home=str(tmp_path / "home"))


def test_environments_on_condas_list_are_candidates_under_any_name(tmp_path):
    path = make_program(tmp_path / "odd [name]" / "bin" / "python3.7", "")
    listing = tmp_path / ".conda" / "environments.txt"
    listing.parent.mkdir()
    listing.write_text(f"/gone\n{tmp_path / 'odd [name]'}\n")
    assert path in candidates(environ={}, home=str(tmp_path))


def test_unset_variables_add_no_candidates():
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


def test_the_environment_is_never_created_from_itself(tmp_path, machine, monkeypatch):
    monkeypatch.setattr(interpreter, "ENVIRONMENT", str(tmp_path / ".venv"))
    machine += [make_interpreter(tmp_path / ".venv" / "bin" / "python"), make_interpreter(tmp_path / "python3.7")]
    assert find_python() == machine[-1]


def test_without_a_suitable_interpreter_one_is_installed(tmp_path, machine, monkeypatch, capsys):
    machine.append(make_interpreter(tmp_path / "python3", version=(3, 12, 1)))
    monkeypatch.setattr(interpreter, "fetch_python", lambda: "fetched")
    assert find_python() == "fetched"
    output = capsys.readouterr().err
    assert "no CPython 3.7" in output and machine[0] + " is Python 3.12.1" in output


def test_the_interpreter_of_the_variable_comes_before_all_others(tmp_path, machine, monkeypatch):
    machine.append(make_interpreter(tmp_path / "other"))
    monkeypatch.setenv("QATVIZ_PYTHON", make_interpreter(tmp_path / "mine"))
    assert find_python() == str(tmp_path / "mine")


def test_an_unsuitable_interpreter_in_the_variable_is_an_error(tmp_path, machine, monkeypatch):
    machine.append(make_interpreter(tmp_path / "other"))
    monkeypatch.setenv("QATVIZ_PYTHON", make_interpreter(tmp_path / "mine", version=(3, 9, 1)))
    with pytest.raises(BootstrapError, match="mine is Python 3.9.1; expected a 64-bit"):
        find_python()


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """Return a function that replaces uv by a shell script, which installs into a folder of the test."""

    def make(install):
        script = f'case "$2" in install) {install} ;; dir) echo "{tmp_path / "pythons"}" ;; esac'
        path = make_program(tmp_path / "uv", script)
        monkeypatch.setattr(interpreter, "fetch_uv", lambda scratch: path)

    return make


def test_the_interpreter_installed_by_uv_is_used(tmp_path, uv):
    ready = make_interpreter(tmp_path / "ready" / "bin" / "python3.7")
    place = tmp_path / "pythons" / "cpython-3.7.9-any"
    uv(f'mkdir -p "{place}/bin" && ln -s "{ready}" "{place}/bin/python3.7"')
    assert interpreter.fetch_python() == ready


def test_if_uv_cannot_install_the_manual_ways_are_listed(uv):
    uv("echo no network >&2; exit 2")
    with pytest.raises(BootstrapError, match="(?s)uv could not install.*conda create.*pyenv install.*QATVIZ_PYTHON"):
        interpreter.fetch_python()


def test_an_installation_without_an_interpreter_is_an_error(uv):
    uv("exit 0")
    with pytest.raises(BootstrapError, match="has no CPython 3.7"):
        interpreter.fetch_python()


@pytest.mark.parametrize("processor", ["aarch64", "arm64", "ARM64"])
def test_a_machine_without_tensorflow_wheels_uses_a_suitable_interpreter_or_none(
    tmp_path, machine, monkeypatch, processor
):
    monkeypatch.setattr(viewer.platform, "machine", lambda: processor)
    machine.append(make_interpreter(tmp_path / "own" / "python3.7", machine=processor))
    assert find_python() is None
    machine.append(make_interpreter(tmp_path / "translated" / "python3.7"))  # as under Apple's Rosetta
    assert find_python() == machine[-1]


def test_uv_is_installed_from_pypi_in_a_separate_environment(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(interpreter, "run_captured", lambda command, **options: (asked.append(command) or 0, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: asked.append([folder, *step]))
    assert interpreter.fetch_uv(str(tmp_path)).startswith(str(tmp_path))
    assert asked[0] == [sys.executable, "-m", "venv", str(tmp_path / "helper")]
    assert asked[-1][0] == str(tmp_path / "helper") and asked[-1][-1] == interpreter.UV


@pytest.mark.parametrize("apt_works", [True, False])
def test_a_debian_python_without_ensurepip_is_completed_with_apt(tmp_path, monkeypatch, apt_works):
    complete = []

    def apt(packages):
        complete.extend(packages if apt_works else [])
        return apt_works

    monkeypatch.setattr(interpreter, "install_with_apt", apt)
    monkeypatch.setattr(interpreter, "run_captured", lambda command, **options: (0 if complete else 1, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: 0)
    if apt_works:
        assert interpreter.fetch_uv(str(tmp_path))
        assert complete == ["python3-venv"]
    else:
        with pytest.raises(BootstrapError, match="(?s)cannot create a virtual environment.*conda"):
            interpreter.fetch_uv(str(tmp_path))


def test_an_unavailable_uv_is_an_error_with_the_manual_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "run_captured", lambda command, **options: (0, "", ""))
    monkeypatch.setattr(interpreter, "pip_install", lambda folder, step: 1)
    with pytest.raises(BootstrapError, match="(?s)uv could not be downloaded.*conda"):
        interpreter.fetch_uv(str(tmp_path))


def test_variables_that_redirect_imports_are_removed(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    environ = common.clean_environment(ADDED="too")
    assert "PYTHONHOME" not in environ and "PYTHONPATH" not in environ
    assert (environ["KEPT"], environ["ADDED"]) == ("yes", "too")
