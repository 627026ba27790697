"""The summary of a data set against NumPy, and the names and formats that can be loaded."""

import json
import subprocess
import sys

import numpy as np
import pytest

from qatviz.data import FILE_FORMATS, NAMED_DATA, data_notes, describe, format_description, from_arrays, load
from qatviz.errors import DataError, SettingError


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_summary_agrees_with_numpy_and_is_json(digits, dtype):
    x, y = digits
    dataset = from_arrays("n", "s", (x.astype(dtype), y), (x[:7].astype(dtype), y[:7]), ["a", "b", "c", "d", "e"])
    summary = describe(dataset)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["train"] == {"examples": 40, "min": x.min(), "max": x.max(), "mean": pytest.approx(x.mean())}
    assert summary["test"]["mean"] == pytest.approx(x[:7].mean())
    assert [entry["train"] for entry in summary["classes"]] == [10, 10, 10, 10, 0]
    assert [entry["test"] for entry in summary["classes"]] == np.bincount(y[:7], minlength=5).tolist()
    assert summary["input_shape"] == [6, 5, 1] and summary["dtype"] == np.dtype(dtype).name
    assert summary["fingerprint"] == dataset.fingerprint and summary["pixel_scale"] == dataset.pixel_scale


def test_the_mean_of_many_rows(monkeypatch):
    monkeypatch.setattr("qatviz.data.streamed._PIECE_BYTES", 84)  # 7 rows
    x = np.random.RandomState(0).rand(100, 3).astype(np.float32)
    summary = describe(from_arrays("n", "s", (x, np.arange(100) % 2), (x, np.arange(100) % 2)))
    assert summary["train"]["mean"] == pytest.approx(x.mean(), rel=1e-6)


@pytest.mark.parametrize(
    "x, note",
    [
        (np.linspace(0, 255, 1280).reshape(20, 8, 8), "floating-point values reach 255 and are not scaled"),
        (np.linspace(0, 255, 1280).reshape(20, 64), "floating-point values reach 255 and are not scaled"),
        (np.linspace(0, 255, 40).reshape(20, 2), None),
        (np.arange(80, dtype=np.uint8).reshape(20, 2, 2) % 2, None),
        (np.ones((20, 2)), "all training examples are identical"),
        (np.linspace(0, 1, 20 * 3 * 8 * 8).reshape(20, 3, 8, 8), "images are 3 pixels high with 8 channels"),
        (np.linspace(-3, 3, 40).reshape(20, 2), None),
        (np.linspace(0, 1, 40).reshape(20, 2), None),
    ],
)
def test_likely_mistakes_are_noted(x, note):
    dataset = from_arrays("n", "s", (x, np.arange(20) % 2))
    mistakes = [found.text for found in data_notes(dataset) if found.is_mistake]
    assert (not mistakes) if note is None else mistakes[0].startswith(note)
    summary = describe(dataset)
    assert summary["mistakes"] == mistakes and set(mistakes) <= set(summary["notes"])
    lines = format_description(summary).splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == ["warning: " + text for text in mistakes]
    assert sum(line.startswith("note: ") for line in lines) == len(summary["notes"]) - len(mistakes)


@pytest.mark.parametrize(
    "x, y, notes",
    [
        (
            np.arange(80, dtype=np.uint8).reshape(20, 2, 2),
            np.arange(20) % 2,
            [
                "scaled by 1/255 (uint8 images); if the network expects other",
                "whole numbers, so that they are 2 classes",
            ],
        ),
        (
            np.arange(40).reshape(20, 2),
            np.eye(2)[np.arange(20) % 2],
            ["features, not scaled (int64 rows from 0 to 39); if they", "one-hot rows, so that they are 2 classes"],
        ),
        (np.linspace(-1, 1, 40).reshape(20, 2), np.linspace(-1, 1, 20), ["not whole numbers, so that they are regr"]),
    ],
)
def test_inferred_properties_are_noted_with_the_option_to_change_them(x, y, notes):
    inferred = [note.text for note in data_notes(from_arrays("n", "s", (x, y))) if not note.is_mistake]
    assert len(inferred) == len(notes) + 1
    assert all(part in note for part, note in zip(notes, inferred))
    assert "4 of 20 examples were chosen at random and held out (validation fraction 0.2)" in inferred[-1]
    stated = from_arrays("n", "s", (x / 255.0, y), (x / 255.0, y), task="regression")
    assert not [note for note in data_notes(stated) if not note.is_mistake]


