"""Damaged, mixed-up and malicious files of integer models are refused with a clear error."""

import io
import json
import zipfile

import numpy as np
import pytest
from export_cases import NETWORK
from file_damage import damaged_copies
from integer_cases import model_of, simulate
from test_npz_export import write
from test_tflite_lowering import SETTINGS, everything, images_for

from qatviz.errors import ExportError
from qatviz.export.npz.format import description
from qatviz.export.npz.reader import load_integer_model

N_MUTATIONS = 200


@pytest.fixture(scope="module")
def model():
    return model_of(everything(), *SETTINGS["int8"])


@pytest.fixture
def path(model, tmp_path):
    return write(model, tmp_path)


def edited(path, change):
    """Apply ``change`` to the description without its checksum; return the path."""
    described = path.with_suffix(".json")
    record = json.loads(described.read_text())
    record.pop("checksum")
    change(record)
    described.write_text(json.dumps(record))
    return path


def replaced(path, **arrays):
    """Return the path after replacing arrays (``__`` is a dot); None removes an array."""
    edited(path, lambda record: None)
    with np.load(str(path)) as found:
        kept = dict(found)
    kept.update((name.replace("__", "."), array) for name, array in arrays.items())
    np.savez(str(path), **{name: array for name, array in kept.items() if array is not None})
    return path


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_damage_is_refused_or_has_no_effect(suffix, tmp_path):
    model = model_of(NETWORK, *SETTINGS["int8"])
    path = write(model, tmp_path)
    damaged = path.with_suffix(suffix)
    content, images = damaged.read_bytes(), images_for(model, 2)
    expected, refused = simulate(model, images), 0
    for mutated in damaged_copies(content, 0, N_MUTATIONS):
        damaged.write_bytes(mutated)
        try:
            found = load_integer_model(path)
        except ExportError as error:
            assert str(damaged) in str(error) or str(path) in str(error)
            refused += 1
        else:
            # Damage that is read is harmless: in white space or in the archive's dates.
            np.testing.assert_array_equal(simulate(found, images), expected)
            assert description(found) == description(model)
    assert 0.8 * N_MUTATIONS < refused <= N_MUTATIONS


def test_changes_that_only_the_checksum_reveals_are_refused(path, tmp_path):
    described = path.with_suffix(".json")
    record = json.loads(described.read_text())
    assert record["tensors"][2]["zero_point"] == -128
    record["tensors"][2]["zero_point"] = -127
    described.write_text(json.dumps(record))
    with pytest.raises(ExportError, match=r"model.json: it or .*model.npz was changed or damaged after the export"):
        load_integer_model(path)
    found = load_integer_model(edited(path, lambda record: None))
    assert found.tensors[2].zero_point == -127


def test_the_layout_of_a_description_does_not_matter(path, model):
    described = path.with_suffix(".json")
    record = json.loads(described.read_text())
    described.write_text(json.dumps(dict(reversed(list(record.items()))), indent=7, ensure_ascii=False))
    assert description(load_integer_model(path)) == description(model)


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -30])
def test_truncated_files_are_refused(cut, path):
    for damaged in (path, path.with_suffix(".json")):
        content = damaged.read_bytes()
        damaged.write_bytes(content[:cut])
        if damaged == path or cut != -1:  # the last byte of JSON ends its line
            with pytest.raises(ExportError, match=damaged.name):
                load_integer_model(path)
        damaged.write_bytes(content)


def test_missing_files_are_refused(path):
    path.with_suffix(".json").unlink()
    with pytest.raises(ExportError, match=r"model.json: cannot be read as the description of an integer model"):
        load_integer_model(path)
    with pytest.raises(ExportError, match="nothing.json"):
        load_integer_model(path.with_name("nothing.npz"))


