"""The switches of a live quantizer: on or off, per tensor or per channel, and the short path of values that are never
negative. One finalized graph, all switches fed."""

from itertools import product

import numpy as np
import pytest
import quant_inputs
import tensorflow.compat.v1 as tf
from kernel_oracle import CHANNELS

from qatviz.quant import quantize_tensor
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import choose_grid as grid_in_graph
from qatviz.quant.grid import grid_spec

OPTIONS = list(product([2, 3, 8, 16], [False, True], [False, True], [False, True]))


class Switched:
    """A quantizer with both grids and both switches, one without switches, and both code paths for values >= 0."""

    def __init__(self):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._build()
        self.graph.finalize()
        self.session = tf.Session(graph=self.graph)

    def _build(self):
        self.x, self.dy = (tf.placeholder(tf.float32, [None, CHANNELS]) for _ in range(2))
        self.low, self.high = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        self.lows, self.highs = (tf.placeholder(tf.float32, [CHANNELS]) for _ in range(2))
        self.enabled, self.per_channel = tf.placeholder(tf.bool, []), tf.placeholder(tf.bool, [])
        self.settings = [tf.placeholder(dtype, []) for dtype in (tf.int32, tf.bool, tf.bool, tf.bool)]
        spec = grid_spec(*self.settings)
        whole, split = grid_in_graph(self.low, self.high, spec), grid_in_graph(self.lows, self.highs, spec)
        on = tf.constant(True)
        self.results = {
            "both": fake_quantize(self.x, whole, self.enabled, channel_grid=split, per_channel=self.per_channel),
            "always on": fake_quantize(self.x, whole, channel_grid=split, per_channel=self.per_channel),
            "whole": fake_quantize(self.x, whole, self.enabled),
            "split": fake_quantize(self.x, channel_grid=split, enabled=self.enabled),
            "general": fake_quantize(self.x, whole, on, nonnegative=False),
            "nonnegative": fake_quantize(self.x, whole, on, nonnegative=True),
        }
        self.fetches = {
            name: (result.values, result.clipped, tf.gradients(result.values, self.x, grad_ys=self.dy)[0])
            for name, result in self.results.items()
        }
        self.operation = quantize_tensor(self.x, *self.settings[:3], per_channel=self.per_channel)

    def run(self, fetches, x, options, enabled=True, per_channel=False, share=0.7):
        """Run ``fetches`` on a fraction ``share`` of the range of ``x``."""
        feeds = dict(zip(self.settings, options))
        feeds.update(
            {
                self.x: x,
                self.dy: quant_inputs.upstream(x),
                self.enabled: enabled,
                self.per_channel: per_channel,
                self.low: x.min() * share,
                self.high: x.max() * share,
                self.lows: x.min(axis=0) * np.float32(share),
                self.highs: x.max(axis=0) * np.float32(share),
            }
        )
        return self.session.run(fetches, feeds)


@pytest.fixture(scope="module")
def switched():
    graph = Switched()
    yield graph
    graph.session.close()


@pytest.fixture(scope="module")
def x():
    return quant_inputs.arrays()["offset"]


def same(found, expected):
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_a_disabled_quantizer_passes_values_unchanged(switched, x, options):
    x = np.concatenate([x, np.float32([[np.inf, -np.inf, 3e38, -1e-30]])])
    for per_channel in (False, True):
        for share in (0.7, 0.0):  # even on an empty range
            with np.errstate(invalid="ignore"):
                found = switched.run(
                    [switched.fetches[name] for name in ("both", "whole", "split")],
                    x,
                    options,
                    enabled=False,
                    per_channel=per_channel,
                    share=share,
                )
            for values, clipped, gradient in found:
                assert values.tobytes() == clipped.tobytes() == x.tobytes()
                assert gradient.tobytes() == quant_inputs.upstream(x).tobytes()


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_per_channel_chooses_between_the_grids(switched, x, options):
    for per_channel, name in ((False, "whole"), (True, "split"), (False, "whole")):
        found = switched.run(switched.fetches, x, options, per_channel=per_channel)
        same(found["both"], found[name])
        same(found["always on"], found[name])
    assert np.any(found["whole"][0] != found["split"][0])


def test_an_operation_can_be_switched_per_channel(switched, x):
    for per_channel in (False, True):
        axis = 0 if per_channel else None
        grid = choose_grid(x.min(axis=axis), x.max(axis=axis), 4, True, True)
        found = switched.run(switched.operation, x, (4, True, True, False), per_channel=per_channel)
        np.testing.assert_allclose(found, fake_quant(x, grid), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("share", [0.7, 1.0, 0.0])
def test_the_shortcut_for_nonnegative_values_equals_the_general_path(switched, x, options, share):
    found = switched.run(
        [switched.fetches["nonnegative"], switched.fetches["general"]], np.maximum(x, 0), options, share=share
    )
    same(*found)


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_clipped_is_the_clipped_input_and_source_the_input(switched, x, options):
    grid = choose_grid(x.min() * 0.7, x.max() * 0.7, *options)
    values, source, clipped = switched.run(switched.results["whole"], x, options)
    np.testing.assert_array_equal(source, x)
    np.testing.assert_array_equal(clipped, np.clip(x, grid.minimum, grid.maximum))
    width = grid.maximum - grid.minimum
    assert np.max(np.abs(values - clipped)) <= 0.5 * grid.scale + 2 * np.finfo(np.float32).eps * width


def test_ranges_have_no_gradient(switched):
    with switched.graph.as_default():
        for result in switched.results.values():
            assert result.values.shape.as_list() == [None, CHANNELS]
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, CHANNELS])
        low = tf.placeholder(tf.float32, [])
        result = fake_quantize(x, grid_in_graph(low, low + 1.0, grid_spec(8, False, False)))
        assert tf.gradients(result.values, low) == [None]


def test_a_depthwise_grid_spans_the_last_two_axes():
    """Grids of shape [in, multiplier] broadcast against the last axes of filters [height, width, in, multiplier]."""
    filters = np.random.RandomState(60).randn(3, 3, 2, 2).astype(np.float32)
    low, high = filters.min(axis=(0, 1)), filters.max(axis=(0, 1))
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(
            fake_quantize(filters, channel_grid=grid_in_graph(low, high, grid_spec(4, True, True))).values
        )
    np.testing.assert_array_equal(found, fake_quant(filters, choose_grid(low, high, 4, True, True)))
