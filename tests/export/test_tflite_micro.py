"""TFLite files in TFLite Micro: types that it has kernels for, and the notes of the proof on them.

It is the one of the Python that :data:`qatviz.export.tflm.runtime.VARIABLE` names, or of the first one on PATH that has
the package tflite-micro; without it, the tests that run it are skipped.
"""

import newer_python
import numpy as np
import pytest
from integer_cases import book_of, model_of, network_of, state_of
from test_tflite_lowering import images_for

from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflm.runtime import VARIABLE
from qatviz.network.activations import Activation
from qatviz.network.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool, ReLU, UpsampleBilinear

PACKAGE = "tflite_micro"
_PROGRAM = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
inputs, found = np.load("inputs.npy"), []
interpreter = runtime.Interpreter.from_file("net.tflite", arena_size=10**6)
for codes in inputs:
    interpreter.set_input(codes[None], 0)
    interpreter.invoke()
    found.append(interpreter.get_output(0)[0].copy())
np.save("found.npy", found)
"""
SYMMETRIC = {"symmetric": True, "narrow_range": True, "per_channel": True}
INT4 = dict(SYMMETRIC, num_bits=4, per_channel=False)
#: Settings of weights and activations, options, type, note in the proof, smallest fraction of identical codes.
TYPES = {
    "int8": (SYMMETRIC, {}, {}, np.int8, None, 0.85),
    "INT4": (INT4, {}, {"int4": True}, np.int8, "INT4: runs in LiteRT and TFLite Micro", 0.7),
    "INT4 per channel": (dict(INT4, per_channel=True), {}, {"int4": True}, np.int8, "INT4: runs in LiteRT, not", None),
    "INT4 per channel, all": (
        dict(INT4, per_channel=True),
        {},
        {"int4": True, "int4_all": True},
        np.int8,
        "INT4: runs in LiteRT and TFLite Micro",
        0.7,
    ),
    "int16": (
        SYMMETRIC,
        {"num_bits": 16, "symmetric": True},
        {"int16": True},
        np.int16,
        "int16: runs in LiteRT and TFLite Micro",
        0.6,
    ),
    "uint8": ({}, {}, {}, np.uint8, "uint8: runs in TensorFlow Lite and LiteRT, not in TFLite Micro", None),
}


@pytest.fixture(scope="session")
def micro():
    """Return the newer Python."""
    found = newer_python.find(VARIABLE, PACKAGE)
    return found or pytest.skip(f"there is no newer Python with tflite-micro; {VARIABLE} can name one")


def written(name):
    """Return the integer model and the file of a small network."""
    weights, activations, options = TYPES[name][:3]
    network = network_of(
        (8, 8, 2),
        (Conv2D, "conv", {"filters": 6}),
        (ReLU, "relu", {}),
        (DepthwiseConv2D, "depthwise", {"kernel_size": 3}),
        (MaxPool, "pool", {}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 5}),
    )
    model = model_of(network, weights, activations)
    return model, tflite_model(model, **options)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_notes_say_which_runtimes_have_kernels_for_the_types(name):
    file, note = written(name)[1], TYPES[name][4]
    assert file.dtype == TYPES[name][3] and file.int4 == name.startswith("INT4")
    about = [text for text in file.notes if "TFLite Micro" in text]
    assert len(about) == (note is not None) and all(text.startswith(note) for text in about)
    if name == "INT4 per channel":
        assert "possible with logits.weights.per_channel=off" in about[0]
    if name == "uint8":
        assert all(f"{layer}.weights.symmetric=on" in about[0] for layer in ("conv", "depthwise", "logits"))


@pytest.mark.parametrize("name", sorted(TYPES))
def test_tflite_micro_runs_the_types_that_the_notes_name(name, micro, tmp_path):
    (model, file), identical = written(name), TYPES[name][5]
    codes = quantize_input(model, images_for(model, 40))
    (tmp_path / "net.tflite").write_bytes(file.content)
    np.save(str(tmp_path / "inputs.npy"), file.to_file(codes))
    if identical is None:
        with pytest.raises(AssertionError, match="TFLM failed to allocate tensors"):
            newer_python.run(micro, _PROGRAM, tmp_path)
        return
    newer_python.run(micro, _PROGRAM, tmp_path)
    found = file.from_file([np.load(str(tmp_path / "found.npy"))])["logits"]
    expected = run_codes(model, codes, ["logits"])["logits"]
    assert np.mean(found == expected) >= identical and np.abs(found - expected).max() <= 3


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_pointwise_convolution_of_int4_weights_is_a_fully_connected(per_channel, micro, tmp_path):
    network = network_of(
        (4, 4, 2),
        (Conv2D, "conv", {"filters": 6, "kernel_size": 1}),
        (Flatten, "flat", {}),
        (Dense, "out", {"units": 3}),
    )
    book, _ = book_of(network, INT4).change([("conv.weights.per_channel", per_channel)])
    model = integer_model(network, book, state_of(network))
    file = tflite_model(model, int4=True)
    assert ("nor in TFLite Micro" in file.notes[0]) == per_channel
    assert ("possible with conv.weights.per_channel=off" in file.notes[0]) == per_channel
    (tmp_path / "net.tflite").write_bytes(file.content)
    np.save(str(tmp_path / "inputs.npy"), file.to_file(quantize_input(model, images_for(model, 4))))
    if per_channel:
        with pytest.raises(AssertionError, match="TFLM failed to allocate tensors"):
            newer_python.run(micro, _PROGRAM, tmp_path)
    else:
        newer_python.run(micro, _PROGRAM, tmp_path)


@pytest.mark.parametrize(
    "layer, settings, runs",
    [(Activation, {"function": "swish"}, False), (UpsampleBilinear, {"size": 2}, False), (MaxPool, {}, True)],
    ids=["table", "interpolation", "pool"],
)
def test_int16_files_are_said_to_run_in_tflite_micro_only_with_kernels_for_all(layer, settings, runs, micro, tmp_path):
    network = network_of((4, 4, 2), (layer, "layer", settings), (Flatten, "flat", {}), (Dense, "out", {"units": 3}))
    model = model_of(network, SYMMETRIC, {"num_bits": 16, "symmetric": True})
    file = tflite_model(model, int16=True)
    assert file.notes[0] == f"int16: runs in LiteRT{' and TFLite Micro' if runs else ''}, not in TensorFlow 1.15"
    assert any("TFLite Micro has none" in note for note in file.notes) != runs
    (tmp_path / "net.tflite").write_bytes(file.content)
    np.save(str(tmp_path / "inputs.npy"), file.to_file(quantize_input(model, images_for(model, 4))))
    if runs:
        newer_python.run(micro, _PROGRAM, tmp_path)
    else:
        with pytest.raises(AssertionError, match="TFLM failed to allocate tensors|Interpreter invocation failed"):
            newer_python.run(micro, _PROGRAM, tmp_path)
