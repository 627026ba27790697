"""Encodings in AIMET's form: format, grids read back, and refusals."""

import json
import os

import numpy as np
import pytest
from export_cases import INT8, NETWORK, STATE, proof_record
from file_damage import damaged_copies
from integer_cases import book_of, network_of, state_of
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.encodings.format import ALL_ZERO_SCALE, read_json, to_json
from qatviz.export.encodings.limits import BITS, DICTIONARIES, LISTS, ONNX_LIKE, VERSIONS
from qatviz.export.encodings.report import TensorAgreement
from qatviz.export.encodings.tensors import ACTIVATIONS, BIAS, WEIGHTS, EncodedTensor, encoded_tensors
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.formats import FORMATS
from qatviz.export.progress import Progress
from qatviz.export.proof.parity import Agreement
from qatviz.export.source import ExportSource
from qatviz.network import zoo
from qatviz.network.layers import Dense, ReLU
from qatviz.quant.affine import AffineGrid, choose_grid, quantize

FORMAT = FORMATS["encodings"]


def tensors_of(network, weights=None, activations=None, seed=0, **parameters):
    """Return the tensors of a network with random parameters."""
    book = book_of(network, weights, activations)
    return encoded_tensors(PartlyQuantizedState(network, book, state_of(network, seed=seed, **parameters)))


def same(one, other):
    return (one is None and other is None) or (
        one is not None
        and other is not None
        and one.num_bits == other.num_bits
        and one.scale.dtype == other.scale.dtype == np.float32
        and np.array_equal(one.scale, other.scale)
        and one.zero_point.dtype == other.zero_point.dtype == np.int32
        and np.array_equal(one.zero_point, other.zero_point)
    )


# The forms

TENSORS = [
    EncodedTensor("input", ACTIVATIONS, choose_grid(-1.0, 3.0, 8)),
    EncodedTensor("conv.weights", WEIGHTS, choose_grid(np.float32([-1, -2]), np.float32([1, 0.5]), 4, True), True, 0),
    EncodedTensor("conv.bias", BIAS, AffineGrid(np.float32([0.5, 0.25]), np.int32([0, 0]), 32, False), True, 0),
    EncodedTensor("conv", ACTIVATIONS, None),
]
WEIGHT_SCALE = float(TENSORS[1].grid.scale[0])  # 1/7


def test_version_1_0_0_follows_the_specification():
    record = json.loads(to_json(TENSORS, LISTS).decode())
    scale = float(np.float32(4) / np.float32(255))
    assert record["version"] == "1.0.0" and record["producer"]["name"] == "qatviz"
    assert record["activation_encodings"] == [
        {
            "name": "input",
            "dtype": "INT",
            "bw": 8,
            "enc_type": "PER_TENSOR",
            "is_sym": False,
            "scale": [scale],
            "offset": [-64],
        }
    ]
    weights, bias = record["param_encodings"]
    assert weights == {
        "name": "conv.weights",
        "dtype": "INT",
        "bw": 4,
        "enc_type": "PER_CHANNEL",
        "is_sym": True,
        "scale": [WEIGHT_SCALE, 0.25],
        "offset": [-8, -8],
    }
    assert bias == {
        "name": "conv.bias",
        "dtype": "INT",
        "bw": 32,
        "enc_type": "PER_CHANNEL",
        "is_sym": True,
        "scale": [0.5, 0.25],
        "offset": [-(2**31), -(2**31)],
    }
    assert record["excluded_layers"] == [] and record["quantizer_args"] == {
        "activation_bitwidth": 8,
        "param_bitwidth": 4,
        "dtype": "int",
        "is_symmetric": True,
        "per_channel_quantization": True,
        "quant_scheme": "post_training_tf",
    }


def test_version_2_0_0_follows_the_specification():
    record = json.loads(to_json(TENSORS, ONNX_LIKE).decode())
    scale = float(np.float32(4) / np.float32(255))
    assert set(record) == {"version", "encodings", "producer"} and record["version"] == "2.0.0"
    assert record["encodings"] == [
        {"name": "input", "output_dtype": "uint8", "y_scale": scale, "y_zero_point": 64},
        {"name": "conv.weights", "output_dtype": "int4", "y_scale": [WEIGHT_SCALE, 0.25], "axis": 0},
        {"name": "conv.bias", "output_dtype": "int32", "y_scale": [0.5, 0.25], "axis": 0},
    ]


