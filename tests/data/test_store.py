"""Stores: the data set that was stored, read from files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from qatviz.cli import main
from qatviz.data import describe, from_arrays, load, write_store
from qatviz.data.streamed import StoredArray
from qatviz.errors import DataError, QatvizError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def images():
    random = np.random.RandomState(0)
    x, y = random.randint(0, 256, (40, 5, 4, 3)).astype(np.uint8), np.arange(40) % 3
    return from_arrays("shapes", "test", (x, y), class_names=("round", "square", "no “shape”"))


def rows():
    random = np.random.RandomState(0)
    x = random.standard_normal((30, 6)).astype(np.float32)
    return from_arrays("rows", "test", (x, x[:, :2] * 3))


@pytest.fixture(params=[images, rows])
def dataset(request):
    return request.param()


@pytest.fixture
def store(dataset, tmp_path):
    write_store(dataset, tmp_path / "a store")
    return str(tmp_path / "a store")


def test_a_store_has_the_data_that_was_stored(dataset, store):
    found = load(store)
    assert found.streamed == ("x_train", "x_test") and not dataset.streamed
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name)[:], getattr(dataset, name))
    for name in ("name", "class_names", "task", "scaling", "fingerprint", "input_shape", "pixel_scale"):
        assert getattr(found, name) == getattr(dataset, name)
    before, after = describe(dataset), describe(found)
    for key in set(before) - {"source", "notes", "mistakes"}:
        assert after[key] == before[key], key


def test_a_store_can_be_stored_again(store, tmp_path):
    write_store(load(store), tmp_path / "again")
    for name in ARRAYS:
        assert (tmp_path / "again" / (name + ".npy")).read_bytes() == Path(store, name + ".npy").read_bytes()


def test_progress_rises_to_the_end_and_can_cancel(dataset, tmp_path):
    seen = []
    write_store(dataset, tmp_path / "a", seen.append)
    assert seen == sorted(seen) and len(seen) >= len(ARRAYS) and seen[-1] == 1.0

    def cancel(fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(dataset, tmp_path / "b", cancel)
    assert os.listdir(str(tmp_path)) == ["a"]


def test_weights_count_as_progress_and_are_checked(tmp_path):
    plain = images()
    dataset = from_arrays("shapes", "test", (plain.x_train, plain.y_train), weights=np.arange(1.0, 33))
    seen = []
    write_store(dataset, tmp_path / "a", seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0 and seen[-2] < 1.0
    np.testing.assert_array_equal(load(tmp_path / "a").w_train, dataset.w_train)
    for weights, words in (
        (np.full(len(dataset.w_train), -1.0), "expected finite weights"),
        (np.ones(3), "expected a nu"),
    ):
        np.save(str(tmp_path / "a" / "w_train.npy"), weights)
        with pytest.raises(DataError, match="w_train.npy: .*" + words):
            load(tmp_path / "a")


def test_what_exists_is_not_replaced(dataset, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("keep")
    with pytest.raises(DataError, match="exists already"):
        write_store(dataset, tmp_path / "a")
    assert os.listdir(str(tmp_path / "a")) == ["mine"]


@pytest.mark.parametrize("scaling", ["unit", "signed", "none", "100/50", "1,2,3/50,60,70", "standard"])
def test_stored_pixels_are_scaled_as_those_in_memory(tmp_path, scaling):
    write_store(images(), tmp_path / "a")
    found, expected = load(tmp_path / "a", scaling=scaling), images().with_scaling(scaling)
    assert found.scaling == expected.scaling and found.streamed and found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(found.x_train[:], expected.x_train)
    np.testing.assert_array_equal(found.x_test[[5, 0, 1]], expected.x_test[[5, 0, 1]])
    for key in ("train", "test"):
        assert describe(found)[key] == pytest.approx(describe(expected)[key], rel=1e-6, abs=1e-6)


def test_another_scaling_of_scaled_examples_or_another_task_is_refused(tmp_path):
    write_store(images().with_scaling("signed"), tmp_path / "b")
    with pytest.raises(DataError, match="the scaling is 'unit', but the examples are already scaled to -1 to 1"):
        load(tmp_path / "b", scaling="unit")
    write_store(images(), tmp_path / "a")
    with pytest.raises(DataError, match="the task is 'regression', but that of the store is 'classification'"):
        load(tmp_path / "a", task="regression")


DAMAGE = {
    "no description": lambda store: _rewrite(store, b"", "store.json"),
    "not JSON": lambda store: _rewrite(store, b"{", "store.json"),
    "other version": lambda store: _change(store, version=2),
    "no name": lambda store: _change(store, name=None),
    "list as task": lambda store: _change(store, task=["classification"]),
    "number as class": lambda store: _change(store, class_names=["a", 1]),
    "unknown scaling": lambda store: _change(store, scaling={}),
    "statistics not finite": lambda store: _change(store, statistics={"x_train": [0, float("nan"), 0]}),
    "statistics of labels": lambda store: _change(store, statistics={"y_train": [0, 1, 0]}),
    "too long": lambda store: _change(store, name="a" * 2**24),
    "array missing": lambda store: os.remove(os.path.join(store, "x_test.npy")),
    "array cut": lambda store: _rewrite(store, Path(store, "x_test.npy").read_bytes()[:-3], "x_test.npy"),
    "array of objects": lambda store: np.save(os.path.join(store, "y_test.npy"), np.array([{}], object)),
    "other dtype": lambda store: np.save(os.path.join(store, "x_train.npy"), np.zeros((32, 5, 4, 3), np.int64)),
    "fewer examples": lambda store: np.save(os.path.join(store, "x_train.npy"), np.zeros((3, 5, 4, 3), np.uint8)),
    "no examples": lambda store: np.save(os.path.join(store, "x_train.npy"), np.zeros((0, 5, 4, 3), np.uint8)),
}


def _rewrite(store, content, name):
    Path(store, name).write_bytes(content)


def _change(store, **changes):
    found = json.loads(Path(store, "store.json").read_text())
    _rewrite(store, json.dumps(dict(found, **changes)).encode(), "store.json")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_refused_by_the_name_of_the_file(damage, tmp_path):
    write_store(images(), tmp_path / "a")
    DAMAGE[damage](str(tmp_path / "a"))
    with pytest.raises(QatvizError, match=str(tmp_path / "a")):
        load(tmp_path / "a")


def test_the_command_stores_data_and_names_what_is_wrong(tmp_path, capsys):
    np.savez(str(tmp_path / "d.npz"), x=images().x_train, y=images().y_train)
    out = str(tmp_path / "stored")
    assert main(["store", str(tmp_path / "d.npz"), out, "--scaling", "signed"]) == 0
    assert "examples for training" in capsys.readouterr().out
    assert load(out).scaling == "signed" and isinstance(load(out).x_train, StoredArray)
    assert main(["store", str(tmp_path / "d.npz"), out]) == 2
    assert "exists already" in capsys.readouterr().err
