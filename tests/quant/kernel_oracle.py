"""One finalized graph that holds TensorFlow's fake-quant kernels, for every bit width, next to what is tested against them.

Building a graph or a session takes longer than running it a hundred times, so all tests of a run share this one.
"""

from collections import namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.quant import quantize_conv2d, quantize_depthwise_conv2d, quantize_tensor
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import choose_grid, grid_spec

ALL_BITS = list(range(2, 17))
CHANNELS = 4

Setting = namedtuple("Setting", "num_bits symmetric narrow_range per_channel")
#: Every combination that the kernels know.
ALL_SETTINGS = [Setting(bits, symmetric, narrow, per_channel) for per_channel in (False, True)
                for bits in ALL_BITS for symmetric in (False, True) for narrow in (False, True)]

#: What came out of an implementation: float32 values and gradient of ``x``'s shape, int64 codes.
Result = namedtuple("Result", "values gradient codes")


def signed_bounds(num_bits, narrow_range):
    return -2 ** (num_bits - 1) + int(narrow_range), 2 ** (num_bits - 1) - 1


def own_range(x, setting):
    """The float32 range of ``x`` ``[n, CHANNELS]`` that the kernel is given, by its documentation."""
    axis = 0 if setting.per_channel else None
    return kernel_range(x.min(axis=axis), x.max(axis=axis), setting)


def kernel_range(low, high, setting):
    """A range as the kernel wants it: with 0 in it and, for a symmetric grid, with the ends that put 0 on code 0."""
    low, high = np.minimum(np.float32(low), np.float32(0)), np.maximum(np.float32(high), np.float32(0))
    if setting.symmetric:
        qmin, qmax = signed_bounds(setting.num_bits, setting.narrow_range)
        step = np.maximum(low / np.float32(qmin), high / np.float32(qmax))
        low, high = step * np.float32(qmin), step * np.float32(qmax)
    return low, high


