"""AIMET, whose packages aimet-torch and aimet-onnx need a newer Python than TensorFlow 1.15.

They are those of the Python that QATVIZ_AIMET_PYTHON names, or of the first one on PATH that has them.
"""

import json

import newer_python
import numpy as np

VARIABLE = "QATVIZ_AIMET_PYTHON"
MISSING = "there is no newer Python with {}; " + VARIABLE + " can name one"
#: Loads files of encodings into the simulation of an ONNX model with AIMET's default configuration.
_ONNX = """
import json, sys
import numpy as np
import onnx
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim
images, grids = np.load("images.npy"), []
for place, path in enumerate(sys.argv[1:]):
    sim = QuantizationSimModel(onnx.load("model.onnx"))
    load_encodings_to_sim(sim, path, strict=False)
    (outputs,) = sim.session.run(None, {"input": images})
    np.save("outputs{}.npy".format(place), outputs)
    grids.append({})
    for name, quantizer in sim.qc_quantize_op_dict.items():
        if quantizer.enabled:
            entries = quantizer.get_encodings()
            grids[-1][name] = [
                [entry.delta for entry in entries], [entry.offset for entry in entries], entries[0].bw
            ]
json.dump(grids, open("grids.json", "w"))
"""
#: Computes AIMET's simulation of an ONNX model from a file of version 1.0.0 alone, by standard operators after
#: each tensor. A code is floor(x / scale - offset + 0.5), clipped to 0 and 2**bits - 1; its value is (code + offset) *
#: scale. Biases are in float.
_ONNX_ARITHMETIC = """
import json
import numpy as np
import onnx, onnxruntime
from onnx import helper, numpy_helper
model, record = onnx.load("model.onnx"), json.load(open("0.encodings"))
graph, nodes, constants, renamed = model.graph, [], [], {}
def append_rounding(entry, name, shape, output):
    values = {"half": 0.5, "low": 0.0, "high": 2.0 ** entry["bw"] - 1}
    values = {key: np.float32(value) for key, value in values.items()}
    for key in ("scale", "offset"):
        values[key] = np.float32(entry[key]).reshape(shape)
    constants.extend(numpy_helper.from_array(value, name + "/" + key) for key, value in values.items())
    last = name
    for kind, key in (
        ("Div", "scale"), ("Sub", "offset"), ("Add", "half"), ("Floor", None), ("Max", "low"), ("Min", "high"),
        ("Add", "offset"), ("Mul", "scale"),
    ):
        result = output if len(nodes) and (kind, key) == ("Mul", "scale") else "{}/{}".format(name, len(nodes))
        nodes.append(helper.make_node(kind, [last] + ([name + "/" + key] if key else []), [result]))
        last = result
    renamed[name] = last
activations = {entry["name"]: entry for entry in record["activation_encodings"]}
append_rounding(activations["input"], "input", (), "input/rounded")
channels = {"Conv": 0, "Gemm": 1, "MatMul": 1, "ConvTranspose": 1}
shapes = {array.name: list(array.dims) for array in graph.initializer}
consumers = {node.input[1]: node.op_type for node in graph.node if node.op_type in channels}
for entry in record["param_encodings"]:
    if entry["bw"] < 32:
        name, shape = entry["name"], ()
        if len(entry["scale"]) > 1:
            shape = [1] * len(shapes[name])
            shape[channels[consumers[name]]] = -1
        append_rounding(entry, name, shape, name + "/rounded")
outputs = [output.name for output in graph.output]
for node in graph.node:
    node.input[:] = [renamed.get(name, name) for name in node.input]
    name = node.output[0]
    entry = activations.get(name)
    if entry and name in outputs:
        node.output[0] = name + "/exact"
        nodes.append(node)
        append_rounding(dict(entry), name + "/exact", (), name)
    else:
        nodes.append(node)
        if entry:
            append_rounding(entry, name, (), name + "/rounded")
del graph.node[:]
graph.node.extend(nodes)
graph.initializer.extend(constants)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(outputs,) = session.run(None, {"input": np.load("images.npy")})
np.save("arithmetic.npy", outputs)
"""
#: Loads a file of encodings into the simulation of a torch model with AIMET's default configuration. The model is a
#: chain of layers: their names, kinds and arguments. Then computes the same from the file alone, by torch's operators.
_TORCH = """
import json, sys
from collections import OrderedDict
import numpy as np
import torch
from aimet_torch import QuantizationSimModel


layers = json.load(open("layers.json"))
model = torch.nn.Sequential(OrderedDict(
    (name, getattr(torch.nn, kind)(*arguments)) for name, kind, arguments in layers
)).eval()
with np.load("weights.npz") as weights:
    model.load_state_dict({name: torch.tensor(weights[name]) for name in weights.files})
images = torch.tensor(np.load("images.npy"))
sim = QuantizationSimModel(model, images[:1])
sim.load_encodings(sys.argv[1], strict=True, partial=False)
grids = {}
for name, module in sim.model.named_modules():
    found = dict(getattr(module, "param_quantizers", {}))
    found.update(("input", part) for part in getattr(module, "input_quantizers", []))
    found.update(("output", part) for part in getattr(module, "output_quantizers", []))
    for what, quantizer in found.items():
        if quantizer is not None:
            entry = quantizer.get_encodings()
            offset = entry.offset - (2 ** (entry.bitwidth - 1) if entry.signed else 0)
            grids[name + "." + what] = [
                entry.scale.flatten().tolist(), offset.flatten().tolist(), entry.bitwidth
            ]
def rounded(values, entries):
    bits = entries[0]["bitwidth"]
    scales = [entry["scale"] for entry in entries]
    zeros = torch.tensor([-entry["offset"] for entry in entries], dtype=torch.int32)
    if len(entries) == 1:
        return torch.fake_quantize_per_tensor_affine(values, scales[0], int(zeros[0]), 0, 2**bits - 1)
    return torch.fake_quantize_per_channel_affine(values, torch.tensor(scales), zeros, 0, 0, 2**bits - 1)
with torch.no_grad():
    np.save("outputs0.npy", sim.model(images).numpy())
    record, values = json.load(open(sys.argv[1])), images
    for name, module in model.named_children():
        places = record["activation_encodings"].get(name, {})
        if "input" in places:
            values = rounded(values, [places["input"]["0"]])
        if name + ".weight" in record["param_encodings"]:
            module.weight.copy_(rounded(module.weight, record["param_encodings"][name + ".weight"]))
        values = module(values)
        if "output" in places:
            values = rounded(values, [places["output"]["0"]])
    np.save("arithmetic.npy", values.numpy())
json.dump([grids], open("grids.json", "w"))
"""


