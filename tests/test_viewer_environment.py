"""The package under this machine's Python, installed without TensorFlow: a recorded run, a report, the tests of gui."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from recorded_samples import record_run
from tensorflow_needed import REASON
from test_packaging import tree  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Interpreter that the environment is made with: a Python of 3.8 or later.
PYTHON = os.environ.get("QATVIZ_VIEWER_PYTHON") or shutil.which("python3") or "python3"
TOOLS = ["pytest", "pytest-qt", "pytest-timeout", "hypothesis"]
#: Tests of the window that need no TensorFlow: at least this many.
MOST_TESTS = 1000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def own_environment(**changes):
    """Return the environment variables for another Python, with a display of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    return dict(environ, QT_QPA_PLATFORM="offscreen", **changes)


@pytest.fixture(scope="module")
def python(tree, tmp_path_factory):
    """Return the Python of an environment in which pip has installed the package."""
    asked = run(PYTHON, "-c", "import ensurepip, sys, venv; print(*sys.version_info[:2])", env=own_environment())
    if asked.returncode or tuple(map(int, asked.stdout.split())) < (3, 8):
        pytest.skip(f"{PYTHON} is no Python of 3.8 or later with venv: QATVIZ_VIEWER_PYTHON names one")
    folder = str(tmp_path_factory.mktemp("viewer") / "venv")
    made = run(PYTHON, "-m", "venv", folder, env=own_environment())
    assert made.returncode == 0, made.stdout
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    installed = run(python, "-m", "pip", "install", "-q", tree, *TOOLS, env=own_environment())
    if installed.returncode and "No matching distribution" in installed.stdout:
        pytest.skip(f"{PYTHON}: packages can't be installed: {installed.stdout.splitlines()[-1]}")
    assert installed.returncode == 0, installed.stdout
    return python


def test_no_tensorflow_is_installed(python):
    listed = run(python, "-m", "pip", "list", env=own_environment()).stdout.lower()
    assert "qatviz" in listed and "pyqt5" in listed and "tensorflow" not in listed and "protobuf" not in listed


def test_a_record_is_shown_and_reported(python, tmp_path):
    record_run(tmp_path / "run")
    for command, written in (
        (["screenshot", "--record", "run", "--out", "window.png"], b"\x89PNG"),
        (["report", "run", "--out", "report.html"], b"<!doctype html>"),
    ):
        done = run(python, "-W", "error", "-m", "qatviz", *command, cwd=str(tmp_path), env=own_environment())
        assert done.returncode == 0, done.stdout
        content = (tmp_path / command[-1]).read_bytes()
        assert content.startswith(written) and len(content) > 20000
    done = run(python, "-m", "qatviz", "train", "--resume", "run", cwd=str(tmp_path), env=own_environment())
    assert done.returncode == 2 and "training needs TensorFlow 1.15, which is not installed here" in done.stdout


def test_the_tests_of_the_window_pass(python, tmp_path):
    results = str(tmp_path / "results.xml")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", results]
    environ = own_environment(PYTHONPATH=os.path.join(ROOT, "tests"))
    done = run(*command, os.path.join("tests", "gui"), cwd=ROOT, env=environ)
    assert done.returncode == 0, done.stdout
    (suite,) = ElementTree.parse(results).getroot().iter("testsuite")
    skipped = [element.get("message") for element in suite.iter("skipped")]
    assert int(suite.get("tests")) - len(skipped) > MOST_TESTS
    assert set(skipped) == {REASON}
