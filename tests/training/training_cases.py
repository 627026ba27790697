"""Small data sets, networks and runs for the tests of training: a step takes a millisecond."""

import numpy as np
from waiting import Patience

from qatviz.data import from_arrays
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Dropout, GlobalAveragePool, ReLU, ReLU6
from qatviz.network.plan import quantization_plan
from qatviz.protocol.events import CommandApplied, CommandRejected, Event, Paused
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import StepRecord
from qatviz.settings import RunSettings
from qatviz.training.handle import Run

#: Steps after which a run that goes on has not done what was waited for.
MOST_STEPS = 100_000


def dataset(shape=(6,), classes=3, train=96, test=40, seed=0):
    """A data set that can be learned: each class has a centre of its own. float32."""
    random = np.random.RandomState(seed)
    centres = random.standard_normal((classes, *shape))

    def part(count):
        labels = np.arange(count) % classes
        return (centres[labels] + 0.5 * random.standard_normal((count, *shape))).astype(np.float32), labels

    return from_arrays("tiny", "made for the test", part(train), part(test))


def mlp(shape=(6,), classes=3):
    """Two dense layers."""
    net = NetworkBuilder("tiny_mlp", shape)
    net.add(Dense, "dense1", units=8)
    net.add(ReLU, "dense1_relu")
    net.add(Dense, "logits", units=classes)
    return net.network()


def convnet(shape=(6, 6, 2), classes=3):
    """Convolutions with batch norm, and dropout."""
    net = NetworkBuilder("tiny_conv", shape)
    net.add(Conv2D, "conv", filters=4, use_bias=False)
    net.add(BatchNorm, "conv_bn", momentum=0.9)
    net.add(ReLU, "conv_relu")
    net.add(DepthwiseConv2D, "depthwise", strides=2, depth_multiplier=2, use_bias=False)
    net.add(BatchNorm, "depthwise_bn", momentum=0.9)
    net.add(ReLU6, "depthwise_relu6")
    net.add(GlobalAveragePool, "pool")
    net.add(Dropout, "dropout", rate=0.25)
    net.add(Dense, "logits", units=classes)
    return net.network()


def spec(
    network=None, data=None, preset="tflite-int8", steps=None, run=None, weights=None, activations=None, **settings
):
    """A run of a small network; by default the mlp, until it is stopped, without evaluations of its own."""
    network = network or mlp()
    data = data or dataset(network.input_shape)
    run = dict({"evaluation_interval": 0, "snapshot_interval": 3600.0, "learning_rate": 1e-2}, **(run or {}))
    book = SettingsBook.from_preset(quantization_plan(network), preset, weights, activations, RunSettings(**run))
    return RunSpec(network, data, "tiny", book, batch_size=settings.pop("batch_size", 8), steps=steps, **settings)


class Driver:
    """A run, and all that came out of it in order; ends the run when it is left. ``paused``: before its first step.

    Attributes
    ----------
    news : list
        Everything drained so far.
    """

    def __init__(self, run_or_spec, record=None, paused=False):
        self.run = run_or_spec if isinstance(run_or_spec, Run) else Run(run_or_spec, record)
        self.news = []
        self._paused = paused

    def __enter__(self):
        if self._paused:
            self.run.pause()
        self.run.start()
        if self._paused:
            assert self.until_event(Paused).step == self.run.step
        return self

    def __exit__(self, *_):
        self.run.request_stop()
        self.until_end()

    def until(self, wanted, since=0):
        """Read until something for which ``wanted(item)`` is true comes after the first ``since`` items; that item."""
        patience = self._patience("news")
        seen = since
        while True:
            for item in self.news[seen:]:
                if wanted(item):
                    return item
            seen = len(self.news)
            assert not (self.run.wait(0) and not self.run.wait_for_news(0)), f"the run ended: {self.events()[-3:]}"
            patience.look()
            self.run.wait_for_news(0.1)
            self.news.extend(self.run.drain())

    def until_event(self, *kinds, since=0):
        """Read until an event of one of these classes comes."""
        return self.until(lambda item: isinstance(item, kinds), since)

    def send(self, command):
        """Send a command and wait for its answer."""
        return self.answer(self.run.send(command))

    def answer(self, command_id):
        """Wait for the answer to the command of this id."""
        return self.until(lambda item: getattr(item, "id", None) == command_id)

    def until_step(self, step):
        """Wait until the record of a step came."""
        return self.until(lambda item: isinstance(item, StepRecord) and item.step >= step)

    def finish(self):
        """Wait for the end of the run; its last event."""
        self.until_end()
        return self.events()[-1]

    def until_end(self):
        """Wait for the end of the run and read what came before it."""
        patience = self._patience("the end of the run")
        while not self.run.wait(0.1):
            patience.look()
        self.news.extend(self.run.drain())

    def _patience(self, what):
        return Patience(lambda: f"{what}; last: {self.events()[-5:]}", (lambda: self.run.step, MOST_STEPS))

    def events(self, *kinds):
        """The events so far, of these classes."""
        return [item for item in self.news if isinstance(item, kinds or Event)]

    def steps(self):
        """The step records so far."""
        return [item for item in self.news if isinstance(item, StepRecord)]


def graph_of(run_spec, graphs):
    """The shared graph that a run of this spec takes."""
    return graphs(
        run_spec.network,
        run_spec.plan,
        run_spec.dataset,
        run_spec.batch_size,
        run_spec.optimizer,
        run_spec.seed,
        run_spec.placement,
        run_spec.telemetry,
    )


def assert_same_arrays(one, other):
    """Both hold the same arrays, bit for bit."""
    assert sorted(one) == sorted(other)
    different = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    assert not different


def assert_answers(driver, ids):
    """Every command was answered exactly once, and answers came in the order of the commands."""
    scheduled = {item.id for item in driver.run.spec.schedule}
    answered = [item.id for item in driver.events(CommandApplied, CommandRejected) if item.id not in scheduled]
    assert answered == sorted(ids, key=lambda command_id: int(command_id.rpartition("-")[2]))
