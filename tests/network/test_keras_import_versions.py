"""Import of files that all versions of Keras wrote, with the outputs that these versions predict as the oracle."""

import os
import re
import zipfile

import numpy as np
import pytest
from keras_import_cases import plain_output

from qatviz.errors import NetworkError
from qatviz.network.keras_import import load_model_file

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keras_files")
TOLERANCE = 1e-5
"""Relative to the largest absolute output of Keras."""


def stored_models():
    """Return (label, name of the model, path of its file, path of its weights or None) of all files."""
    found = []
    for archive_name in sorted(os.listdir(FILES)):
        label, ending = os.path.splitext(archive_name)
        if ending != ".zip":
            continue
        with zipfile.ZipFile(os.path.join(FILES, archive_name)) as archive:
            names = archive.namelist()
        tops = sorted({name.split("/")[0] for name in names})
        for model in (name[: -len(".npz")] for name in names if name.endswith(".npz")):
            own = [name for name in tops if name.startswith((model + ".", model + "-")) and name != model + ".npz"]
            weights = [name for name in own if re.match(r"-weights|\.weights", name[len(model) :])]
            for name in own:
                if name.endswith(".json"):
                    found += [(label, model, name, path) for path in weights if ".data-" not in path]
                elif name not in weights:
                    found.append((label, model, name, None))
    return found


def some_slow(models):
    """Return all files as parameters; those but the first of each version are slow, together."""
    seen = set()
    for values in models:
        yield pytest.param(*values, marks=[pytest.mark.slow] * (values[0] in seen))
        seen.add(values[0])


@pytest.mark.parametrize("label, model, path, weights", some_slow(stored_models()))
def test_a_file_computes_what_its_keras_predicts(unpacked, label, model, path, weights):
    folder = unpacked(label)
    imported = load_model_file(folder / path, weights and folder / weights)
    assert imported.parameters
    with np.load(str(folder / (model + ".npz"))) as arrays:
        inputs, expected = arrays["x"], arrays["y"]
    assert np.ptp(expected) > 0.01, "the expected outputs are constant"
    found = plain_output(imported, inputs)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_an_unpacked_archive_is_a_model(unpacked, tmp_path):
    """Keras writes such a folder with ``zipped=False``."""
    path = unpacked("keras-3.15") / "graph.keras"
    with zipfile.ZipFile(str(path)) as archive:
        archive.extractall(str(tmp_path / "graph"))
    found, expected = load_model_file(tmp_path / "graph"), load_model_file(path)
    assert found.network == expected.network
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)


def test_trees_from_windows(unpacked, tmp_path):
    """TensorFlow 2.13 wrote paths with the separator of the system, so that a path became the name of one group."""
    import h5py

    folder = unpacked("keras-3.15")
    path = tmp_path / "windows.weights.h5"
    with h5py.File(str(folder / "graph.weights.h5"), "r") as source, h5py.File(str(path), "w") as copy:

        def visit(name, node):
            if name.endswith("/vars"):
                source.copy(node, copy.create_group(name[: -len("/vars")].replace("/", "\\")), "vars")

        source.visititems(visit)
        assert any("\\" in name for name in copy)
    found = load_model_file(folder / "graph.json", path)
    expected = load_model_file(folder / "graph.keras")
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)


def test_frozen_layers_and_nested_models_keep_their_arrays(unpacked):
    """The oracle is Keras' own list: the arrays of each layer of the file differ."""
    imported = load_model_file(unpacked("keras-3.15") / "graph.keras")
    values = [value.tobytes() for value in imported.parameters.values() if value.size > 1 and value.any()]
    assert len(values) == len(set(values))


@pytest.mark.parametrize("path", ["pruned.h5", "quantized.h5"])
def test_wrappers_of_tfmot_are_removed(unpacked, path):
    """Layers keep the names that they have in the wrappers; the description that an export uses has none, either."""
    imported = load_model_file(unpacked("tensorflow-2.12") / path)
    assert [layer.kind for layer in imported.network.layers][:3] == ["Conv2D", "BatchNorm", "ReLU6"]
    assert imported.network.layers[0].name.startswith("conv2d") and "tfmot" in imported.notes[0]
    assert not any(word in imported.origin.config for word in ("Wrapper", "Prune", "prune_", "quant_", "Quantize"))
    assert not imported.origin.has_code
    zeros = np.mean(imported.parameters[imported.network.layers[0].name + ".weights"] == 0)
    assert (0.2 < zeros < 0.6) == (path == "pruned.h5")


