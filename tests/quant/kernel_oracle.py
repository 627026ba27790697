"""One finalized graph that holds TensorFlow's fake-quant kernels, for every bit width, next to the code tested against
them.

Building a graph or a session takes longer than running it a hundred times, so all tests of a run share this one.
"""

from collections import namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.quant import quantize_conv2d, quantize_depthwise_conv2d, quantize_tensor
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import Grid, choose_grid, grid_spec

ALL_BITS = list(range(2, 17))
CHANNELS = 4

Setting = namedtuple("Setting", "num_bits symmetric narrow_range per_channel")
#: Every combination that the kernels support.
ALL_SETTINGS = [
    Setting(bits, symmetric, narrow, per_channel)
    for per_channel in (False, True)
    for bits in ALL_BITS
    for symmetric in (False, True)
    for narrow in (False, True)
]

#: Result of an implementation: float32 values and gradient of ``x``'s shape, int64 codes.
Result = namedtuple("Result", "values gradient codes")


def signed_bounds(num_bits, narrow_range):
    return -(2 ** (num_bits - 1)) + int(narrow_range), 2 ** (num_bits - 1) - 1


def kernel_range(low, high, setting):
    """Return a range in the kernel's form: it contains 0 and, if symmetric, has the ends that put 0 on code 0."""
    low, high = np.minimum(np.float32(low), np.float32(0)), np.maximum(np.float32(high), np.float32(0))
    if setting.symmetric:
        qmin, qmax = signed_bounds(setting.num_bits, setting.narrow_range)
        step = np.maximum(low / np.float32(qmin), high / np.float32(qmax))
        low, high = step * np.float32(qmin), step * np.float32(qmax)
    return low, high


