"""What the evaluation graph shows is what the integers say: logits of trained networks, code by code."""

import os

import numpy as np
import pytest

from qatviz.data import load
from qatviz.export.lower_integer import integer_model
from qatviz.export.simulator import simulate
from qatviz.network import zoo
from qatviz.network.layers import BatchNorm
from qatviz.network.plan import quantization_plan
from qatviz.settings import RunSettings
from qatviz.training.graph import TrainingGraph
from qatviz.training.settings_book import SettingsBook

SETTINGS = {
    "int8": {"preset": "tflite-int8"},
    "int8-per-tensor": {"preset": "tflite-int8", "weights": {"per_channel": False}},
    "int4": {"preset": "int4"},
    "2-bit": {"preset": "tflite-int8", "weights": {"num_bits": 2}},
    "4-bit-activations": {"preset": "tflite-int8", "activations": {"num_bits": 4}},
    "asymmetric-7-bit": {"preset": "uint8-affine", "weights": {"num_bits": 7, "narrow_range": False}},
    "asymmetric-8-bit": {"preset": "uint8-affine", "weights": {"narrow_range": False}},
    "asymmetric-8-bit-per-channel": {"preset": "uint8-affine", "weights": {"narrow_range": False, "per_channel": True}},
    "symmetric-activations": {"preset": "tflite-int8", "weights": {"narrow_range": False},
                              "activations": {"symmetric": True}},
    "power-of-two": {"preset": "tflite-int8", "weights": {"power_of_two": True}, "activations": {"power_of_two": True}},
}
#: Smallest share of identical codes, largest difference, smallest share of equal top-1. The graph is exact but for sums of
#: more than 22 bits, as Dense layers with many inputs have.
EXACT, BAR = (1.0, 0, 1.0), (0.998, 1, 1.0)
DEEP = ("dscnn", "resnet8", "mobilenet")
BATCH_SIZE, STEPS = 32, 24
#: Digits and as many random inputs. The deep networks take minutes for all: QATVIZ_EXHAUSTIVE=1 asks for that.
EXAMPLES, FEW_EXAMPLES = 1000, 100
FEW_SETTINGS = ("int8", "int4", "4-bit-activations", "asymmetric-8-bit")
EXHAUSTIVE = bool(os.environ.get("QATVIZ_EXHAUSTIVE"))


class Trained:
    """A network of the zoo at its normal size after a few steps on digits."""

    def __init__(self, name):
        data = load("mnist-5k")
        self.network = zoo.build(name, data.input_shape, data.num_classes)
        self.plan = quantization_plan(self.network)
        self.graph = TrainingGraph(self.network, self.plan, data, BATCH_SIZE, "adam", telemetry=False)
        book = SettingsBook.from_preset(self.plan, "tflite-int8", run=RunSettings(learning_rate=2e-3))
        random = np.random.RandomState(0)
        batches = random.randint(0, len(data.x_train), (STEPS, BATCH_SIZE)).astype(np.int32)
        self.graph.write_state(self.graph.initial_state(book.run))
        self.graph.write_settings(book.quantizers, book.run, 0)
        self.graph.calibrate(batches[0])
        for step, batch in enumerate(batches):
            self.graph.step(batch, step)
        self.graph.write_state(self._settled(self.graph.read_state()))
        self.examples = EXAMPLES if EXHAUSTIVE or name not in DEEP else FEW_EXAMPLES
        digits = data.x_test[:self.examples].astype(np.float32) * np.float32(data.pixel_scale)
        self.images = np.concatenate([digits, random.uniform(0, 1, digits.shape).astype(np.float32)])

    def _settled(self, state):
        """With moving statistics as if they had not begun at 0 and 1, which a few steps do not forget."""
        for layer in self.network.layers:
            if isinstance(layer, BatchNorm):
                begun = np.float32(layer.momentum**STEPS)
                mean, variance = layer.name + ".moving_mean", layer.name + ".moving_variance"
                state[mean] = state[mean] / (1 - begun)
                state[variance] = np.maximum((state[variance] - begun) / (1 - begun), np.float32(0))
        return state

    def compare(self, setting):
        """The codes of both, and the model."""
        book = SettingsBook.from_preset(self.plan, **SETTINGS[setting])
        self.graph.write_settings(book.quantizers, book.run, STEPS)
        self.graph.publish()
        model = integer_model(self.network, book, self.graph.read_state(), STEPS)
        values = np.concatenate([self.graph.logits(part) for part in np.array_split(self.images, 8)])
        steps = values.astype(np.float64) / model.logits.scale + model.logits.zero_point
        expected = np.floor(steps + 0.5).astype(np.int64)
        assert np.abs(steps - expected).max() < 1e-2, "the graph's logits are not on their grid"
        return expected, simulate(model, self.images)


@pytest.fixture(scope="module", params=["mlp", "lenet"] + [pytest.param(name, marks=pytest.mark.slow) for name in DEEP])
def trained(request):
    made = Trained(request.param)
    yield made
    made.graph.close()


def same_top1(expected, found):
    """bool ``[n]``: the largest of one is a largest of the other."""
    rows = np.arange(len(expected))
    return (expected[rows, found.argmax(axis=1)] == expected.max(axis=1)) | (
        found[rows, expected.argmax(axis=1)] == found.max(axis=1))


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_logits_are_the_graphs(trained, setting):
    name = trained.network.name
    if name == "mobilenet" and setting not in FEW_SETTINGS and not EXHAUSTIVE:
        pytest.skip("takes long: QATVIZ_EXHAUSTIVE=1 asks for it")
    identical, largest, top1 = BAR if name == "mlp" else EXACT
    expected, found = trained.compare(setting)
    assert len(np.unique(expected)) > 4, "the logits say nothing"
    for what, part in (("digits", slice(trained.examples)), ("random inputs", slice(trained.examples, None))):
        difference = np.abs(expected[part] - found[part])
        share, agreement = np.mean(difference == 0), np.mean(same_top1(expected[part], found[part]))
        measured = "{}, {}, {}: {:.3%} identical, at most {} apart, {:.2%} top-1".format(
            name, setting, what, share, difference.max(), agreement)
        print(measured)
        assert share >= identical and difference.max() <= largest and agreement >= top1, measured
