"""Scaling of examples: what is inferred, what can be stated, and labels given as strings."""

import re
from pathlib import Path

import numpy as np
import pytest
from tensorflow_needed import needs_tensorflow

from qatviz.cli import main
from qatviz.data import Dataset, data_notes, describe, from_arrays, load
from qatviz.errors import DataError, QatvizError, SettingError
from qatviz.presentation.previews import data_info
from qatviz.scaling import SCALINGS

N = 30
Y = np.arange(N) % 3
#: Images with values from 0 to 255.
SHADES = np.random.RandomState(0).randint(1, 255, (N, 4, 4)).astype(np.uint8)
SHADES[0] = np.arange(0, 256, 17).reshape(4, 4)


def build(x=SHADES, y=Y, **more):
    return from_arrays("name", "source", (x, y), (x, y), **more)


def fed(dataset):
    """Return the training examples as the graph feeds them to the network."""
    return dataset.x_train.astype(np.float32) * np.float32(dataset.pixel_scale)


def notes(dataset):
    return " | ".join(note.text for note in data_notes(dataset))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(N, 4, 4, 1), (N, 16)])
@pytest.mark.parametrize("scaling", list(SCALINGS))
def test_a_stated_scaling_holds_for_every_type_and_shape(dtype, shape, scaling):
    dataset = build(SHADES.astype(dtype).reshape(shape)).with_scaling(scaling)
    x = SHADES.reshape(shape).astype(np.float64)
    expected = {"none": x, "unit": x / 255, "signed": x / 127.5 - 1}[scaling]
    np.testing.assert_allclose(fed(dataset), expected, rtol=1e-6, atol=1e-7)
    assert dataset.scaling == scaling == describe(dataset)["scaling"]
    assert dataset.x_test.dtype == dataset.x_train.dtype == (np.uint8 if scaling == "unit" else np.float32)
    assert "scal" not in notes(dataset), "a stated scaling needs no note"


def test_fractions_of_pixels_are_scaled_too():
    halves = (SHADES / 2).astype(np.float32)
    dataset = build(halves).with_scaling("unit")
    np.testing.assert_allclose(fed(dataset)[..., 0], halves / 255, rtol=1e-6)
    assert dataset.x_train.dtype == np.float32


@pytest.mark.parametrize("wrong", [SHADES.astype(np.int32) - 1, SHADES.astype(np.float32) * 2])
@pytest.mark.parametrize("scaling", ["unit", "signed"])
def test_values_that_are_no_pixels_are_not_scaled(wrong, scaling):
    low, high = map(re.escape, (f"{wrong.min():g}", f"{wrong.max():g}"))
    with pytest.raises(DataError, match=f"found values from {low} to {high}; expected pixels from 0 to 255") as error:
        build(wrong).with_scaling(scaling)
    assert error.value.field == "scaling"


def test_examples_are_not_scaled_twice():
    dataset = build().with_scaling("signed")
    assert dataset.with_scaling("signed").x_train.tobytes() == dataset.x_train.tobytes()
    for other in ("none", "unit"):
        with pytest.raises(
            DataError, match=f"scaling is '{other}', but .* already scaled to -1 to 1: expected 'signed'"
        ):
            dataset.with_scaling(other)
    assert build().with_scaling("unit").with_scaling("signed").scaling == "signed", "the graph scales uint8"


@pytest.mark.parametrize("scaling", ["half", "", 1, None])
def test_unknown_scalings_are_refused(scaling):
    with pytest.raises(SettingError, match="expected one of none, unit, signed"):
        build().with_scaling(scaling)


def test_a_data_set_of_final_arrays_has_the_scaling_of_its_type():
    parts = {"y_train": Y.astype(np.int32), "y_test": Y.astype(np.int32), "class_names": ("a", "b", "c"), "source": "s"}
    for x, scaling in ((SHADES[..., np.newaxis], "unit"), (SHADES.astype(np.float32)[..., np.newaxis], "none")):
        assert Dataset(name="n", x_train=x, x_test=x, **parts).scaling == scaling