def nudged_range(low, high, setting):
    """Return ends and scale of the kernel's grid in a range: ``Nudge`` of ``fake_quant_ops_functor.h``, in float32."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    bottom, top = np.float32(int(setting.narrow_range)), np.float32(2**setting.num_bits - 1)
    scale = (high - low) / (top - bottom)
    from_min = bottom - low / np.where(scale > 0, scale, np.float32(1))
    zero = np.clip(np.floor(from_min.astype(np.float64) + 0.5), bottom, top).astype(np.float32)
    return (bottom - zero) * scale, (top - zero) * scale, scale


class KernelOracle:
    """The graph and its session. Every method takes NumPy arrays and returns NumPy arrays."""

    def __init__(self):
        graph = tf.Graph()
        with graph.as_default():
            self._inputs()
            kernels, fake_quantizers = self._build_kernels(), self._build_fake_quantize()
            operations, grids = self._build_operations(), self._build_grids()
        graph.finalize()
        # One thread: the tensors are small, and distributing them would take longer than the work.
        self.session = tf.Session(
            graph=graph, config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        )
        self._kernels_by_key, self._fake_quantize, self._operations = (
            {key: self.session.make_callable(*parts) for key, parts in table.items()}
            for table in (kernels, fake_quantizers, operations)
        )
        self._grid_fields = self.session.make_callable(*grids)

    def close(self):
        self.session.close()

    def kernel(self, x, dy, low, high, setting):
        """Return values, gradient and codes of TensorFlow's kernel on the range ``low, high``."""
        run = self._kernels_by_key[setting.per_channel, setting.num_bits, setting.narrow_range]
        values, gradient = run(x, dy, low, high)
        bottom, _, scale = nudged_range(low, high, setting)
        safe = np.where(scale > 0, scale, 1).astype(np.float64)
        steps = np.rint((values.astype(np.float64) - bottom) / safe).astype(np.int64)
        codes = np.where(scale > 0, steps + signed_bounds(setting.num_bits, setting.narrow_range)[0], 0)
        return Result(values, gradient, codes)

    def grids(self, low, high, setting, power_of_two=False):
        """Return the ``Grid`` of ``qatviz.quant.grid`` for vectors of ranges."""
        return Grid(*self._grid_fields(low, high, *setting[:3], power_of_two))

    def fake_quantize(self, x, dy, low, high, setting):
        """Return values, gradient and codes of ``qatviz.quant.fake_quant`` on a given range."""
        values, gradient, scale, zero_point = self._fake_quantize[setting.per_channel](x, dy, low, high, *setting[:3])
        safe = np.where(scale > 0, scale, 1).astype(np.float64)
        codes = np.rint(values.astype(np.float64) / safe) + zero_point
        return Result(values, gradient, np.where(scale > 0, codes, 0).astype(np.int64))

    def operation(self, name, x, dy, setting):
        """Return values and gradient of a public function on the range of ``x`` itself."""
        return self._operations[name, setting.per_channel](x, dy, *setting[:3])

    def _inputs(self):
        self.x = tf.placeholder(tf.float32, [None, CHANNELS], "x")
        self.dy = tf.placeholder(tf.float32, [None, CHANNELS], "dy")
        self.low = {False: tf.placeholder(tf.float32, []), True: tf.placeholder(tf.float32, [CHANNELS])}
        self.high = {False: tf.placeholder(tf.float32, []), True: tf.placeholder(tf.float32, [CHANNELS])}
        self.settings = [
            tf.placeholder(tf.int32, [], "num_bits"),
            tf.placeholder(tf.bool, [], "symmetric"),
            tf.placeholder(tf.bool, [], "narrow_range"),
        ]

    def _build_kernels(self):
        forward = {
            False: tf.quantization.fake_quant_with_min_max_vars,
            True: tf.quantization.fake_quant_with_min_max_vars_per_channel,
        }
        backward = {
            False: tf.quantization.fake_quant_with_min_max_vars_gradient,
            True: tf.quantization.fake_quant_with_min_max_vars_per_channel_gradient,
        }
        fetches = {}
        for per_channel in (False, True):
            inputs = [self.x, self.dy, self.low[per_channel], self.high[per_channel]]
            for bits in ALL_BITS:
                for narrow in (False, True):
                    options = {"num_bits": bits, "narrow_range": narrow}
                    values = forward[per_channel](self.x, *inputs[2:], **options)
                    gradient = backward[per_channel](self.dy, self.x, *inputs[2:], **options)[0]
                    fetches[per_channel, bits, narrow] = [values, gradient], inputs
        return fetches

    def _build_grids(self):
        low, high = tf.placeholder(tf.float32, [None]), tf.placeholder(tf.float32, [None])
        power_of_two = tf.placeholder(tf.bool, [])
        grids = choose_grid(low, high, grid_spec(*self.settings, power_of_two))
        return list(grids), [low, high, *self.settings, power_of_two]

    def _build_fake_quantize(self):
        fetches = {}
        for per_channel in (False, True):
            low, high = self.low[per_channel], self.high[per_channel]
            grid = choose_grid(low, high, grid_spec(*self.settings))
            values = fake_quantize(self.x, **{"channel_grid" if per_channel else "grid": grid}).values
            inputs = [self.x, self.dy, low, high, *self.settings]
            fetches[per_channel] = [*self._with_gradient(values), grid.scale, grid.zero_point], inputs
        return fetches

    def _build_operations(self):
        # Inputs of one-hot rows, and of ones, pick the filters out: what comes out is the quantized filters themselves.
        rows = tf.shape(self.x)[0]
        one_hot, filters = tf.reshape(tf.eye(rows), [rows, 1, 1, rows]), self.x[None, None]
        results = {}
        for per_channel in (False, True):
            results["quantize_tensor", per_channel] = quantize_tensor(self.x, *self.settings, per_channel=per_channel)
            results["quantize_conv2d", per_channel] = quantize_conv2d(
                one_hot, filters, 1, "VALID", *self.settings, per_channel=per_channel
            )[:, 0, 0]
        results["quantize_depthwise_conv2d", False] = tf.reshape(
            quantize_depthwise_conv2d(tf.ones([1, 1, 1, rows]), filters, 1, "VALID", *self.settings), [-1, CHANNELS]
        )
        return {
            key: (self._with_gradient(values), [self.x, self.dy, *self.settings]) for key, values in results.items()
        }

    def _with_gradient(self, values):
        return [values, tf.gradients(values, self.x, grad_ys=self.dy)[0]]