def test_nothing_is_inferred_about_a_named_data_set():
    assert data_notes(load("mnist-5k")) == ()


def test_classes_without_examples_are_noted(digits):
    x, y = digits
    dataset = from_arrays("n", "s", (x, y), (x[y == 0], y[y == 0]), class_names=list("abcdefghijkl"))
    assert describe(dataset)["notes"][:2] == [
        "no train examples for 8 of 12 classes: e, f, g, h, i, j and 2 more",
        "no test examples for 11 of 12 classes: b, c, d, e, f, g and 5 more",
    ]


def test_the_text_has_every_class_and_note(digits):
    x, y = digits
    lines = format_description(
        describe(
            from_arrays(
                "name",
                "place",
                (x, y),
                (x, y),
                ["one", "two", "three", "four!"],
            )
        )
    ).split("\n")
    assert lines[0] == "name from place"
    assert lines[1] == "examples   6x5x1 uint8, fed to the network as x / 255"
    assert lines[-2].split() == ["four!", "10", "10"] and len({len(line) for line in lines[-6:-1]}) == 1
    noted = format_description(describe(from_arrays("n", "s", (np.ones((20, 2)), np.arange(20) % 2))))
    assert "warning: all training examples are identical" in noted.split("\n")


def test_named_data_and_formats_are_listed_for_help_texts():
    assert [named.name for named in NAMED_DATA] == ["mnist-5k", "animals", "mnist", "fashion_mnist", "cifar10"]
    assert [kind.name for kind in FILE_FORMATS] == [
        "npz",
        "cifar10",
        "idx",
        "store",
        "npy",
        "tfrecord",
        "csv",
        "sounds",
        "folder",
        "zip",
    ]
    assert all(entry.help for entry in NAMED_DATA + FILE_FORMATS)


def test_underscores_and_hyphens_are_the_same():
    assert load("mnist_5k").fingerprint == load("mnist-5k").fingerprint


def test_a_name_that_does_not_exist_lists_those_that_do():
    with pytest.raises(DataError, match=r"'minst-5k' is neither a data set \(mnist-5k, .*Did you mean mnist-5k\?"):
        load("minst-5k")


def test_a_path_of_no_known_kind_lists_the_kinds(files, tmp_path):
    files.path("table.txt").write_text("1,2,3")
    files.path("empty/x").write_text("")
    for path in ("table.txt", "empty"):
        with pytest.raises(DataError, match=path + ": unknown format; expected one of: npz .*cifar10 .*idx .*folder"):
            load(str(tmp_path / path))


def test_a_home_directory_and_path_objects(files, digits, tmp_path, monkeypatch):
    files.npz(x=digits[0], y=digits[1])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load("~/data.npz").num_classes == load(tmp_path / "data.npz").num_classes == 4


def test_named_data_wins_over_a_file_which_is_reached_by_path(files, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.npz("mnist-5k", x=digits[0], y=digits[1])
    files.path("mnist-5k.npz").rename(files.path("mnist-5k"))
    assert load("mnist-5k").num_classes == 10
    assert load("./mnist-5k").num_classes == 4


@pytest.mark.parametrize("arguments", [{"validation_fraction": 1.0}, {"validation_fraction": 0.0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(files, digits, arguments):
    with pytest.raises(SettingError):
        load(files.npz(x=digits[0], y=digits[1]), **arguments)


def test_bundled_data_imports_neither_pillow_nor_tensorflow_nor_qt():
    code = (
        "import sys; from qatviz.data import describe, load; describe(load('mnist-5k'));"
        "print({name.split('.')[0] for name in sys.modules} & {'PIL', 'tensorflow', 'tensorflow_core', 'PyQt5'})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], universal_newlines=True).strip() == "set()"