@pytest.mark.parametrize(
    "x, scaling, said, unsaid",
    [
        (SHADES, "unit", "pixels, scaled by 1/255 (uint8 images); if the network expects other", "features"),
        (SHADES.astype(np.int64), "none", "not scaled (int64 values from 0 to 255); if they are pixels", "1/255"),
        (SHADES.reshape(N, 16), "none", "features, not scaled (uint8 rows from 0 to 255); if they are pixels", "1/255"),
        # No pixels: too large, negative, or only 0 and 1.
        (SHADES.astype(np.int64) * 4, "none", "features, not scaled (int64 values from 0 to 1020)", "pixels"),
        (SHADES.astype(np.int64) - 9, "none", "features, not scaled (int64 values from -9 to 246)", "pixels"),
        (SHADES % 2, "none", "features, not scaled (uint8 values from 0 to 1)", "pixels"),
        (SHADES.astype(np.float32), "none", "reach 255 and are not scaled: if they are pixels, set", "features"),
        # A few numbers per row are no image.
        (np.random.RandomState(0).rand(N, 6) * 30, "none", "", "scal"),
        (SHADES / 255, "none", "", "scal"),
    ],
)  # fmt: skip
def test_an_inferred_scaling_is_named_with_the_option_where_it_may_be_wrong(x, scaling, said, unsaid):
    dataset = build(x)
    assert dataset.scaling == scaling
    assert said in notes(dataset) and unsaid not in notes(dataset)


def test_pixels_of_a_stated_scaling_that_reach_only_1_are_a_likely_mistake():
    assert "values reach only 1 of 255" in notes(build(SHADES % 2).with_scaling("unit"))
    assert "values reach only 1 of 255" in notes(build(SHADES / np.float32(255)).with_scaling("unit"))
    assert "reach only" not in notes(build().with_scaling("unit"))


@pytest.mark.parametrize(
    "scaling, text",
    [
        (None, "uint8 from 0 to 255, fed as x / 255"),
        ("none", "float32 from 0 to 255, fed as they are"),
        ("signed", "pixels, fed as x / 127.5 - 1: from -1 to 1"),
    ],
)
def test_the_preview_says_how_examples_are_fed(scaling, text):
    info = data_info(build() if scaling is None else build().with_scaling(scaling))
    assert info.values == text


def test_any_data_set_can_be_scaled_by_name_or_path(tmp_path):
    digits = load("mnist-5k")
    signed = load("mnist-5k", scaling="signed")
    np.testing.assert_array_equal(signed.x_train, digits.x_train / np.float32(127.5) - np.float32(1))
    np.savez(str(tmp_path / "a.npz"), x=SHADES, y=Y)
    assert load(str(tmp_path / "a.npz"), scaling="none").x_train.dtype == np.float32


def test_an_archive_may_state_its_scaling(tmp_path):
    path = str(tmp_path / "a.npz")
    for x, scaling, value in ((SHADES.reshape(N, 16), "unit", 1 / 255), (SHADES / np.float32(255), "unit", 1 / 255)):
        np.savez(path, x_train=x, y_train=Y, x_test=x, y_test=Y, scaling=np.array(scaling))
        dataset = load(path)
        assert dataset.scaling == "unit" and "scal" not in notes(dataset)
        np.testing.assert_allclose(fed(dataset).ravel(), SHADES.ravel() * value, rtol=1e-6)
        assert load(path, scaling="unit").x_train.tobytes() == dataset.x_train.tobytes()
    for wrong in (np.array("half"), np.array([1, 2])):
        np.savez(path, x=SHADES, y=Y, scaling=wrong)
        with pytest.raises(DataError, match="a.npz: scaling"):
            load(path)


# Labels


@pytest.mark.parametrize("as_type", [np.str_, object])
def test_strings_are_classes_in_alphabetical_order(as_type):
    names = np.array(["eel", "cat", "dog"]).astype(as_type)
    dataset = build(y=names[Y])
    assert dataset.class_names == ("cat", "dog", "eel")
    np.testing.assert_array_equal(dataset.y_train, np.array([2, 0, 1])[Y])
    assert "the labels are strings, so that they are 3 classes, in alphabetical order" in notes(dataset)
    dataset = build(y=names[Y], class_names=["dog", "eel", "cat", "fox"])
    np.testing.assert_array_equal(dataset.y_train, np.array([1, 2, 0])[Y])


def test_strings_of_whole_numbers_are_their_numbers():
    dataset = build(y=np.array(["0", "2", "10"])[Y])
    np.testing.assert_array_equal(dataset.y_train, np.array([0, 2, 10])[Y])
    assert dataset.num_classes == 11 and "the labels are whole numbers" in notes(dataset)
    assert build(y=np.array(["00000000001", "2", "3"])[Y]).num_classes == 3, "identifiers are names"


