"""A network with a kind of layer in every runtime: the same codes of all its layers."""

import newer_onnxruntime
import numpy as np
import pytest
from integer_cases import book_of, state_of
from npz_evaluator import evaluate
from test_c_model import compiled, source_of

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import codes_runtime
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize, run_codes
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import XNNPACK, LitertRunner
from qatviz.export.tflite.lowering import tflite_model


class LayerCase:
    """A network as integers, with codes of its input and those of all layers.

    Parameters
    ----------
    network : Network
    weights, activations : dict
        Settings of all quantizers of each kind.
    examples : int
    changes : sequence
        Pairs of a setting's path and its value, which differ from those.
    """

    def __init__(self, network, weights=None, activations=None, examples=64, seed=0, changes=()):
        self.network = network
        self.book, _ = book_of(network, weights, activations).change(list(changes))
        self.state = state_of(network, seed=seed)
        self.model = integer_model(network, self.book, self.state)
        low, high = self.model.tensor("input").bounds
        shape = (examples, *network.input_shape)
        self.codes = np.random.RandomState(0).randint(low, high + 1, shape).astype(np.int32)
        self.outputs = [op.output for op in self.model.ops]
        self.expected = run_codes(self.model, self.codes, self.outputs)

    @property
    def images(self):
        return dequantize(self.model.tensor("input"), self.codes)

    def check(self, found, least=1.0, most=0):
        """Compare the codes: at least this fraction is equal, none differs by more than ``most``."""
        for name, codes in self.expected.items():
            assert np.mean(found[name] == codes) >= least, (name, np.mean(found[name] == codes))
            np.testing.assert_allclose(found[name], codes, rtol=0, atol=most, err_msg=name)

    def real(self, name):
        """Return the values of a layer's exact codes, and those of its inputs, float64, with the layer's tensor."""
        op = self.model.op(name)
        values = [
            (self.expected.get(source, self.codes).astype(np.int64) - tensor.zero_point) * np.float64(tensor.scale)
            for source, tensor in ((source, self.model.tensor(source)) for source in op.inputs)
        ]
        return values, self.model.tensor(op.output)

    def check_rounded(self, name, exact):
        """Check that codes are those of the ``exact`` values, ties up."""
        _, tensor = self.real(name)
        codes = np.floor(exact / np.float64(tensor.scale) + 0.5) + tensor.zero_point
        expected = self.expected[self.model.op(name).output]
        np.testing.assert_array_equal(expected, np.clip(codes, *self.model.op(name).clamp))
        assert len(np.unique(expected)) > 2

    def check_evaluation(self):
        with EvaluationGraph(self.network, self.book, self.state) as graph:
            found = codes_of(graph.logits(self.images), self.model.logits)
        np.testing.assert_array_equal(found, self.expected[self.model.output])

    def check_c(self, compiler):
        with compiled(source_of(self.model), compiler, layers=True) as runner:
            self.check(runner.run(self.codes))

    def check_litert(self, litert, kernels=XNNPACK, least=1.0, most=0, **options):
        file = tflite_model(self.model, outputs=self.outputs, **options)
        with LitertRunner(litert, file, kernels) as runner:
            self.check(runner.run(self.codes), least, most)
        return file

    def check_onnx(self, least=1.0, most=0, **form):
        pytest.importorskip("onnxruntime")
        self.check(
            OnnxRunner(self.model, onnx_model(self.model, outputs=self.outputs, **form)).run(self.codes), least, most
        )

    def check_current_onnxruntime(self, folder, least=1.0, most=0, **form):
        newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
        file = onnx_model(self.model, outputs=self.outputs, **form)
        (tensors,) = newer_onnxruntime.run_files(newer, folder, self.images, file)
        found = {
            name: (np.moveaxis(codes, 1, -1) if codes.ndim == 4 else codes).astype(np.int32) - file.storage.offset
            for name, codes in zip(file.outputs, tensors)
        }
        self.check(found, least, most)

    def check_npz(self):
        self.check(evaluate(description(self.model), arrays_of(self.model), self.images))

    def check_graphs(self, least=1.0, most=0, in_float=2):
        """Check TensorFlow's graphs: the codes of an exact one, the output of one in float up to ``in_float`` codes."""
        for exact in (True, False):
            graph = inference_graph(fake_quant_model(self.network, self.book, self.state), {}, exact=exact)
            with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
                found = codes_runtime(self.model, runner.values, self.outputs)(self.codes)
            if exact:
                self.check(found, least, most)
            else:
                output = self.model.output
                assert np.abs(found[output] - self.expected[output]).max() <= in_float