def test_files_of_two_exports_are_refused(path, tmp_path):
    (tmp_path / "other").mkdir()
    other = write(model_of(everything(), *SETTINGS["int8"], seed=1), tmp_path / "other")
    path.write_bytes(other.read_bytes())
    with pytest.raises(ExportError, match="was changed or damaged after the export, or they belong to two exports"):
        load_integer_model(path)
    deeper = write(model_of(everything(), *SETTINGS["int4"]), tmp_path / "other")
    path.write_bytes(deeper.read_bytes())
    with pytest.raises(ExportError):
        load_integer_model(path)


CONV = "operation 'conv': "


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r.update(schema="qatviz-integer-model/1"), "schema is 'qatviz-integer-model/1': expected 'qatviz-"),
        (lambda r: r.pop("tensors"), "tensors is missing"),
        (lambda r: r.update(operations={}), "operations is {}: expected a list"),
        (lambda r: r["tensors"].pop(), "expected the input and one for each"),
        (lambda r: r["tensors"][1].update(name="input"), "with different names"),
        (lambda r: r["tensors"][1].update(scale=0.1), "scale is 0.1: expected a float32 above 0"),
        (lambda r: r["tensors"][1].update(scale=-1.0), "expected a float32 above 0"),
        (lambda r: r["tensors"][1].update(scale=0.5), "scale, zero point or range|are not the ratio of the scales"),
        (
            lambda r: r["tensors"][1].update(zero_point=128),
            "zero_point is 128: expected a whole number from -128 to 127",
        ),
        (lambda r: r["tensors"][1].update(num_bits=True), "num_bits is True: expected a whole number from 2 to 16"),
        (lambda r: r["tensors"][1].update(num_bits=10**400), "num_bits is 1000"),
        (lambda r: r["tensors"][2].update(shape=[7, 13, 7]), r"shape is \[7, 13, 7\]: expected \[7, 13, 6\]"),
        (lambda r: r["tensors"][0].update(shape=[2**30, 2**30, 2]), "shape"),
        (lambda r: r["tensors"][0].update(shape=[]), "shape"),
        (lambda r: r.update(output="nowhere"), "output is 'nowhere': expected the name of a tensor"),
        (lambda r: r.update(input="conv"), "input is 'conv'"),
        (lambda r: r.update(aliases={"a": "nowhere"}), "aliases: 'a' is 'nowhere'"),
        (lambda r: r["operations"][1]["layer"].update(kind="Exec"), "kind is 'Exec'; allowed: Conv2D"),
        (lambda r: r["operations"][1]["layer"].update(kind="Dropout"), "layer 'conv'"),
        (lambda r: r["operations"][1]["layer"].update(strides=[0, 1]), "layer 'conv': strides"),
        (lambda r: r["operations"][1]["layer"].update(filters=10**9), "shape is"),
        (lambda r: r["operations"][1]["layer"].update(extra=1), "extra"),
        (lambda r: r["operations"][1].update(layers=["bn"]), CONV + "layers is"),
        (lambda r: r["operations"][1].update(inputs=["logits"]), CONV + "inputs is"),
        (lambda r: r["operations"][1].update(output="pad"), CONV + "output is 'pad'"),
        (lambda r: r["operations"][1].update(pads=[[0, 0], [0, 0]]), CONV + "pads is"),
        (lambda r: r["operations"][1].update(pads=[[2, 2], [1, 10**9]]), CONV + "pads is"),
        (lambda r: r["operations"][1].update(clamp=[-129, 5]), CONV + "clamp is -129"),
        (lambda r: r["operations"][1].update(clamp=[5, 4]), CONV + "clamp is"),
        (lambda r: r["operations"][1].update(weights=None), CONV + "weights is None"),
        (
            lambda r: r["operations"][1]["weights"].update(num_bits=4),
            "conv.weights does not fit its operation: expected c",
        ),
        (lambda r: r["operations"][1]["weights"].update(num_bits=9), "conv.weights does not fit its operation"),
        (lambda r: r["operations"][0].update(weights={}), "null: a ZeroPad has none"),
        (lambda r: r["operations"][1].update(accumulator_bits=3), "accumulator_bits is 3"),
        (lambda r: r["arrays"].pop("conv.bias"), "arrays: lack conv.bias"),
        (lambda r: r["arrays"].update(more={"dtype": "int8", "shape": [1]}), "arrays: have more"),
        (lambda r: r["arrays"]["conv.bias"].update(dtype="object"), "dtype is 'object'"),
        (lambda r: r["arrays"]["conv.bias"].update(shape=[7]), r"conv.bias: is int32 \[6\]: expected int32 \[7\]"),
        (lambda r: r.update(name="a b"), "name"),
        (lambda r: r.update(notes=[1]), "notes"),
        (lambda r: r.update(metadata=[]), "metadata is"),
        (lambda r: r.update(softmax=1), "softmax is 1"),
    ],
)
def test_invalid_descriptions_are_refused(change, message, path):
    with pytest.raises(ExportError, match=message) as error:
        load_integer_model(edited(path, change))
    assert "model.json" in str(error.value) or "model.npz" in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"conv__weights": None}, "conv.weights.npy is in one of them only"),
        ({"more": np.zeros(2)}, "more.npy is in one of them only"),
        ({"conv__weights": np.zeros((5, 3, 2, 6))}, "conv.weights: is float64|conv.weights: has"),
        ({"conv__weights": np.zeros((5, 3, 6, 2), np.int8)}, "conv.weights: is int8"),
        ({"conv__weights": np.full((5, 3, 2, 6), -128, np.int8)}, "expected codes -127 to 127"),
        ({"conv__weights__scale": np.full(6, np.nan, np.float32)}, "expected numbers above 0"),
        ({"conv__weights__zero_point": np.full(6, 1000, np.int32)}, "expected codes"),
        ({"conv__bias": np.full(6, 2**31 - 1, np.int32)}, "conv.bias does not fit its operation: expected at most"),
        (
            {"conv__multiplier": np.full(6, 2**40)},
            r"conv.multiplier is int64 \[6\]: expected int64 \[6\] of 0 to 21474",
        ),
        ({"conv__multiplier": np.full(6, 2**30)}, "conv.multiplier and .*conv.right_shift are not the ratio"),
        ({"conv__right_shift": np.full(6, 64)}, "conv.right_shift is"),
        ({"conv__right_shift": np.full(6, -1)}, "conv.right_shift is"),
        ({"sum__right_shift": np.array([31, 30])}, "its shifts differ"),
        ({"conv__weights": np.array([None] * 180)}, "conv.weights"),
    ],
)
def test_invalid_arrays_are_refused(arrays, message, path):
    with pytest.raises(ExportError, match=message) as error:
        load_integer_model(replaced(path, **arrays))
    assert "model." in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100000,
        "{}",
        "[]",
        "null",
        '{"schema": NaN}',
        "\ud800".encode("utf-16", "surrogatepass"),
        b"\xff\xfe",
        '{"schema": "qatviz-integer-model/3", "tensors": [' + "{}," * 9 + "{}]}",
    ],
)
def test_descriptions_with_other_content_are_refused(text, path):
    path.with_suffix(".json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ExportError, match="model.json"):
        load_integer_model(path)


def test_a_zip_bomb_is_not_unpacked(path):
    """Ten megabytes of zeros, compressed to ten kilobytes."""
    with np.load(str(path)) as found:
        arrays = dict(found)
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            more = b"\0" * (10**7 if name == "conv.weights" else 0)
            archive.writestr(name + ".npy", content.getvalue() + more)
    assert path.stat().st_size < 10**5
    with pytest.raises(ExportError, match="conv.weights: has 10,000,.* bytes: expected int8"):
        load_integer_model(path)


def test_no_code_is_run(path, tmp_path):
    """An array that unpickles to a command is not loaded."""

    class Harm:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    with pytest.raises(ExportError, match="conv.bias"):
        load_integer_model(replaced(path, conv__bias=np.array([Harm()] * 6)))
    assert not (tmp_path / "harm").exists()