def test_strings_must_be_known_and_classes():
    names = np.array(["cat", "dog"])[np.arange(N) % 2]
    with pytest.raises(DataError, match=r"source: y_test: found label 'fox'; expected one of 'cat', 'dog'"):
        from_arrays("name", "source", (SHADES, names), (SHADES[:1], np.array(["fox"])))
    with pytest.raises(DataError, match=r"y_test: found dtype int64; expected strings as in source: y_train"):
        from_arrays("name", "source", (SHADES, names), (SHADES, Y))
    with pytest.raises(DataError, match="expected numbers"):
        build(y=names, task="regression")


def test_labels_of_another_type_are_refused_with_all_allowed_ones():
    with pytest.raises(DataError, match=r"found dtype .S1; expected class indices or one-hot rows.*, or strings"):
        build(y=np.array([b"a", b"b", b"c"])[Y])


COLORS = np.random.RandomState(1).randint(0, 200, (N, 4, 4, 3)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_standard_scaling_is_that_of_the_training_examples(dtype):
    x = COLORS.astype(dtype)
    x[..., 1] = 7
    dataset = build(x).with_scaling("standard")
    stored = build(x).x_train.astype(np.float64)
    deviations = stored.std(axis=(0, 1, 2))
    expected = (stored - stored.mean(axis=(0, 1, 2))) / np.where(deviations, deviations, 1)
    np.testing.assert_allclose(dataset.x_train, expected, atol=2e-5)
    assert dataset.x_train.dtype == np.float32
    again = build(x).with_scaling(dataset.scaling)
    assert again.fingerprint == dataset.fingerprint, "the numbers are the recorded scaling"
    assert dataset.with_scaling("standard").scaling == dataset.scaling


def test_scaling_with_numbers_follows_torchs_formula():
    """torchvision's transforms.Normalize: (x - mean[c]) / std[c], each operation in float32."""
    mean, std = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
    dataset = build(COLORS).with_scaling("123.675,116.28,103.53/58.395,57.12,57.375")
    np.testing.assert_array_equal(dataset.x_train, (build(COLORS).x_train.astype(np.float32) - mean) / std)
    assert describe(dataset)["scaling"] == "123.675,116.28,103.53/58.395,57.12,57.375"
    one = build(COLORS).with_scaling("127.5/127.5")
    np.testing.assert_allclose(one.x_train, build(COLORS).with_scaling("signed").x_train, atol=1e-6)


@pytest.mark.parametrize(
    "scaling, said",
    [
        ("1/0", "has the number 0"),
        ("1/-2", "has the number -2"),
        ("1,2/3", "2 means and 1 deviations"),
        ("1e40/1", "has the number 1e\\+40"),
        ("1,,2/1,1,1", "MEAN/DEVIATION"),
        ("nan/1", "expected one of none, unit, signed, standard or MEAN/DEVIATION"),
        ("1,2/1,2", "numbers for 2 channels, but examples have 3"),
    ],
)
def test_other_numbers_are_refused_with_what_is_allowed(scaling, said):
    with pytest.raises(QatvizError, match=said) as error:
        build(COLORS).with_scaling(scaling)
    assert error.value.field == "scaling"


@needs_tensorflow
def test_a_run_records_the_numbers_and_is_resumed_and_exported_with_them(tmp_path, capsys):
    np.savez(str(tmp_path / "d.npz"), x=COLORS, y=Y)
    run, out = str(tmp_path / "run"), str(tmp_path / "a.tflite")
    command = ["train", "--network", "mlp", "--data", str(tmp_path / "d.npz"), "--out", run, "--scaling", "standard"]
    assert main([*command, "--steps", "3", "--batch-size", "8", "--quiet"]) == 0
    assert main(["train", "--resume", run, "--steps", "5", "--quiet"]) == 0
    assert main(["export", run, "--format", "tflite", "--out", out]) == 0
    means, deviations = load(str(tmp_path / "d.npz"), scaling="standard").scaling.split("/")
    text = Path(out + ".README.md").read_text(encoding="utf-8")
    for number in f"{means},{deviations}".split(","):
        assert str(np.float32(number)) in text
    with np.load(out + ".golden.npz") as golden:
        assert golden["images"].min() < -1
