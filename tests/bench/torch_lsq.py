"""Learned step size quantization (Esser et al. 2020) in PyTorch, independent of qatviz: a program of its own.

    python torch_lsq.py FOLDER

FOLDER holds ``setup.json`` (layers of the network as its description has them, bits of weights and activations,
learning rate) and ``data.npz`` (float parameters as ``layer.parameter``, training and held-out examples, and the
indices of the batches). It prints the accuracy on the held-out examples.

Weights have a scale for each output channel, inputs of layers one; those of the first layer are in float, the last
layer has 8 bits. Batch norm follows the quantized layer. Adam trains scales like weights, at a rate that falls along a
cosine.
"""

import json
import sys

import numpy as np
import torch
from torch.nn import functional

EVALUATED_AT_ONCE = 250


class Quantizer(torch.nn.Module):
    """Quantizer with a learned scale, which starts as in the paper: twice the mean magnitude over sqrt(Qp)."""

    def __init__(self, bits, signed, channels=None):
        super().__init__()
        self.low, self.high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        self.channels, self.is_started = channels, False
        self.scale = torch.nn.Parameter(torch.ones(channels or 1))

    def forward(self, x):
        shape = [self.channels] + [1] * (x.dim() - 1) if self.channels else [1]
        if not self.is_started:
            mean = x.detach().abs().flatten(1).mean(1) if self.channels else x.detach().abs().mean().reshape(1)
            self.scale.data = (2 * mean / self.high**0.5).clamp_min(1e-6)
            self.is_started = True
        factor = (x.numel() / (self.channels or 1) * self.high) ** -0.5
        scale = (self.scale * factor + (self.scale - self.scale * factor).detach()).reshape(shape)
        scaled = torch.clamp(x / scale, self.low, self.high)
        return (scaled + (torch.round(scaled) - scaled).detach()) * scale


def padded(x, kernel, strides):
    """Return ``x`` padded as TensorFlow's SAME does: the odd pixel is at the end."""
    pads = []
    for size, window, stride in zip(x.shape[:1:-1], kernel[::-1], strides[::-1]):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


class Network(torch.nn.Module):
    """The network of a description, with quantizers before and in each layer with weights."""

    def __init__(self, layers, bits, arrays):
        super().__init__()
        self.layers = layers
        self.weights = torch.nn.ParameterDict()
        self.norms, self.of_weights, self.of_inputs = (torch.nn.ModuleDict() for _ in range(3))
        weighted = [layer["name"] for layer in layers if layer["name"] + ".weights" in arrays]
        for layer in layers:
            name = layer["name"]
            if layer["kind"] == "BatchNorm":
                norm = torch.nn.BatchNorm2d(len(arrays[name + ".gamma"]), layer["epsilon"])
                pairs = zip((norm.weight, norm.bias), ("gamma", "beta"))
                statistics = ((norm.running_mean, "moving_mean"), (norm.running_var, "moving_variance"))
                for parameter, key in (*pairs, *statistics):
                    parameter.data.copy_(torch.from_numpy(arrays[f"{name}.{key}"]))
                self.norms[name] = norm
            elif name in weighted:
                self._add(layer, arrays, (8, 8) if name == weighted[-1] else bits, name != weighted[0])

    def _add(self, layer, arrays, bits, has_quantized_input):
        name, weights = layer["name"], torch.from_numpy(arrays[layer["name"] + ".weights"])
        if layer["kind"] == "DepthwiseConv2D":
            weights = weights.permute(2, 3, 0, 1).reshape(-1, 1, *weights.shape[:2])
        else:
            weights = weights.permute(3, 2, 0, 1) if weights.dim() == 4 else weights.t()
        self.weights[name] = torch.nn.Parameter(weights.contiguous())
        if name + ".bias" in arrays:
            self.weights[name + "_bias"] = torch.nn.Parameter(torch.from_numpy(arrays[name + ".bias"]))
        self.of_weights[name] = Quantizer(bits[0], True, len(weights))
        if has_quantized_input:
            self.of_inputs[name] = Quantizer(bits[1], False)  # all inputs follow a ReLU

    def forward(self, x):
        outputs = {"input": x}
        for layer in self.layers:
            name, kind = layer["name"], layer["kind"]
            inputs = [outputs[source] for source in layer["inputs"]]
            outputs[name] = self._layer(layer, name, kind, inputs)
        return outputs[self.layers[-1]["name"]]

    def _layer(self, layer, name, kind, inputs):
        x = inputs[0]
        if kind == "BatchNorm":
            return self.norms[name](x)
        if kind in ("ReLU", "ReLU6"):
            return functional.relu6(x) if kind == "ReLU6" else functional.relu(x)
        if kind == "GlobalAveragePool":
            return x.mean((2, 3))
        if kind == "Flatten":
            return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x
        if kind == "Add":
            return sum(inputs)
        weights = self.of_weights[name](self.weights[name])
        x = self.of_inputs[name](x) if name in self.of_inputs else x
        bias = self.weights.get(name + "_bias", None)
        if kind == "Dense":
            return functional.linear(x, weights, bias)
        groups = x.shape[1] if kind == "DepthwiseConv2D" else 1
        x = padded(x, layer["kernel_size"], layer["strides"]) if layer["padding"] == "SAME" else x
        return functional.conv2d(x, weights, bias, stride=tuple(layer["strides"]), groups=groups)


def main(folder):
    """Train, and print the accuracy."""
    with open(folder + "/setup.json", encoding="utf-8") as file:
        setup = json.load(file)
    arrays = dict(np.load(folder + "/data.npz"))
    x_train, x_test = (torch.from_numpy(arrays.pop(name)).permute(0, 3, 1, 2) for name in ("x_train", "x_test"))
    y_train, y_test = (torch.from_numpy(arrays.pop(name)).long() for name in ("y_train", "y_test"))
    batches = torch.from_numpy(arrays.pop("batches")).long()
    network = Network(setup["layers"], setup["bits"], arrays)
    network.train()
    with torch.no_grad():  # scales start from the first batch
        network(x_train[batches[0]])
    optimizer = torch.optim.Adam(network.parameters(), setup["learning_rate"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for batch in batches:
        optimizer.zero_grad()
        functional.cross_entropy(network(x_train[batch]), y_train[batch]).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        found = [network(part).argmax(1) for part in x_test.split(EVALUATED_AT_ONCE)]
    print(float((torch.cat(found) == y_test).float().mean()))


if __name__ == "__main__":
    main(sys.argv[1])
