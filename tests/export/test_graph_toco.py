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
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input
from qatviz.export.proof.parity import codes_of, compare_logits
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
POOLED = network_of(
    (8, 8, 2),
    (Conv2D, "conv", {"filters": 4}),
    (AveragePool, "pool", {}),
    (Conv2D, "next", {"filters": 4}),
    (ReLU, "relu", {}),
    (AveragePool, "overlapping", {"pool_size": 3, "strides": 1, "padding": "SAME"}),
    (Flatten, "flat", {}),
    (Dense, "logits", {"units": 4}),
)


def integer_file(network, directory, pool_ties=False):
    """Return TOCO's integer file of the frozen graph of a network, in the form "toco" by default."""
    book, state = book_of(network), state_of(network)
    source = integer_model(network, book, state).tensor("input")
    graph = inference_graph(fake_quant_model(network, book, state), {"made_by": "a test"}, pool_ties=pool_ties)
    (directory / "net.pb").write_bytes(graph.definition.SerializeToString())
    converter = tf.lite.TFLiteConverter.from_frozen_graph(str(directory / "net.pb"), ["input"], ["logits"])
    converter.inference_type = tf.lite.constants.QUANTIZED_UINT8
    converter.quantized_input_stats = {"input": (source.zero_point + 128, 1 / source.scale)}
    return converter.convert()


@pytest.fixture(autouse=True)
def toco_on_the_path(monkeypatch):
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)


def codes_in_tensorflow(network, images):
    """Return the codes of the logits that the frozen graph computes in the form "toco"."""
    book, state = book_of(network), state_of(network)
    graph = inference_graph(fake_quant_model(network, book, state), {}, pool_ties=False)
    with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
        values = runner.values(images, [network.output])[network.output]
    return codes_of(values, integer_model(network, book, state).logits)


@pytest.mark.parametrize("network, least", [(NETWORK, 0.7), (POOLED, 0.9)], ids=["without pools", "with average pools"])
def test_toco_converts_the_graph_to_an_integer_file_with_the_same_grids(network, least, tmp_path):
    model = integer_model(network, book_of(network), state_of(network))
    content = integer_file(network, tmp_path)
    found = operations(content)
    assert not {"FAKE_QUANT", "QUANTIZE", "DEQUANTIZE", "MUL"} & set(found)
    for name, kind in (("CONV_2D", Conv2D), ("DEPTHWISE_CONV_2D", DepthwiseConv2D), ("AVERAGE_POOL_2D", AveragePool)):
        assert found.count(name) == sum(type(layer) is kind for layer in network.layers)
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    fed, put_out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = put_out["quantization"]
    assert scale == pytest.approx(model.logits.scale, rel=1e-6) and zero - 128 == model.logits.zero_point
    images, logits = images_for(network, 32), []
    for codes in quantize_input(model, images):
        interpreter.set_tensor(fed["index"], (codes[None] + 128).astype(np.uint8))
        interpreter.invoke()
        logits.append(interpreter.get_tensor(put_out["index"])[0].astype(np.int32) - 128)
    agreement = compare_logits(simulate(model, images), np.array(logits))
    assert agreement.largest <= 3 and agreement.top1 >= 0.9, agreement
    # The graph computes what the file does, but for sums that the interpreter rounds twice.
    agreement = compare_logits(codes_in_tensorflow(network, images), np.array(logits))
    assert agreement.identical >= least and agreement.largest <= 1, agreement


def test_toco_refuses_the_graph_that_rounds_ties_of_an_average_pool(tmp_path):
    """The export's note says so: between the operations that round its ties, there are no ranges."""
    with pytest.raises(ConverterError):
        integer_file(POOLED, tmp_path, pool_ties=True)
