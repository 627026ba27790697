"""Folders and files of any name, through every command that reads or writes one."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from cli_calls import call, write_data
from exhaustive import tries
from PIL import Image
from tensorflow_needed import needs_tensorflow

from qatviz.export.formats import FORMATS
from qatviz.safe_text import shell_word

pytestmark = [
    needs_tensorflow,
    pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere"),
]

#: All that a shell, a URI, HTML, a format string or a spreadsheet could take for something else.
ODD = "-a b'\"$HOME;&|<b>\\%23?#=1+@{0}*ü名\n\x1b[31m" + os.fsdecode(b"\xff")
NAMES = [
    "with space",
    'it\'s "quoted"',
    "$HOME;touch owned",
    "ünï名🙂",
    "-rf",
    "new\nline",
    "x" * 200,
    os.fsdecode(b"caf\xff"),
    "<b>&amp;",
    "100%s%20",
    "a?mode=ro#x",
    "a@b",
    "~x",
    "=1+1",
    "\x1b[31m",
    "{0}",
]
OPTIONS = ["--network", "mlp", "--batch-size", "8", "--evaluation-interval", "0", "--quiet"]


def done(*arguments):
    """Return the answer to a call, which must succeed without control characters in its output."""
    answer = call(*arguments)
    assert answer.code == 0, answer.err
    assert not any(ord(char) < 32 for char in (answer.out + answer.err).replace("\n", "").replace("\t", ""))
    (answer.out + answer.err).encode("utf-8", "backslashreplace")
    return answer


@pytest.mark.parametrize(
    "name, formats", tries([(ODD, ["c", "keras", "npz", "tflite"])], [(name, [*FORMATS]) for name in [ODD, *NAMES]])
)
def test_every_command_with_files_of_any_name(tmp_path, monkeypatch, name, formats):
    """Given as absolute paths; ``=`` for the values of options, which may begin with a dash."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / name
    folder.mkdir()
    data, run = write_data(folder / (name[:200] + ".npz")), folder / name
    done("train", "--data", data, *OPTIONS, "--steps", 3, "--out", run)
    done("train", "--resume", run, "--steps", 5, "--quiet")
    done("show", run)
    done("data", data)
    assert call("evaluate", run, "--json", "--set", "*.weights.num_bits=4").json["step"] == 5
    report = folder / (name + ".html")
    done("report", run, "--out", report)
    assert report.stat().st_size > 10_000
    done("tensorboard", run, "--out", folder / (name + "-tb"))
    for form in formats:
        out = folder / (name + form)
        answer = done("export", run, "--format", form, "--out", out, "--verify", 8, "--json")
        assert os.path.exists(str(out)) and len(answer.json["files"]) > 1
    assert "exports" in report.read_text("utf-8").lower()
    assert not [path for path in folder.rglob(".*") if path.name.endswith((".part", ".old"))]


def test_names_that_begin_with_a_dash_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data("-d.npz")
    done("train", "--data=-d.npz", *OPTIONS, "--steps", 2, "--out=-run")
    done("train", "--resume=-run", "--steps", 3, "--quiet")
    done("show", "--", "-run")
    done("report", "--out=-r.html", "--", "-run")
    done("export", "--format", "npz", "--out=-x.npz", "--verify", 8, "--", "-run")
    assert {"-d.npz", "-run", "-r.html", "-x.npz"} <= set(os.listdir("."))
    answer = call("train", "--data", "-d.npz", *OPTIONS)
    assert answer.code == 2 and "Traceback" not in answer.err


def test_a_name_that_is_too_long_is_refused(tmp_path):
    answer = call(
        "train", "--data", write_data(tmp_path / "d.npz"), *OPTIONS, "--steps", 2, "--out", tmp_path / ("x" * 300)
    )
    assert answer.code == 2 and "File name too long" in answer.err and len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("name", tries([ODD], [ODD, *NAMES]))
def test_an_image_folder_of_any_name(tmp_path, name):
    """The folder, its classes and its files."""
    chance = np.random.RandomState(0)
    for label in range(3):
        folder = tmp_path / name / (name[:150] + str(label))
        folder.mkdir(parents=True)
        for index in range(6):
            picture = Image.fromarray(chance.randint(0, 255, (6, 6), np.uint8) // (label + 1))
            with open(str(folder / f"{name[:150]}{index}.png"), "wb") as file:
                picture.save(file, "PNG")
    done("data", tmp_path / name)
    done("train", "--data", tmp_path / name, *OPTIONS, "--steps", 2, "--out", tmp_path / "run")
    done("report", tmp_path / "run")
    done("export", tmp_path / "run", "--format", "savedmodel", "--out", tmp_path / "saved", "--verify", 4)


@pytest.mark.parametrize("name", [ODD, *NAMES, "runs/a"])
def test_a_command_in_a_message_can_be_copied_into_a_shell(name):
    word = shell_word(name)
    assert word.isprintable() and "\n" not in word
    found = subprocess.run(["bash", "-c", f"printf %s {word}"], stdout=subprocess.PIPE, check=True).stdout
    assert os.fsdecode(found) in (name, "./" + name)
    if name == "runs/a":
        assert word == name == shlex.quote(name)


def test_the_command_that_continues_a_run_names_its_folder_as_a_shell_does(tmp_path):
    data, run = write_data(tmp_path / "d.npz", poisoned=3), tmp_path / "my $run"
    answer = call("train", "--data", data, *OPTIONS, "--steps", 40, "--out", run, "--preset", "float")
    assert answer.code == 1 and f"train --resume '{run}' --learning-rate" in answer.err