def nudged_range(low, high, setting):
    """Ends and step of the grid that the kernel lays into a range: ``Nudge`` of ``fake_quant_ops_functor.h``, in float32."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    bottom, top = np.float32(int(setting.narrow_range)), np.float32(2 ** setting.num_bits - 1)
    scale = (high - low) / (top - bottom)
    from_min = bottom - low / np.where(scale > 0, scale, np.float32(1))
    zero = np.clip(np.floor(from_min.astype(np.float64) + 0.5), bottom, top).astype(np.float32)
    return (bottom - zero) * scale, (top - zero) * scale, scale


class KernelOracle:
    """The graph and its session. Every method takes NumPy arrays and returns NumPy arrays."""

    def __init__(self):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._inputs()
            self._kernels()
            self._subjects()
        self.graph.finalize()
        # One thread: the tensors are small, and handing them around would take longer than the work.
        self.session = tf.Session(graph=self.graph, config=tf.ConfigProto(
            intra_op_parallelism_threads=1, inter_op_parallelism_threads=1))

    def close(self):
        self.session.close()

    def kernel(self, x, dy, low, high, setting):
        """Values, gradient and codes of TensorFlow's kernel on the range ``low, high``."""
        ops = self._kernel_ops[setting.per_channel, setting.num_bits, setting.narrow_range]
        values, gradient = self.session.run(ops, {self.x: x, self.dy: dy, self.low[setting.per_channel]: low,
                                                  self.high[setting.per_channel]: high})
        bottom, _, scale = nudged_range(low, high, setting)
        safe = np.where(scale > 0, scale, 1).astype(np.float64)
        steps = np.rint((values.astype(np.float64) - bottom) / safe).astype(np.int64)
        codes = np.where(scale > 0, steps + signed_bounds(setting.num_bits, setting.narrow_range)[0], 0)
        return Result(values, gradient, codes)

    def grid(self, low, high, setting, power_of_two=False):
        """The ``Grid`` of ``qatviz.quant.grid`` for a range."""
        feeds = self._settings_feeds(setting)
        feeds.update({self.power_of_two: power_of_two, self.low[setting.per_channel]: low,
                      self.high[setting.per_channel]: high})
        return self.session.run(self._grids[setting.per_channel], feeds)

    def fake_quantize(self, x, dy, low, high, setting):
        """Values, gradient and codes of ``qatviz.quant.fake_quant`` on a range that is given."""
        feeds = self._settings_feeds(setting)
        feeds.update({self.x: x, self.dy: dy, self.low[setting.per_channel]: low, self.high[setting.per_channel]: high})
        values, gradient, grid = self.session.run(self._fake_quantize[setting.per_channel], feeds)
        safe = np.where(grid.scale > 0, grid.scale, 1).astype(np.float64)
        codes = np.rint(values.astype(np.float64) / safe) + grid.zero_point
        return Result(values, gradient, np.where(grid.scale > 0, codes, 0).astype(np.int64))

    def recipe(self, name, x, dy, setting):
        """Values and gradient of a public recipe function on the range of ``x`` itself."""
        feeds = self._settings_feeds(setting)
        feeds.update({self.x: x, self.dy: dy})
        return self.session.run(self._recipes[name, setting.per_channel], feeds)

    def _settings_feeds(self, setting):
        return {self.num_bits: setting.num_bits, self.symmetric: setting.symmetric, self.narrow_range: setting.narrow_range}

    def _inputs(self):
        self.x = tf.placeholder(tf.float32, [None, CHANNELS], "x")
        self.dy = tf.placeholder(tf.float32, [None, CHANNELS], "dy")
        self.low = {False: tf.placeholder(tf.float32, []), True: tf.placeholder(tf.float32, [CHANNELS])}
        self.high = {False: tf.placeholder(tf.float32, []), True: tf.placeholder(tf.float32, [CHANNELS])}
        self.num_bits = tf.placeholder(tf.int32, [], "num_bits")
        self.symmetric = tf.placeholder(tf.bool, [], "symmetric")
        self.narrow_range = tf.placeholder(tf.bool, [], "narrow_range")
        self.power_of_two = tf.placeholder_with_default(False, [], "power_of_two")

    def _kernels(self):
        forward = {False: tf.quantization.fake_quant_with_min_max_vars,
                   True: tf.quantization.fake_quant_with_min_max_vars_per_channel}
        backward = {False: tf.quantization.fake_quant_with_min_max_vars_gradient,
                    True: tf.quantization.fake_quant_with_min_max_vars_per_channel_gradient}
        self._kernel_ops = {}
        for per_channel in (False, True):
            low, high = self.low[per_channel], self.high[per_channel]
            for bits in ALL_BITS:
                for narrow in (False, True):
                    values = forward[per_channel](self.x, low, high, num_bits=bits, narrow_range=narrow)
                    gradient = backward[per_channel](self.dy, self.x, low, high, num_bits=bits, narrow_range=narrow)[0]
                    self._kernel_ops[per_channel, bits, narrow] = values, gradient

    def _subjects(self):
        spec = grid_spec(self.num_bits, self.symmetric, self.narrow_range, self.power_of_two)
        whole = choose_grid(self.low[False], self.high[False], spec)
        split = choose_grid(self.low[True], self.high[True], spec)
        self._grids = {False: whole, True: split}
        self._fake_quantize = {
            False: self._with_gradient(fake_quantize(self.x, whole).values) + (whole,),
            True: self._with_gradient(fake_quantize(self.x, channel_grid=split).values) + (split,)}
        settings = (self.num_bits, self.symmetric, self.narrow_range)
        self._recipes = {}
        for per_channel in (False, True):
            self._recipes["quantize_tensor", per_channel] = self._with_gradient(
                quantize_tensor(self.x, *settings, per_channel=per_channel))
            # One-hot inputs pick the filters out one by one: what comes out is the quantized filters themselves.
            rows = tf.shape(self.x)[0]
            picked = quantize_conv2d(tf.reshape(tf.eye(rows), [rows, 1, 1, rows]), self.x[None, None], 1, "VALID",
                                     *settings, per_channel=per_channel)
            self._recipes["quantize_conv2d", per_channel] = self._with_gradient(picked[:, 0, 0])
        flat = quantize_depthwise_conv2d(tf.ones([1, 1, 1, rows]), self.x[None, None], 1, "VALID", *settings)
        self._recipes["quantize_depthwise_conv2d", False] = self._with_gradient(tf.reshape(flat, [-1, CHANNELS]))

    def _with_gradient(self, values):
        return values, tf.gradients(values, self.x, grad_ys=self.dy)[0]
