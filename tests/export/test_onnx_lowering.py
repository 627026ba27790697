"""Each operation of an ONNX file, run in onnxruntime, against the simulator."""

import numpy as np
import pytest
from integer_cases import model_of
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything, images_for

from qatviz.export.onnx_lowering import onnx_model
from qatviz.export.onnx_runtime import OnnxRunner
from qatviz.export.parity import compare_layers

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def all_outputs(model, **form):
    """The file with all tensors put out, loaded."""
    return OnnxRunner(model, onnx_model(model, outputs=[tensor.name for tensor in model.tensors], **form))


def check_layers(model, **form):
    for layer in compare_layers(model, all_outputs(model, **form).run, images_for(model)):
        assert layer.unexplained == 0 and layer.own.largest <= 1 and layer.own.identical > 0.999, layer


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_kind_of_operation_computes_what_the_simulator_does(setting):
    check_layers(model_of(everything(), *SETTINGS[setting]))