def test_version_0_6_1_follows_the_specification():
    record = json.loads(to_json(TENSORS, DICTIONARIES).decode())
    scale = float(np.float32(4) / np.float32(255))
    assert record["version"] == "0.6.1" and record["quantizer_args"]["is_symmetric"] == "True"
    assert record["activation_encodings"] == {
        "input": [
            {
                "bitwidth": 8,
                "dtype": "int",
                "is_symmetric": "False",
                "min": scale * -64,
                "max": scale * 191,
                "offset": -64,
                "scale": scale,
            }
        ]
    }
    _first, second = record["param_encodings"]["conv.weights"]
    assert second == {
        "bitwidth": 4,
        "dtype": "int",
        "is_symmetric": "True",
        "min": -2.0,
        "max": 1.75,
        "offset": -8,
        "scale": 0.25,
    }


def test_a_narrow_range_is_written_with_its_own_minimum_and_maximum():
    """Like AIMET's strictly symmetric encodings: 254 quantization steps, offset -127."""
    tensor = EncodedTensor("w", WEIGHTS, choose_grid(-1.27, 1.27, 8, True, True), True)
    (entry,) = json.loads(to_json([tensor], DICTIONARIES).decode())["param_encodings"]["w"]
    assert entry["offset"] == -127 and entry["min"] == -entry["max"] == entry["scale"] * -127
    assert read_json(to_json([tensor], DICTIONARIES), "f")["w"].narrow_range
    assert not read_json(to_json([tensor], LISTS), "f")["w"].narrow_range


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_grids_are_read_back_unchanged(setting, version):
    weights, activations = (dict(part, narrow_range=False) for part in SETTINGS[setting])
    if not all(part.get("num_bits", 8) in BITS[version] for part in (weights, activations)):
        weights["num_bits"], activations["num_bits"] = 4, 16
    tensors, notes = tensors_of(everything(), weights, activations)
    found = read_json(to_json(tensors, version), "file")
    assert set(found) == {tensor.name for tensor in tensors} and len(tensors) == 47 and not notes
    for tensor in tensors:
        assert same(found[tensor.name], tensor.grid) and tensor.grid is not None, tensor


@pytest.mark.parametrize("version", VERSIONS)
def test_float_tensors_and_all_zero_tensors_are_read_back(version):
    net = network_of((3,), (Dense, "hidden", {"units": 2}), (ReLU, "relu", {}), (Dense, "logits", {"units": 2}))
    book, _ = book_of(net).change([("hidden.weights.enabled", False), ("logits.activations.enabled", False)])
    arrays = state_of(net, {"hidden.activations": (0.0, 0.0)}, logits__weights=np.zeros((2, 2)))
    tensors, _notes = encoded_tensors(PartlyQuantizedState(net, book, arrays))
    content = to_json(tensors, version)
    found = read_json(content, "file")
    assert [tensor.name for tensor in tensors if tensor.grid is None] == ["hidden.weights", "hidden.bias", "logits"]
    assert found["relu"].scale == found["logits.weights"].scale == 0 and str(ALL_ZERO_SCALE) in content.decode()
    np.testing.assert_array_equal(quantize(np.float32([-3, 0, 9]), found["relu"]), found["relu"].zero_point)
    assert not {"hidden.weights", "hidden.bias", "logits"} & set(found)


@pytest.mark.parametrize(
    "version, entry",
    [
        (LISTS, {"name": "conv", "dtype": "FLOAT", "bw": 32, "enc_type": "PER_TENSOR"}),
        (DICTIONARIES, [{"bitwidth": 32, "dtype": "float"}]),
    ],
)
def test_entries_of_float_tensors_in_older_files_are_read(version, entry):
    record = json.loads(to_json(TENSORS, version).decode())
    part = record["activation_encodings"]
    part.update(conv=entry) if version == DICTIONARIES else part.append(entry)
    assert read_json(json.dumps(record).encode(), "file")["conv"] is None


