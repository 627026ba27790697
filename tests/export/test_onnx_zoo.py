"""Networks of the zoo at their normal size as ONNX files; trained ones, and more of them, with QATVIZ_EXHAUSTIVE=1."""

import numpy as np
import pytest
from integer_cases import model_of
from test_onnx_lowering import all_outputs
from test_parity import DEEP, EXHAUSTIVE, SETTINGS, Trained

from qatviz.export.lower_integer import integer_model
from qatviz.export.onnx_lowering import onnx_model
from qatviz.export.onnx_runtime import REACHED, OnnxRunner
from qatviz.export.parity import Agreement, codes_of, compare_layers, compare_logits, run_logits
from qatviz.export.parity_graph import EvaluationGraph
from qatviz.network import zoo
from qatviz.training.settings_book import SettingsBook

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

IMAGE, CLASSES = (28, 28, 1), 10
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}
#: In the deep networks whatever is rounded otherwise (measured: one code in a million) makes more differ behind it.
DEEP_BAR = Agreement(0.95, 5, 1.0)
EXAMPLES = {"mobilenet": 24, "dscnn": 100, "resnet8": 100}


@pytest.mark.parametrize("weights, activations", [(INT8, {}), ({"num_bits": 4}, {"num_bits": 4})], ids=["8 bits", "4 bits"])
@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_every_layer_of_the_zoo_computes_what_the_simulator_does(name, weights, activations):
    model = model_of(zoo.build(name, IMAGE, CLASSES), weights, activations)
    images = np.random.RandomState(0).uniform(-1, 1, (4,) + IMAGE).astype(np.float32)
    for layer in compare_layers(model, all_outputs(model).run, images):
        assert layer.unexplained == 0 and layer.own.identical > 0.999 and layer.own.largest <= 1, layer


@pytest.mark.skipif(not EXHAUSTIVE, reason="takes minutes: QATVIZ_EXHAUSTIVE=1 asks for it")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_trained_networks_compute_what_was_seen(name):
    trained = Trained(name)
    state = trained.graph.read_state()
    trained.graph.close()
    half = EXAMPLES.get(name, 1000) // 2
    images = np.concatenate([trained.images[:half], trained.images[-half:]])
    bar = DEEP_BAR if name in DEEP else REACHED
    for setting in sorted(SETTINGS):
        book = SettingsBook.from_preset(trained.plan, **SETTINGS[setting])
        model = integer_model(trained.network, book, state)
        with EvaluationGraph(trained.network, book, state) as graph:
            seen = codes_of(graph.logits(images), model.logits)
        agreement = compare_logits(seen, run_logits(model, OnnxRunner(model, onnx_model(model)).run, images)[1])
        print("{}, {}: {}".format(name, setting, agreement))
        assert agreement.identical >= bar.identical and agreement.largest <= bar.largest and agreement.top1 >= bar.top1
