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
#: Loads a file of encodings into the simulation of a torch model with AIMET's default configuration. The model is a
#: chain of layers: their names, kinds and arguments.
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
with torch.no_grad():
    np.save("outputs0.npy", sim.model(images).numpy())
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


def load_torch(newer, directory, layers, weights, images, file):
    """Return the grids of the quantizers of a chain of torch layers, and its outputs for images.

    ``layers`` are names, kinds in ``torch.nn`` and arguments; ``weights`` arrays by the names that torch gives them.
    """
    (directory / "layers.json").write_text(json.dumps(layers))
    np.savez(str(directory / "weights.npz"), **weights)
    return _run(newer, _TORCH, directory, images, [file])[0]


def _run(newer, program, directory, images, files):
    np.save(str(directory / "images.npy"), images)
    for place, content in enumerate(files):
        (directory / f"{place}.encodings").write_bytes(content)
    newer_python.run(newer, program, directory, *[f"{place}.encodings" for place in range(len(files))])
    outputs = [np.load(str(directory / f"outputs{place}.npy")) for place in range(len(files))]
    return list(zip(json.loads((directory / "grids.json").read_text()), outputs))