def test_a_bias_beyond_32_bits_is_left_in_float():
    net = network_of((3,), (Dense, "logits", {"units": 2}))
    tensors, notes = tensors_of(net, logits__weights=np.full((3, 2), 1e-12), logits__bias=[5.0, 1.0])
    assert {tensor.name: tensor.grid is None for tensor in tensors}["logits.bias"]
    assert notes == [
        "layer 'logits': its bias is left in float: on the grid of input scale times weight scale it "
        "needs more than 32 bits"
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_damaged_files_are_refused(version):
    tensors, _ = tensors_of(NETWORK, INT8)
    content = to_json(tensors, version)
    refused = 0
    for mutated in damaged_copies(content, 0):
        try:
            read_json(mutated, "a file")
        except ExportError as error:
            assert "a file" in str(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "version, change, message",
    [
        (LISTS, lambda r: r.update(version="3.0.0"), "version is '3.0.0': expected 1.0.0, 2.0.0, 0.6.1"),
        (LISTS, lambda r: r.pop("param_encodings"), "param_encodings is missing"),
        (LISTS, lambda r: r["param_encodings"].append(r["param_encodings"][0]), "has 'conv.weights' twice"),
        (LISTS, lambda r: r["param_encodings"][0].update(bw=64), "'conv.weights': bw is 64"),
        (LISTS, lambda r: r["param_encodings"][0].update(offset=[-8]), "has 2 scales and 1 zero points"),
        (LISTS, lambda r: r["param_encodings"][0].update(enc_type="LPBQ"), "enc_type is 'LPBQ'"),
        (LISTS, lambda r: r["param_encodings"][0].update(enc_type="PER_TENSOR"), "one per tensor if not per channel"),
        (LISTS, lambda r: r["param_encodings"][0].update(offset=[-8, 9]), "has a zero point beyond its codes"),
        (LISTS, lambda r: r["param_encodings"][0].update(scale=[1, "1"]), "scale is '1': expected a float32 above 0"),
        (LISTS, lambda r: r["param_encodings"][0].update(scale=[1, 0.1]), "scale is 0.1: expected a float32"),
        (ONNX_LIKE, lambda r: r["encodings"][0].update(output_dtype="int5"), "output_dtype is 'int5'"),
        (ONNX_LIKE, lambda r: r["encodings"][1].pop("axis"), "axis is missing"),
        (ONNX_LIKE, lambda r: r["encodings"][0].update(y_zero_point=256), "zero point beyond its codes: expected -128"),
        (DICTIONARIES, lambda r: r["param_encodings"].update(x=[]), "'x': has no encoding"),
        (
            DICTIONARIES,
            lambda r: r["activation_encodings"]["input"][0].update(max=1.0),
            "max is 1.0: expected 255 quantization steps",
        ),
        (
            DICTIONARIES,
            lambda r: r["activation_encodings"]["input"][0].update(min=1.0),
            "min is 1.0: expected scale times",
        ),
        (
            DICTIONARIES,
            lambda r: r["param_encodings"]["conv.weights"][1].update(bitwidth=5),
            "channels of different bits",
        ),
    ],
)
def test_invalid_files_are_refused(version, change, message):
    record = json.loads(to_json(TENSORS, version).decode())
    change(record)
    with pytest.raises(ExportError, match=message):
        read_json(json.dumps(record).encode(), "file")


# The export


def export(path, data, network=NETWORK, state=None, book=None, progress=Progress(), **options):
    source = ExportSource(
        network, book or book_of(network, INT8), STATE if state is None else state, data, metadata={"step": 3}
    )
    return FORMAT.export(source, path, options, progress)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_export_is_a_file_with_a_proof_of_its_grids(version, tmp_path, dataset):
    told = []
    written = export(
        tmp_path / "net.encodings",
        dataset,
        encodings_version=version,
        progress=Progress(lambda what, share: told.append(share)),
    )
    assert sorted(os.listdir(str(tmp_path))) == [
        "net.encodings",
        "net.encodings.README.md",
        "net.encodings.parity.json",
        "net.encodings.parity.txt",
        "net_torch.encodings",
    ]
    report = written.report
    found = {tensor.name: tensor for tensor in report.tensors}
    assert report.examples == 15 and not report.faults and report.as_expected and told == sorted(told)
    assert [tensor.name for tensor in report.tensors if tensor.found is None] == ["pool"]
    assert all(tensor.found == (1.0, 0, None) for tensor in report.tensors if tensor.found is not None)
    assert found["conv.weights"] == ("conv.weights", WEIGHTS, 8, 8, 72, (1.0, 0, None))
    assert found["relu"].codes == 15 * 8 * 8 * 8 and found["logits.bias"].num_bits == 32
    assert proof_record(tmp_path / "net.encodings.parity.json") == report.to_record()
    assert "100.00 %" in report.to_text() and "batch norm" in report.to_text()
    both = ("net.encodings", "net_torch.encodings")
    assert report.nbytes["file"] == sum((tmp_path / name).stat().st_size for name in both)


@pytest.mark.parametrize(
    "seed, weights, activations",
    [
        (0, {"num_bits": 3, "per_channel": True}, {"num_bits": 5}),
        (1, {"num_bits": 16}, {"num_bits": 12}),
        (2, {"per_channel": True, "power_of_two": True}, {"symmetric": True}),
    ],
)
def test_grids_of_all_kinds_are_proven(seed, weights, activations, tmp_path):
    network = random_chain(seed)
    report = exported_noise(network, tmp_path, book_of(network, weights, activations))
    assert not report.faults and sum(tensor.found is not None for tensor in report.tensors) > 8
    # AIMET's simulation does not compute what TFLite's int16 kernels do.
    assert any("one of 65,536 per layer" in note for note in report.notes) == (activations.get("num_bits", 8) > 8)


def test_grids_of_a_deep_network_with_float_tensors_are_proven(tmp_path):
    network = zoo.build("dscnn", (16, 16, 1), 10)
    book, _ = book_of(network, {"symmetric": True, "per_channel": True}).change([("logits.weights.enabled", False)])
    report = exported_noise(network, tmp_path, book)
    assert not report.faults
    assert [tensor.name for tensor in report.tensors if tensor.num_bits is None] == ["logits.weights", "logits.bias"]


def exported_noise(network, directory, book):
    """Return the report of an export that is proven on noise."""
    random = np.random.RandomState(0)
    images = random.standard_normal((24, *network.input_shape)).astype(np.float32)
    labels = (np.arange(24) % network.num_outputs).astype(np.int32)
    data = from_arrays("noise", "a test", (images, labels), (images, labels))
    return export(directory / "net.encodings", data, network, state_of(network), book).report


def test_a_wrong_grid_is_a_fault(tmp_path, dataset, monkeypatch):
    from qatviz.export.encodings import export as encodings_export

    def shifted(content, where):
        grids = read_json(content, where)
        grids["relu"] = AffineGrid(grids["relu"].scale, grids["relu"].zero_point + 1, 8, False)
        weights = grids["conv.weights"]
        grids["conv.weights"] = AffineGrid(weights.scale * np.float32(1.01), weights.zero_point, 8, False)
        return grids

    monkeypatch.setattr(encodings_export, "read_json", shifted)
    report = export(tmp_path / "net.encodings", dataset).report
    assert [fault.split(":")[0] for fault in report.faults] == ["conv.weights", "relu"]
    assert not report.as_expected and report.to_text().count("WRONG") == 2


@pytest.mark.parametrize(
    "codes, found, is_fault",
    [
        (10**6, Agreement(1 - 1e-5, 1), False),
        (10**6, Agreement(0.999, 1), True),
        (10**6, Agreement(1 - 1e-5, 2), True),
        (10, Agreement(0.9, 1), False),
        (10, Agreement(0.8, 1), True),
    ],
)
def test_a_different_code_at_a_tie_is_not_a_fault(codes, found, is_fault):
    from qatviz.export.encodings.report import EncodingsReport

    report = EncodingsReport({}, 1, (TensorAgreement("a", WEIGHTS, 8, 1, codes, found),), {})
    assert bool(report.faults) == is_fault


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "weights, activations, run",
    [
        ({}, {}, {}),
        ({"num_bits": 3}, {}, {}),
        ({"num_bits": 2}, {"num_bits": 5}, {}),
        ({"narrow_range": True}, {}, {}),
        ({"narrow_range": True, "range_method": "mse"}, {}, {}),
        ({"narrow_range": True}, {}, {"freeze_ranges": True}),
        ({}, {"narrow_range": True}, {}),
        ({"enabled": False}, {"enabled": False}, {}),
    ],
)
def test_unsupported_settings_are_refused_and_all_others_are_read_back(version, weights, activations, run):
    """A grid that is not refused is read back with the same codes for all values of its range."""
    book = book_of(NETWORK, weights, activations, **run)
    told = FORMAT.limits(NETWORK, book, None, {"encodings_version": version})
    bits = [part.get("num_bits", 8) for part in (weights, activations) if part.get("enabled", True)]
    clips = activations.get("narrow_range") or (weights.get("narrow_range") and (run or "range_method" in weights))
    assert bool(told) == (not set(bits) <= set(BITS[version]) or bool(clips and version != DICTIONARIES))
    assert all(refusal.remedies for refusal in told)


