"""Sizes of exports before they are written, compared with those of the files."""

import pytest
from export_cases import INT8, NETWORK, STATE, noise
from integer_cases import book_of, network_of, state_of

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.keras import model as keras_model
from qatviz.export.sizes import sizer
from qatviz.export.source import ExportSource
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layers import Conv2D, Dense, GlobalAveragePool, ReLU
from qatviz.presentation.export_sizes import WeightStorage
from qatviz.session.sizes import export_size

pytestmark = pytest.mark.usefixtures("quick_c")

FOUR = {"num_bits": 4, "symmetric": True, "per_channel": True}
VARIANTS = [
    *[(name, {}) for name in sorted(FORMATS)],
    ("tflite", {"softmax": True}),
    ("tflite", {"int4": True, "int4_all": True}),
    ("tflm", {"int4": True}),
    ("c", {"pack_int4": True, "softmax": True}),
    ("onnx", {"opset": "21", "layout": "nchw"}),
    ("onnx", {"exact": True}),
    ("savedmodel", {"form": "float"}),
    ("frozen", {"form": "exact"}),
]
LARGE = network_of(
    (8, 8, 1),
    (Conv2D, "conv", {"filters": 64}),
    (ReLU, "relu", {}),
    (Conv2D, "conv2", {"filters": 64}),
    (GlobalAveragePool, "means", {}),
    (Dense, "logits", {"units": 4}),
)
LARGE_STATE = state_of(LARGE)
#: Files of an export that are not part of its size.
BESIDE = ("parity.json", "parity.txt", "golden.npz", "README.md", "check.py", "about.json")


def source(weights=None, network=NETWORK, state=STATE, **changes):
    return ExportSource(network, book_of(network, weights or INT8), state, noise(), **changes)


def file_bytes(name, written):
    """Return the size of the files of an export on the disk."""
    root = written.paths[0]
    files = [path for path in written.paths if path.is_file() and not path.name.endswith(BESIDE)]
    if name == "tflm":
        (text,) = [path.read_text() for path in files if path.name.endswith("_model.cc")]
        return text.partition("{")[2].partition("}")[0].count(",") + (not text.partition("}")[0].rstrip().endswith(","))
    if name == "c":
        return None
    return (
        sum(path.stat().st_size for path in files)
        if root.is_dir() or name in ("npz", "encodings")
        else root.stat().st_size
    )


@pytest.mark.slow
@pytest.mark.parametrize("name, options", VARIANTS, ids=str)
def test_a_size_is_that_of_the_file(name, options, tmp_path, monkeypatch):
    if name.startswith("onnx"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    for variable in ("ONNXRUNTIME", "LITERT", "TFLM"):
        monkeypatch.setenv(f"QATVIZ_{variable}_PYTHON", "/nowhere/python")
    weights = FOUR if name in ("tflite", "tflm", "c", "onnx") else INT8
    given = source(weights, examples=2)
    found = sizer(FORMATS[name], given)(FORMATS[name].with_defaults(options))
    written = FORMATS[name].export(given, tmp_path / ("net" + FORMATS[name].suffix), options)
    on_disk = file_bytes(name, written)
    assert found == written.report.nbytes["file"] and on_disk in (found, None)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_four_bits_in_eight_bit_storage_save_nothing_and_packing_does(name):
    """Depthwise and 3×3 convolutions included: the weights are the same but for their bits."""
    if name.startswith("onnx"):
        pytest.importorskip("onnx")
    form = FORMATS[name]
    eight, four = (export_size(form, source(dict(FOUR, num_bits=bits), LARGE, LARGE_STATE), {}) for bits in (8, 4))
    few = tuple(tensor.layer for tensor in book_of(LARGE).plan.tensors if tensor.kind == "weights")
    assert (eight.few, four.few) == ((), few) and not eight.packings and not eight.notes
    if form.weights is not WeightStorage.COMPRESSED:  # notes and texts differ by a few bytes
        assert abs(eight.nbytes - four.nbytes) < 0.02 * eight.nbytes or name in ("encodings", "onnx")
    assert bool(four.notes) == (name != "encodings")
    assert len(four.packings) == len(form.packings)
    half = sum(tensor.parameters for tensor in book_of(LARGE).plan.tensors) / 2
    for packing in four.packings[-1:]:
        assert 0.9 * half < four.plain - packing.nbytes < 1.2 * half
        packed = export_size(form, source(FOUR, LARGE, LARGE_STATE), packing.options)
        assert (packed.nbytes, packed.plain, packed.chosen) == (packing.nbytes, four.plain, packing.label)


def test_a_format_that_refuses_the_settings_has_no_size():
    with pytest.raises(ExportError, match="possible with"):
        export_size(FORMATS["tflite"], source({"num_bits": 9}), {})


def test_the_code_of_a_keras_model_is_not_run_for_its_size(monkeypatch):
    described = keras_description(NETWORK)
    given = source(keras=KerasOrigin(described.config, described.arrays, has_code=True))
    monkeypatch.setattr(keras_model.tf.keras.models, "model_from_json", lambda *_, **__: pytest.fail("it is built"))
    for allowed in (False, True):
        with pytest.raises(ExportError, match="known after the export"):
            export_size(FORMATS["keras"], given, {"allow_code": allowed})
