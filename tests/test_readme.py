"""README and CONTRIBUTING agree with the program: commands, options, files, directory tree, variables."""

import contextlib
import io
import os
import re
from pathlib import Path

import numpy as np

from qatviz.cli import main

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def readme(name="README.md"):
    """Return the text of the README, or of another document."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def section(title):
    """Return the part of the README under a second-level heading."""
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme(), re.MULTILINE | re.DOTALL).group(1)


def help_text(*command):
    """Return what ``qatviz COMMAND --help`` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*command, "--help"]) == 0
    return out.getvalue()


def test_the_table_of_commands_lists_exactly_the_commands():
    listed = re.search(r"^commands:\n(.*?)\n\n", help_text(), re.MULTILINE | re.DOTALL).group(1)
    there = set(re.findall(r"^    (\w+)", listed, re.MULTILINE)) - {"COMMAND"}
    assert {"train", "show", "networks", "data"} <= there
    assert set(re.findall(r"^\| `qatviz (\w+)", section("Commands"), re.MULTILINE)) == there


def test_the_options_of_the_tour_exist():
    tour = section("A five-minute tour").replace("\\\n", " ")
    commands = re.findall(r"^    qatviz (\w+)(.*)$", tour, re.MULTILINE)
    assert len(commands) > 5
    for command, arguments in commands:
        options = set(re.findall(r"--[a-z][a-z-]*", arguments))
        assert options <= set(re.findall(r"--[a-z][a-z-]*", help_text(command))), command


def test_the_parts_of_the_tour_are_numbered_in_order():
    numbers = re.findall(r"^\*\*(\d+)\. ", section("A five-minute tour"), re.MULTILINE)
    assert len(numbers) > 9 and numbers == [str(number) for number in range(1, len(numbers) + 1)]


def test_the_drawn_directory_tree_matches_the_files():
    picture = re.search(r"```\n(.*?)```", section("Architecture"), re.DOTALL).group(1)
    drawn = {name for line in re.findall(r"^  (\S.*?)  ", picture, re.MULTILINE) for name in line.split(", ")}
    package = os.path.join(ROOT, "qatviz")
    there = {name + "/" if os.path.isdir(os.path.join(package, name)) else name for name in os.listdir(package)}
    assert drawn == {name for name in there if not name.startswith("__")}


def test_every_linked_file_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", readme())
    assert links
    assert [link for link in links if not os.path.exists(os.path.join(ROOT, link))] == []


def test_contributing_names_the_variables_of_all_newer_pythons():
    pattern = r"QATVIZ_[A-Z0-9_]+_PYTHON"
    sources = [path for folder in ("qatviz", "tests") for path in Path(ROOT, folder).rglob("*.py")]
    used = {name for path in sources for name in re.findall(pattern, path.read_text(encoding="utf-8"))}
    assert len(used) > 5
    assert set(re.findall(pattern, readme("CONTRIBUTING.md"))) == used


def test_the_paths_in_contributing_exist():
    named = re.findall(r"`(\w+/[\w/.]*)", readme("CONTRIBUTING.md"))
    assert len(named) > 20
    folders = [Path(ROOT), Path(ROOT, "qatviz")]
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_the_data_of_the_example_has_the_arrays_used():
    (path,) = re.findall(r'digits = np\.load\("([^"]+)"\)', readme())
    with np.load(os.path.join(ROOT, path)) as digits:
        assert set(re.findall(r'digits\["(\w+)"\]', readme())) <= set(digits.files)
