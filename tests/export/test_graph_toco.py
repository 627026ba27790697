"""Converters support the frozen graph: TensorFlow 1.15's own converts it to an integer file."""

import os
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, network_of, simulate, state_of
from tensorflow.lite.python.convert import ConverterError
from test_graph_lowering import images_for
from test_tflite_lowering import operations

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input
from qatviz.export.proof.parity import compare_logits
from qatviz.network.layers import (
    AveragePool,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
)

NETWORK = network_of(
    (10, 10, 2),
    (Conv2D, "conv", {"filters": 8, "use_bias": False}),
    (BatchNorm, "bn", {}),
    (ReLU6, "relu6", {}),
    (DepthwiseConv2D, "depthwise", {}),
    (ReLU, "relu", {}),
    (MaxPool, "max", {}),
    (GlobalAveragePool, "means", {}),
    (Dense, "logits", {"units": 4}),
)


def integer_file(network, directory):
    """Return TOCO's integer file of the frozen graph of a network."""
    book, state = book_of(network), state_of(network)
    source = integer_model(network, book, state).tensor("input")
    graph = inference_graph(fake_quant_model(network, book, state), {"made_by": "a test"})
    (directory / "net.pb").write_bytes(graph.definition.SerializeToString())
    converter = tf.lite.TFLiteConverter.from_frozen_graph(str(directory / "net.pb"), ["input"], ["logits"])
    converter.inference_type = tf.lite.constants.QUANTIZED_UINT8
    converter.quantized_input_stats = {"input": (source.zero_point + 128, 1 / source.scale)}
    return converter.convert()


@pytest.fixture(autouse=True)
def toco_on_the_path(monkeypatch):
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)


@pytest.mark.slow
def test_toco_converts_the_graph_to_an_integer_file_with_the_same_grids(tmp_path):
    model = integer_model(NETWORK, book_of(NETWORK), state_of(NETWORK))
    content = integer_file(NETWORK, tmp_path)
    found = operations(content)
    assert "FAKE_QUANT" not in found and found.count("DEPTHWISE_CONV_2D") == 1 and found.count("CONV_2D") == 1
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    fed, put_out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = put_out["quantization"]
    assert scale == pytest.approx(model.logits.scale, rel=1e-6) and zero - 128 == model.logits.zero_point
    images, logits = images_for(NETWORK, 32), []
    for codes in quantize_input(model, images):
        interpreter.set_tensor(fed["index"], (codes[None] + 128).astype(np.uint8))
        interpreter.invoke()
        logits.append(interpreter.get_tensor(put_out["index"])[0].astype(np.int32) - 128)
    agreement = compare_logits(simulate(model, images), np.array(logits))
    assert agreement.largest <= 3 and agreement.top1 >= 0.9, agreement


@pytest.mark.slow
def test_toco_refuses_the_graph_of_an_average_pool(tmp_path):
    """The export's note says so: between the operations that round its ties, there are no ranges."""
    network = network_of(
        (4, 4, 2),
        (Conv2D, "conv", {"filters": 4}),
        (AveragePool, "pool", {}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )
    with pytest.raises(ConverterError):
        integer_file(network, tmp_path)
