"""Child process of bench_pytorch, in a newer Python: PyTorch's quantization-aware training (FX) of a network.

    python pytorch_child.py NETWORK.json BATCH_SIZE THREADS

It trains on random examples of the network's shape. For each line of its input it runs one step, and prints the step's
time in seconds.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_qat_fx


class Net(nn.Module):
    """The layers of a network of qatviz; examples are ``[batch, channels, rows, columns]``."""

    def __init__(self, described):
        super().__init__()
        rows, columns, channels = described["input_shape"]
        self.outline, sizes = [], {"input": (channels, rows, columns)}
        for layer in described["layers"]:
            name, kind, inputs = layer["name"], layer["kind"], layer["inputs"]
            module, sizes[name] = _MODULES[kind](layer, sizes[inputs[0]])
            if module is not None:
                self.add_module(name, module)
            self.outline.append((name, kind, inputs))

    def forward(self, x):
        values = {"input": x}
        for name, kind, inputs in self.outline:
            own = [values[source] for source in inputs]
            values[name] = own[0] + own[1] if kind == "Add" else getattr(self, name)(own[0])
        return values[self.outline[-1][0]]


def _convolution(layer, size, filters, groups):
    stride, kernel = layer["strides"][0], layer["kernel_size"][0]
    rows, columns = (-(-n // stride) for n in size[1:])
    module = nn.Conv2d(size[0], filters, kernel, stride, (kernel - 1) // 2, groups=groups, bias=layer["use_bias"])
    return module, (filters, rows, columns)


def _pooled(layer, size):
    window = layer["pool_size"][0]
    return nn.MaxPool2d(window, layer["strides"][0]), (size[0], size[1] // window, size[2] // window)


def _count(size):
    return int(torch.Size(size).numel())


_MODULES = {
    "Conv2D": lambda layer, size: _convolution(layer, size, layer["filters"], 1),
    "DepthwiseConv2D": lambda layer, size: _convolution(layer, size, size[0], size[0]),
    "Dense": lambda layer, size: (nn.Linear(_count(size), layer["units"]), (layer["units"],)),
    "BatchNorm": lambda layer, size: (nn.BatchNorm2d(size[0], layer["epsilon"], 1 - layer["momentum"]), size),
    "ReLU": lambda layer, size: (nn.ReLU(), size),
    "MaxPool": _pooled,
    "Flatten": lambda layer, size: (nn.Flatten(), (_count(size),)),
    "GlobalAveragePool": lambda layer, size: (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (size[0],)),
    "Add": lambda layer, size: (None, size),
}


def main(path, batch_size, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with open(path) as file:
        described = json.load(file)
    rows, columns, channels = described["input_shape"]
    examples = torch.rand(1024, channels, rows, columns)
    labels = torch.randint(0, 10, (1024,))
    net = prepare_qat_fx(Net(described).train(), get_default_qat_qconfig_mapping("fbgemm"), (examples[:batch_size],))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    loss = nn.CrossEntropyLoss()
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        start = number * batch_size % (len(examples) - batch_size)
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss(net(examples[start : start + batch_size]), labels[start : start + batch_size]).backward()
        optimizer.step()
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
