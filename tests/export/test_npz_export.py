"""Integer models as arrays and a description are read back unchanged."""

import json
import os
from functools import partial

import numpy as np
import pytest
from export_cases import export_as
from integer_cases import model_of, network_of, simulate_tensors
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything, images_for

from qatviz.errors import ExportError
from qatviz.export.npz.format import arrays_of, description, to_files
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.progress import Progress
from qatviz.network import zoo
from qatviz.network.layers import Dense, Dropout, Softmax

MORE = dict(
    SETTINGS,
    wide=({"num_bits": 16, "per_channel": True}, {"num_bits": 12}),
    power_of_two=({"power_of_two": True}, {"power_of_two": True, "symmetric": True}),
)


def write(model, directory):
    path = directory / "model.npz"
    content, described = to_files(model)
    path.write_bytes(content)
    path.with_suffix(".json").write_bytes(described)
    return path


def check_same(one, other):
    """Compare everything that the simulator and exports use."""
    assert description(one) == description(other)
    assert one.tensors == other.tensors and [op.layer for op in one.ops] == [op.layer for op in other.ops]
    arrays, others = arrays_of(one), arrays_of(other)
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype and array.shape == others[name].shape
        np.testing.assert_array_equal(array, others[name])


@pytest.mark.parametrize("setting", sorted(MORE))
def test_a_model_is_read_back_unchanged(setting, tmp_path):
    model = model_of(everything(), *MORE[setting])
    found = load_integer_model(write(model, tmp_path))
    check_same(model, found)
    images = images_for(model, 8)
    expected = simulate_tensors(model, images)
    for name, codes in simulate_tensors(found, images).items():
        np.testing.assert_array_equal(codes, expected[name])
    assert not any(array.flags.writeable for array in arrays_of(found).values())


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_networks_of_the_zoo_are_read_back_unchanged(name, tmp_path):
    model = model_of(zoo.build(name, (28, 28, 1), 10), *SETTINGS["int8"])
    check_same(model, load_integer_model(write(model, tmp_path)))


@pytest.mark.parametrize("seed", range(6))
def test_chains_of_all_shapes_are_read_back_unchanged(seed, tmp_path):
    model = model_of(random_chain(seed), *MORE[sorted(MORE)[seed]], seed=seed)
    check_same(model, load_integer_model(write(model, tmp_path)))


@pytest.mark.parametrize(
    "ranges",
    [
        {"hidden.activations": (0.0, 0.0)},
        {"hidden.activations": (0.0, 1e-12)},
        {"hidden.activations": (0.0, 1e9)},
        {"input.activations": (0.0, 1e-9)},
    ],
)
def test_multipliers_that_vanish_or_saturate_are_read_back_unchanged(ranges, tmp_path):
    net = network_of(
        (4,),
        (Dense, "hidden", {"units": 3, "use_bias": False}),
        (Dropout, "dropout", {}),
        (Dense, "logits", {"units": 2, "use_bias": False}),
        (Softmax, "softmax", {}),
    )
    model = model_of(net, ranges=ranges)
    found = load_integer_model(write(model, tmp_path))
    check_same(model, found)
    assert found.softmax == "softmax" and found.aliases == {"dropout": "hidden"}


def test_arrays_can_be_read_without_qatviz(tmp_path):
    """NumPy reads them without pickles, with the types and shapes of the description."""
    model = model_of(everything(), *SETTINGS["int4"])
    path = write(model, tmp_path)
    with np.load(str(path), allow_pickle=False) as arrays:
        manifest = json.loads(path.with_suffix(".json").read_text())["arrays"]
        assert set(arrays) == set(manifest)
        for name, entry in manifest.items():
            assert arrays[name].dtype.name == entry["dtype"] and list(arrays[name].shape) == entry["shape"]
        np.testing.assert_array_equal(arrays["conv.weights"], model.op("conv").weights.codes)


# The export


export = partial(export_as, "npz")


def test_an_export_is_both_files_and_the_proof_that_they_compute_the_same(tmp_path, dataset):
    told = []
    written = export(
        tmp_path / "net.v1.npz",
        dataset,
        metadata={"step": 3},
        progress=Progress(lambda what, share: told.append(share)),
    )
    names = [
        "net.v1.json",
        "net.v1.npz",
        "net.v1.npz.README.md",
        "net.v1.npz.check.py",
        "net.v1.npz.golden.npz",
        "net.v1.npz.parity.json",
        "net.v1.npz.parity.txt",
    ]
    assert sorted(os.listdir(str(tmp_path))) == names
    assert written.paths[0].name == "net.v1.npz" and sorted(path.name for path in written.paths) == names
    assert told == sorted(told) and len(told) > 5
    report = written.report
    assert report.outputs["file to simulator"] == (1.0, 0, 1.0) and report.as_expected and not report.faults
    assert report.nbytes["file"] == sum((tmp_path / name).stat().st_size for name in names[:2])
    found = load_integer_model(tmp_path / "net.v1.npz")
    assert found.metadata == {"step": 3}
    with np.load(str(tmp_path / "net.v1.npz.golden.npz")) as golden:
        np.testing.assert_array_equal(
            simulate_tensors(found, golden["images"], ["logits"])["logits"], golden["file_output"]
        )


def test_a_refused_export_writes_nothing(tmp_path, dataset):
    with pytest.raises(ExportError, match="left in float"):
        export(tmp_path / "net.npz", dataset, {"enabled": False})
    with pytest.raises(ExportError, match="expected a name that ends in .npz"):
        export(tmp_path / "net.json", dataset)
    assert os.listdir(str(tmp_path)) == []