def test_wrappers_with_weights_by_class_are_refused(unpacked):
    folder = unpacked("tensorflow-2.12")
    with pytest.raises(NetworkError, match="tfmot's wrappers; nearest: the same model saved as .h5"):
        load_model_file(folder / "pruned.json", unpacked("keras-3.15") / "sequence.weights.h5")


def rewritten(path, target, change):
    """Copy an archive with changed members: `change` returns the content for name and content, or None to drop it."""
    with zipfile.ZipFile(str(path)) as source, zipfile.ZipFile(str(target), "w") as copy:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                copy.writestr(name, content)
    return target


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda name, content: None if name == "model.weights.h5" else content, "no weights found"),
        (lambda name, content: None if name == "config.json" else content, "without config.json"),
        (lambda name, content: content[:-3] if name == "config.json" else content, "cannot be read.*JSON"),
        (lambda name, content: content[:2000] if name == "model.weights.h5" else content, "cannot be read"),
        (lambda name, content: b"GIF89a" if name == "model.weights.h5" else content, "cannot be read"),
        (
            lambda name, content: content.replace(b'"class_name": "Dropout"', b'"class_name": "Lambda"'),
            "Lambda.*Python code.*nearest",
        ),
        (
            lambda name, content: content.replace(b'"class_name": "Dropout"', b'"class_name": "CuDNNGRU"'),
            "'dropout' .CuDNNGRU.: it is recurrent",
        ),
        (
            lambda name, content: content.replace(b'"filters": 4', b'"filters": 5'),
            r"'first'.*weights has shape \(3, 3, 3, 4\); expected: \(3, 3, 3, 5\)",
        ),
        (
            lambda name, content: (
                content.replace(b"\x00kernel", b"\x00sernel").replace(b"depthwise_conv2d", b"depthwise_conv3d")
                if name == "model.weights.h5"
                else content
            ),
            "weights of 0 layers of the class DepthwiseConv2D are stored; expected: 1",
        ),
    ],
    ids=["no weights", "no config", "cut config", "cut weights", "no HDF5", "code", "type", "shape", "class"],
)
def test_archives_that_are_refused(unpacked, tmp_path, change, said):
    path = rewritten(unpacked("keras-3.15") / "sequence.keras", tmp_path / "changed.keras", change)
    with pytest.raises(NetworkError, match=said) as caught:
        load_model_file(path)
    assert repr(str(path)) in str(caught.value)


def test_archives_that_would_fill_the_disk(unpacked, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(str(unpacked("keras-3.15") / "sequence.keras")) as source:
        config = source.read("config.json")
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("../model.weights.h5", b"outside")
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(10**7))
    with pytest.raises(NetworkError, match="10,000,008 bytes, more than weights compress to"):
        load_model_file(path)
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (64 * 10**6 + 1))
    with pytest.raises(NetworkError, match="64,000,001 bytes; allowed: at most 64,000,000"):
        load_model_file(path)
    assert not (tmp_path.parent / "model.weights.h5").exists()


def test_links_in_weights_are_refused(unpacked, tmp_path):
    """Neither other files are read nor a group twice."""
    import h5py

    folder = unpacked("keras-3.15")
    for number, link in enumerate(
        (h5py.SoftLink("/layers/conv2d"), h5py.ExternalLink(str(folder / "sequence.weights.h5"), "layers/conv2d"), None)
    ):
        path = tmp_path / f"{number}.weights.h5"
        path.write_bytes((folder / "sequence.weights.h5").read_bytes())
        with h5py.File(str(path), "r+") as file:
            file["layers"]["conv2d_1"] = file["layers"] if link is None else link
        with pytest.raises(NetworkError, match="is a link|in the file twice"):
            load_model_file(folder / "sequence.json", path)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(50), "TensorFlow Lite model, .*supported: the Keras model"),
        ("disguised.h5", b"\x1c\x00\x00\x00TFL3" + bytes(50), "TensorFlow Lite model"),
        ("frozen.pb", b"\n\x0fserving_default", "frozen TensorFlow graph.*supported: the Keras model"),
        ("net.onnx", b"\x08\x07\x12\x07pytorch", "ONNX model.*supported: the Keras model"),
        ("net.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch model or a pickle.*run code"),
        ("model.keras", b"\x80\x04\x95\x00", "pickle"),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkError, match=said):
        load_model_file(tmp_path / name)


def test_a_pytorch_archive_is_named(tmp_path):
    with zipfile.ZipFile(str(tmp_path / "net.pt"), "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(NetworkError, match="PyTorch model; supported: the same network in Keras"):
        load_model_file(tmp_path / "net.pt")
