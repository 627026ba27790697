"""Evaluator of integer models as arrays, written from the description in their .json alone."""

import json

import numpy as np


def load(path):
    """Return the description and the arrays of ``path``, an .npz with a .json beside it."""
    with open(str(path)[: -len(".npz")] + ".json") as file:
        record = json.load(file)
    with np.load(str(path), allow_pickle=False) as arrays:
        return record, dict(arrays)


def evaluate(record, arrays, images):
    """Return the codes of all tensors for float32 images ``[n] + shape``, by name."""
    tensors = {tensor["name"]: tensor for tensor in record["tensors"]}
    codes = {record["input"]: _input_codes(tensors[record["input"]], images)}
    for op in record["operations"]:
        inputs = [(codes[name], tensors[name]["zero_point"]) for name in op["inputs"]]
        output, layer = tensors[op["output"]], op["layer"]
        own = {name[len(layer["name"]) + 1 :]: x for name, x in arrays.items() if name.startswith(layer["name"] + ".")}
        result = _RULES[op["rule"]](op, layer, own, inputs, output)
        codes[op["output"]] = np.minimum(np.maximum(result, op["clamp"][0]), op["clamp"][1])
    return codes


def _input_codes(tensor, images):
    scale, zero = np.float32(tensor["scale"]), tensor["zero_point"]
    low = -(2 ** (tensor["num_bits"] - 1)) + (1 if tensor["narrow_range"] else 0)
    high = 2 ** (tensor["num_bits"] - 1) - 1
    least, greatest = np.float32(low - zero) * scale, np.float32(high - zero) * scale
    steps = (np.minimum(np.maximum(images, least), greatest) - least) / scale
    return low + np.floor(steps + np.float32(0.5)).astype(np.int64)


def _requantize(accumulator, multiplier, right_shift):
    half = np.left_shift(np.int64(1), np.int64(right_shift) - 1)
    return np.right_shift(accumulator * np.int64(multiplier) + half, np.int64(right_shift))


def _inside(op, layer, size, x, output):
    """Yield row and column of the output, and the positions of its window inside of the input as index lists."""
    dilation, strides, pads = layer.get("dilation", [1, 1]), layer["strides"], op["pads"]
    for row in range(output["shape"][0]):
        for column in range(output["shape"][1]):
            taps = []
            for axis, place in ((0, row), (1, column)):
                all_taps = [(i, place * strides[axis] - pads[axis][0] + i * dilation[axis]) for i in range(size[axis])]
                taps.append([(i, at) for i, at in all_taps if 0 <= at < x.shape[1 + axis]])
            yield row, column, taps


def _window(x, taps):
    return x[:, [at for _, at in taps[0]]][:, :, [at for _, at in taps[1]]]


def _conv(op, layer, own, inputs, output):
    x, zero_x = inputs[0]
    weights, zero_w = own["weights"].astype(np.int64), own["weights.zero_point"].astype(np.int64)
    depthwise = layer["kind"] == "DepthwiseConv2D"
    if depthwise:
        # Channels of the output in one axis: c * depth_multiplier + m.
        weights = weights.reshape((*weights.shape[:2], -1))
    weights = weights - zero_w
    result = np.zeros([len(x), *output["shape"]], np.int64)
    for row, column, taps in _inside(op, layer, layer["kernel_size"], x, output):
        window = _window(x, taps) - zero_x
        used = weights[[i for i, _ in taps[0]]][:, [i for i, _ in taps[1]]]
        if depthwise:
            sums = (np.repeat(window, layer["depth_multiplier"], axis=3) * used).sum(axis=(1, 2))
        else:
            sums = np.tensordot(window, used, 3)
        result[:, row, column] = sums + own["bias"]
    return _requantize(result, own["multiplier"], own["right_shift"]) + output["zero_point"]


def _dense(op, layer, own, inputs, output):
    x, zero_x = inputs[0]
    accumulator = (x - zero_x) @ (own["weights"].astype(np.int64) - own["weights.zero_point"]) + own["bias"]
    return _requantize(accumulator, own["multiplier"], own["right_shift"]) + output["zero_point"]


def _add(op, layer, own, inputs, output):
    accumulator = sum((x - zero) * factor for (x, zero), factor in zip(inputs, own["multiplier"]))
    return _requantize(accumulator, 1, own["right_shift"][0]) + output["zero_point"]


def _add_rounded(op, layer, own, inputs, output):
    def rounded(a, k):
        m, r = int(own["multiplier"][k]), int(own["right_shift"][k])
        if r < 31:
            a, r = a * 2 ** (31 - r), 31
        h, s = np.floor_divide(a * m + 2**30, 2**31), r - 31
        return h if s == 0 else np.floor_divide(np.where(h < 0, h - 1, h) + 2 ** (s - 1), 2**s)

    (x, zero_x), (y, zero_y) = inputs
    return rounded(rounded(x - zero_x, 0) + rounded(y - zero_y, 1), 2) + output["zero_point"]


def _global_average(op, layer, own, inputs, output):
    x, zero_x = inputs[0]
    accumulator = 3 * (x - zero_x).sum(axis=(1, 2)) + 1
    return _requantize(accumulator, own["multiplier"][0], own["right_shift"][0]) + output["zero_point"]


def _average(op, layer, own, inputs, output):
    x, center = inputs[0][0], op["tie_center"]
    result = np.zeros([len(x), *output["shape"]], np.int64)
    for row, column, taps in _inside(op, layer, layer["pool_size"], x, output):
        n, s = len(taps[0]) * len(taps[1]), (_window(x, taps) - center).sum(axis=(1, 2))
        result[:, row, column] = np.sign(s) * ((2 * np.abs(s) + n) // (2 * n)) + center
    return result


def _max(op, layer, own, inputs, output):
    x = inputs[0][0]
    result = np.zeros([len(x), *output["shape"]], np.int64)
    for row, column, taps in _inside(op, layer, layer["pool_size"], x, output):
        result[:, row, column] = _window(x, taps).max(axis=(1, 2))
    return result


def _concat(op, layer, own, inputs, output):
    axis = layer["axis"] if layer["axis"] < 0 else layer["axis"] + 1
    return np.concatenate([x for x, _ in inputs], axis)


def _reshape(op, layer, own, inputs, output):
    return inputs[0][0].reshape([-1, *output["shape"]])


def _pad(op, layer, own, inputs, output):
    x, zero_x = inputs[0]
    return np.pad(x, [(0, 0), *map(tuple, layer["padding"]), (0, 0)], "constant", constant_values=zero_x)


def _copy(op, layer, own, inputs, output):
    return inputs[0][0]


_RULES = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _conv,
    "Dense": _dense,
    "Add": _add,
    "Add of rounded terms": _add_rounded,
    "GlobalAveragePool": _global_average,
    "AveragePool": _average,
    "MaxPool": _max,
    "Concat": _concat,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "ZeroPad": _pad,
    "ReLU": _copy,
    "ReLU6": _copy,
}