def find(package):
    """Return the first Python with "aimet_onnx" or "aimet_torch" (:class:`newer_python.Newer`); None if none has."""
    return newer_python.find(VARIABLE, package)


def load_onnx(newer, directory, model, images, files):
    """Return, for each of the encodings ``files``, the grids of the quantizers and the outputs for images.

    ``model`` is the content of a float ONNX file. A grid is a list of scales, one of offsets, and a number of bits.
    """
    (directory / "model.onnx").write_bytes(model)
    return _run(newer, _ONNX, directory, images, files)


def onnx_arithmetic(newer, directory):
    """Return the outputs that follow from the first file of :func:`load_onnx` by AIMET's definition of rounding."""
    newer_python.run(newer, _ONNX_ARITHMETIC, directory)
    return np.load(str(directory / "arithmetic.npy"))


def load_torch(newer, directory, layers, weights, images, file):
    """Return the grids of the quantizers of a chain of torch layers, its outputs for images, and what they should be.

    The latter follow from the file by AIMET's definition of rounding. ``layers`` are names, kinds in ``torch.nn`` and
    arguments; ``weights`` arrays by the names that torch gives them.
    """
    (directory / "layers.json").write_text(json.dumps(layers))
    np.savez(str(directory / "weights.npz"), **weights)
    ((grids, outputs),) = _run(newer, _TORCH, directory, images, [file])
    return grids, outputs, np.load(str(directory / "arithmetic.npy"))


def _run(newer, program, directory, images, files):
    np.save(str(directory / "images.npy"), images)
    for place, content in enumerate(files):
        (directory / f"{place}.encodings").write_bytes(content)
    newer_python.run(newer, program, directory, *[f"{place}.encodings" for place in range(len(files))])
    outputs = [np.load(str(directory / f"outputs{place}.npy")) for place in range(len(files))]
    return list(zip(json.loads((directory / "grids.json").read_text()), outputs))