def test_refusals_name_remedies():
    limits = {
        version: [
            str(refusal)
            for refusal in FORMAT.limits(
                NETWORK, book_of(NETWORK, {"num_bits": 3}, {"narrow_range": True}), None, {"encodings_version": version}
            )
        ][:2]
        for version in VERSIONS
    }
    assert limits[LISTS][0].startswith("input.activations: excludes the lowest code (narrow_range)")
    assert limits[LISTS][0].endswith(
        "possible with input.activations.narrow_range=off, or with the option encodings_version=0.6.1"
    )
    assert limits[ONNX_LIKE][1] == (
        "conv.weights: 3 bits, which version 2.0.0 of the encodings does not support; possible with "
        "conv.weights.num_bits=4, or with the option encodings_version=1.0.0"
    )
    assert "num_bits=4" in limits[DICTIONARIES][0]


def test_a_refused_export_writes_nothing(tmp_path, dataset):
    with pytest.raises(ExportError, match="9 bits, which version 2.0.0"):
        export(tmp_path / "a", dataset, book=book_of(NETWORK, {"num_bits": 9}), encodings_version=ONNX_LIKE)
    with pytest.raises(ExportError, match="encodings_version is '9'"):
        export(tmp_path / "a", dataset, encodings_version="9")
    assert os.listdir(str(tmp_path)) == []
