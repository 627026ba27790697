"""The program where TensorFlow is missing: what works, and the sentence of what does not.

TensorFlow is hidden from a process of its own, so that the tests run where it is installed, too.
"""

import os
import platform
import shutil
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest
import test_architecture
from waiting import run_process

from qatviz import errors, tensorflow_presence
from qatviz.errors import TensorFlowMissing, explanation, require_tensorflow

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = Path(__file__).resolve().parent / "golden" / "records"
HIDDEN = "import sys; sys.modules['tensorflow'] = None; from qatviz.cli import main; sys.exit(main(sys.argv[1:]))"
SENTENCE = "needs TensorFlow 1.15, which is not installed here: "


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A recorded run with checkpoints."""
    folder = tmp_path_factory.mktemp("records")
    shutil.unpack_archive(str(RECORDS / "pairs.zip"), str(folder))
    return str(folder / "pairs")


def qatviz(folder, *arguments):
    """Run a command line in an empty folder."""
    own = {"PYTHONPATH": ROOT, "QT_QPA_PLATFORM": "offscreen", "QATVIZ_RUNS": str(folder / "runs")}
    environ = dict(os.environ, XDG_RUNTIME_DIR=str(folder), XDG_CONFIG_HOME=str(folder), **own)
    return run_process([sys.executable, "-c", HIDDEN, *arguments], env=environ, cwd=str(folder), text=True)


@pytest.mark.parametrize(
    "command",
    [
        "show RUN",
        "report RUN --channels --out report.html",
        "screenshot --record RUN --out window.png",
        "compare RUN RUN",
        "recipe RUN",
        "label RUN",
        "runs",
        "channels RUN",
        "chip lenet",
        "networks resnet8",
        "data mnist-5k",
        "settings",
        "presets",
    ],
)
def test_commands_that_show_a_record_work(record, tmp_path, command):
    done = qatviz(tmp_path, *[record if word == "RUN" else word for word in command.split()])
    assert done.returncode == 0, done.stderr
    if "--out" in command:
        assert (tmp_path / command.split()[-1]).stat().st_size > 10000


@pytest.mark.parametrize(
    "command",
    [
        "train --steps 3",
        "train --resume RUN",
        "window --steps 3",
        "screenshot --steps 3",
        "evaluate RUN",
        "advise RUN --budget 50%",
        "sensitivity RUN",
        "drift RUN",
        "predictions RUN",
        "report RUN --sensitivity",
        "report RUN --drift",
        "report RUN --predictions",
        "report RUN --budget 50%",
        "tensorboard RUN",
        "export RUN --format npz --out model.npz",
        "ab --fork RUN --b *.weights.num_bits=3",
        "sweep --fork RUN --vary *.weights.num_bits=3,4",
    ],
)
def test_commands_that_need_it_say_so_in_one_sentence(record, tmp_path, command):
    before = sorted(str(path) for path in Path(record).rglob("*"))
    done = qatviz(tmp_path, *[record if word == "RUN" else word for word in command.split()])
    said = [line for line in done.stderr.splitlines() if line.startswith("qatviz: ")]
    assert done.returncode == 2 and len(said) == 1, done.stderr
    assert SENTENCE in said[0] and "Traceback" not in done.stderr
    assert sorted(str(path) for path in Path(record).rglob("*")) == before, "a refusal leaves nothing behind"
    assert not (tmp_path / "runs").exists() and not (tmp_path / "model.npz").exists()


def test_sizes_of_formats_that_it_writes_are_not_computed_and_others_are(record, tmp_path):
    done = qatviz(tmp_path, "export", record, "--dry-run", "--data", str(RECORDS / "pairs.npz"))
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert done.returncode == 0, done.stderr
    assert SENTENCE in lines["savedmodel"] and SENTENCE in lines["keras"] and "kB" in lines["npz"]


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(errors, "has_tensorflow", lambda: False)


@pytest.mark.parametrize(
    "machine, remedy",
    [
        (
            "x86_64",
            "install qatviz in an environment of CPython 3.7 (bootstrap.py makes one), or do this on a computer",
        ),
        ("aarch64", "it exists for x86-64 only, so do this on such a computer: qatviz open ssh://HOST shows its runs"),
    ],
)
def test_the_sentence_names_the_remedy_on_this_machine(absent, monkeypatch, machine, remedy):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(TensorFlowMissing) as error:
        require_tensorflow("training")
    assert str(error.value).startswith(f"training {SENTENCE}{remedy}") and "\n" not in str(error.value)


def test_a_failed_import_is_explained():
    error = ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
    assert SENTENCE in explanation(error)
    assert explanation(ModuleNotFoundError("No module named 'other'", name="other")) is None


def test_another_version_of_tensorflow_does_not_count(tmp_path, monkeypatch):
    def install(core):
        for name in ("tensorflow", *core):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "__init__.py").write_text("")

    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tensorflow_core")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    assert not tensorflow_presence.has_tensorflow()
    install([])
    assert not tensorflow_presence.has_tensorflow(), "TensorFlow 2"
    (tmp_path / "tensorflow_core" / "contrib").mkdir(parents=True)
    (tmp_path / "tensorflow_core" / "__init__.py").write_text("")
    assert tensorflow_presence.has_tensorflow()


def test_defaults_of_dataclasses_are_hashable():
    """Python 3.11 and later refuse others, such as arrays."""
    checked = 0
    for name in sorted(test_architecture.MODULES):
        if "tensorflow" in test_architecture.rule_for(name) or name.endswith("__main__") or "onnx" in name:
            continue
        for value in vars(import_module(name)).values():
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == name:
                checked += 1
                assert all(type(field.default).__hash__ is not None for field in fields(value)), value
    assert checked > 100
