"""A network in integer arithmetic, in NumPy: what the quantized evaluation graph has to equal, code for code.

Values on a grid are carried as codes minus zero point, in int64; the only roundings are those of the grids.
"""

import numpy as np

from qatviz.network.graph import WEIGHTED
from qatviz.network.layers import element_count
from qatviz.quant import affine
from qatviz.quant.ranges import min_max_range


class IntegerNetwork:
    """A network in integer arithmetic; see the module.

    Parameters
    ----------
    settings : sequence of QuantizerSettings
        One for each group of the plan.
    ranges : dict of str to (float, float)
        Ranges of activations by the name of a group's first tensor.
    """

    def __init__(self, network, plan, parameters, settings, ranges):
        self.network, self.plan, self.parameters = network, plan, parameters
        self.settings = {plan.tensors[index].name: s for members, s in zip(plan.groups, settings) for index in members}
        self.grids = {}
        for tensor in plan.tensors:
            if tensor.kind != "weights":
                self.grids[tensor.name] = self._choose(tensor.name, *ranges[tensor.group])
        for unit in plan.units:
            if getattr(unit.op, "function", None) == "sigmoid":
                # TFLite's grid of a LOGISTIC: with 8 bits, scale 1/256 from 0 on; 1/128 if it is symmetric.
                name = unit.name + ".activations"
                s = self.settings[name]
                self.grids[name] = self._choose(name, 0.0, 1 - 2.0 ** (s.symmetric - s.num_bits))
        self.bias_codes = {}

    def codes(self, images):
        """Return int64 codes minus zero point of every unit's output, by the name of the layer that produces it."""
        outputs = {"input": self._rounded("input.activations", images)}
        for unit in self.plan.units:
            inputs = [outputs[name] for name in unit.inputs]
            outputs[unit.output] = getattr(self, "_" + unit.op.kind.lower(), self._weighted)(unit, inputs)
        return outputs

    def scale(self, layer):
        """Return the scale of a layer's output, in double precision."""
        return float(self.grids[self.plan.grid_of(layer)].scale)

    def _choose(self, name, low, high):
        s = self.settings[name]
        return affine.choose_grid(low, high, s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)

    def _rounded(self, name, values):
        grid = self.grids[name]
        return affine.quantize(np.float32(values), grid).astype(np.int64) - int(grid.zero_point)

    def _folded(self, unit):
        """Return weights ``[..., channels]`` and bias of a unit, with batch norm folded in, in float32."""
        own = {name.split(".")[1]: value for name, value in self.parameters.items() if name.startswith(unit.name + ".")}
        weights, bias = (
            own["weights"],
            own.get("bias", np.zeros(self.plan.tensor(unit.name + ".weights").num_channels, np.float32)),
        )
        if unit.op.kind == "DepthwiseConv2D":
            weights = weights.reshape((*weights.shape[:2], -1))
        if unit.batch_norm is not None:
            p = {
                name: self.parameters[f"{unit.batch_norm.name}.{name}"]
                for name in ("gamma", "beta", "moving_mean", "moving_variance")
            }
            factor = p["gamma"] / np.sqrt(p["moving_variance"] + np.float32(unit.batch_norm.epsilon))
            weights, bias = weights * factor, p["beta"] + factor * (bias - p["moving_mean"])
        return weights.astype(np.float32), bias.astype(np.float32)

    def _weighted(self, unit, inputs):
        weights, bias = self._folded(unit)
        name = unit.name + ".weights"
        by_channel = weights.reshape(-1, weights.shape[-1])
        low, high = min_max_range(by_channel if self.settings[name].per_channel else weights.reshape(-1, 1))
        grid = self._choose(name, *((low, high) if self.settings[name].per_channel else (low[0], high[0])))
        integers = affine.quantize(weights, grid).astype(np.int64) - grid.zero_point
        product_scale = np.float32(self.scale(unit.inputs[0])) * grid.scale
        bias_codes = np.floor(bias / product_scale + np.float32(0.5)).astype(np.int64)
        self.bias_codes[unit.name] = bias_codes
        if unit.op.kind == "Conv2DTranspose":
            total = _spread(unit.op, inputs[0], integers, self.network.shapes[unit.op.name]) + bias_codes
        else:
            total = _multiplied(unit.op, inputs[0], integers) + bias_codes
        return self._finished(unit, total * product_scale.astype(np.float64))

    def _finished(self, unit, values):
        if unit.activation is not None:
            values = np.maximum(values, 0.0)
            if unit.activation.kind == "ReLU6":
                values = np.minimum(values, 6.0)
        return self._rounded(unit.name + ".activations", values)

    def _add(self, unit, inputs):
        return self._finished(unit, sum(x * self.scale(name) for x, name in zip(inputs, unit.inputs)))

    def _subtract(self, unit, inputs):
        first, second = (x * self.scale(name) for x, name in zip(inputs, unit.inputs))
        return self._finished(unit, first - second)

    def _average(self, unit, inputs):
        return self._finished(unit, sum(x * self.scale(name) for x, name in zip(inputs, unit.inputs)) / len(inputs))

    def _maximum(self, unit, inputs):
        return np.maximum(*inputs)

    def _minimum(self, unit, inputs):
        return np.minimum(*inputs)

    def _multiply(self, unit, inputs):
        first, second = (self.scale(name) for name in unit.inputs)
        return self._finished(unit, inputs[0] * inputs[1] * (first * second))

    def _matmul(self, unit, inputs):
        first, second = inputs
        first_scale, second_scale = (self.scale(name) for name in unit.inputs)
        products = first @ (second.swapaxes(-1, -2) if unit.op.transpose_second else second)
        output = self.grids[unit.name + ".activations"]
        is_wide = any(self.settings[name].num_bits > 8 for name in self.grids)
        if is_wide or self.grids[self.plan.grid_of(unit.inputs[1])].zero_point == 0:
            return self._finished(unit, products * (first_scale * second_scale * unit.op.factor))
        # gemmlowp: half of the sum, rounded half up; then shifted, rounded half away from zero.
        shift = int(np.log2(float(output.scale) / (first_scale * second_scale * unit.op.factor))) - 1
        left, right = max(-shift, 0), max(shift, 0)
        halves = ((products << left) + 1) >> 1
        codes = (halves + ((1 << right) >> 1) - ((halves < 0) & (right > 0))) >> right
        return np.clip(codes, *(bound - int(output.zero_point) for bound in output.bounds))

    def _activation(self, unit, inputs):
        scale, op = self.scale(unit.inputs[0]), unit.op
        if op.function == "sigmoid":
            return self._finished(unit, 1 / (1 + np.exp(-inputs[0] * scale)))
        assert op.function == "leaky_relu"
        output = self.grids[unit.name + ".activations"]
        # XNNPACK's qs8-vlrelu: products with multipliers of 8 fractional bits, rounded half up.
        factors = [round(256 * factor * scale / float(output.scale)) for factor in (1, op.slope)]
        codes = (inputs[0] * np.where(inputs[0] >= 0, *factors) + 128) >> 8
        return np.clip(codes, *(bound - int(output.zero_point) for bound in output.bounds))

    def _permute(self, unit, inputs):
        return inputs[0].transpose(0, *(axis + 1 for axis in unit.op.axes))

    def _upsamplenearest(self, unit, inputs):
        return inputs[0].repeat(unit.op.size[0], axis=1).repeat(unit.op.size[1], axis=2)

    def _upsamplebilinear(self, unit, inputs):
        """As XNNPACK's qs8-ibilinear; above 8 bits, as TFLite's ``reference_ops::ResizeBilinearInteger``."""
        wide, x = self.grids[self.plan.grid_of(unit.inputs[0])].num_bits > 8, inputs[0]
        for axis, times in ((1, unit.op.size[0]), (2, unit.op.size[1])):
            size, out = x.shape[axis], x.shape[axis] * times
            if wide:
                distance = (1024 * size + out // 2) // out
                places = np.arange(out) * distance + distance // 2 - 512
                first = np.maximum(np.trunc(places / 1024), 0).astype(int)
                second, part = np.minimum(np.trunc((places + 1023) / 1024).astype(int), size - 1), places - 1024 * first
            else:
                distance = np.float32(size) / np.float32(out)
                places = np.arange(out).astype(np.float32) * distance + (np.float32(0.5) * distance - np.float32(0.5))
                places = np.clip(places, np.float32(0), np.float32(size - 1))
                first = places.astype(int)
                second, part = np.minimum(first + 1, size - 1), np.rint((places - first) * np.float32(2048)).astype(int)
            part, one = part.reshape((-1,) + (1,) * (3 - axis)), 1024 if wide else 2048
            x = x.take(first, axis) * (one - part) + x.take(second, axis) * part
        if not wide:
            return (x + (1 << 21)) >> 22
        return np.where(x > 0, (x + (1 << 19)) // (1 << 20), -((-x + (1 << 19)) // (1 << 20)))

    def _slice(self, unit, inputs):
        ranges = zip(unit.op.start, unit.op.stop, unit.op.strides)
        return inputs[0][(slice(None), *(slice(*numbers) for numbers in ranges))]

    def _concat(self, unit, inputs):
        return np.concatenate(inputs, unit.op.axis + 1 if unit.op.axis >= 0 else unit.op.axis)

    def _averagepool(self, unit, inputs):
        """As in TFLite's ``reference_integer_ops::AveragePool``; codes above 8 bits are less their zero point."""
        grid = self.grids[self.plan.grid_of(unit.inputs[0])]
        zero = int(grid.zero_point) if grid.num_bits <= 8 else 0
        windows, counted = _windows(inputs[0] + zero, unit.op, fill=0)
        # Padding is no code.
        acc, count = (windows * counted).sum(axis=(3, 4)), counted.sum(axis=(3, 4))
        mean = np.where(acc > 0, (acc + count // 2) // count, -((-acc + count // 2) // count)) - zero
        return np.clip(mean, grid.bounds[0] - int(grid.zero_point), grid.bounds[1] - int(grid.zero_point))

    def _globalaveragepool(self, unit, inputs):
        count = element_count(inputs[0].shape[1:3])
        return self._rounded(
            unit.name + ".activations", inputs[0].sum(axis=(1, 2)) / count * self.scale(unit.inputs[0])
        )

    def _maxpool(self, unit, inputs):
        windows, _ = _windows(inputs[0], unit.op, fill=np.iinfo(np.int64).min)
        return windows.max(axis=(3, 4))

    def _relu(self, unit, inputs):
        return np.maximum(inputs[0], 0)

    def _relu6(self, unit, inputs):
        return np.clip(inputs[0], 0, self._rounded(self.plan.grid_of(unit.inputs[0]), 6.0))

    def _flatten(self, unit, inputs):
        return inputs[0].reshape(len(inputs[0]), -1)

    def _reshape(self, unit, inputs):
        return inputs[0].reshape((len(inputs[0]), *tuple(self.network.shapes[unit.output])))

    def _zeropad(self, unit, inputs):
        return np.pad(inputs[0], ((0, 0), *tuple(unit.op.padding), (0, 0)), "constant")

    def _dropout(self, unit, inputs):
        return inputs[0]

    _softmax = _dropout


def is_weighted(unit):
    """Return whether the unit has weights."""
    return isinstance(unit.op, WEIGHTED)


def _windows(x, op, fill, size=None, dilation=(1, 1)):
    """Return windows ``[batch, rows, columns, height, width, channels]``, and a mask of those within the input."""
    size = size or op.pool_size
    spans, starts, pads = [], [], []
    for axis in (0, 1):
        reach = (size[axis] - 1) * dilation[axis] + 1
        length, stride = x.shape[axis + 1], op.strides[axis]
        if op.padding == "SAME":
            count = -(-length // stride)
            missing = max((count - 1) * stride + reach - length, 0)
        else:
            count, missing = (length - reach) // stride + 1, 0
        pads.append((missing // 2, missing - missing // 2))
        starts.append(np.arange(count) * stride)
        spans.append(np.arange(size[axis]) * dilation[axis])
    rows = starts[0][:, None, None, None] + spans[0][None, None, :, None]
    columns = starts[1][None, :, None, None] + spans[1][None, None, None, :]
    around = ((0, 0), *tuple(pads), (0, 0))
    padded = np.pad(x, around, "constant", constant_values=fill)
    counted = np.pad(np.ones_like(x), around, "constant")
    return padded[:, rows, columns], counted[:, rows, columns]


def _multiplied(op, x, weights):
    if op.kind == "Dense":
        return x @ weights
    windows, _ = _windows(x, op, 0, op.kernel_size, op.dilation)
    if op.kind == "GroupedConv2D":
        taken, made = weights.shape[2], weights.shape[3] // op.groups
        every = [(slice(g * taken, (g + 1) * taken), slice(g * made, (g + 1) * made)) for g in range(op.groups)]
        sums = [np.einsum("nyxhwc,hwcf->nyxf", windows[..., own], weights[..., out]) for own, out in every]
        return np.concatenate(sums, axis=-1)
    if op.kind == "Conv2D":
        return np.einsum("nyxhwc,hwcf->nyxf", windows, weights)
    repeated = np.repeat(windows, op.depth_multiplier, axis=-1)
    return np.einsum("nyxhwc,hwc->nyxc", repeated, weights)


def _spread(op, x, weights, shape):
    """Return the sums of a transposed convolution: each pixel times the kernel, added where the kernel is placed."""
    (rows, columns), (height, width) = op.strides, op.kernel_size
    count, (in_rows, in_columns) = len(x), x.shape[1:3]
    whole = ((in_rows - 1) * rows + height, (in_columns - 1) * columns + width)
    total = np.zeros((count, *(max(*sizes) for sizes in zip(whole, shape)), op.filters), np.int64)
    for row, column in np.ndindex(in_rows, in_columns):
        place = np.s_[:, row * rows : row * rows + height, column * columns : column * columns + width]
        total[place] += np.einsum("nc,hwcf->nhwf", x[:, row, column], weights)
    # With SAME padding, TensorFlow leaves out half of what exceeds the output at the beginning, rounded down.
    top, left = (max(size - wanted, 0) // 2 for size, wanted in zip(whole, shape))
    return total[:, top : top + shape[0], left : left + shape[1]]
