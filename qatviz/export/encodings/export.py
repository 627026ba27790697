"""Export to encodings in AIMET's form."""

from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from qatviz.export.encodings.format import read_json
from qatviz.export.encodings.report import EncodingsReport, TensorAgreement
from qatviz.export.encodings.tensors import ACTIVATIONS, BIAS, WEIGHTS, EncodedTensor, bias_codes, encoded_tensors
from qatviz.export.encodings.torch_format import SUFFIX, files_of
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph, Rounded
from qatviz.export.proof.parity import Tally, codes_of, inner_examples
from qatviz.export.source import ExportSource
from qatviz.network.layers import BatchNorm
from qatviz.quant.affine import AffineGrid, quantize
from qatviz.quant.int16_kernels import NARROW_BITS

#: Batch size, small because all activations of a batch are in memory.
_BATCH = 16


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write the grids of a state of a run as encodings, with the proof that they equal those of the evaluation graph.

    There are two files, as in AIMET's own exports: one by tensors of an ONNX graph, and one by modules for aimet-torch
    (:mod:`qatviz.export.encodings.torch_format`). Neither lists tensors that are left in float. Safe on any thread;
    uses a session of its own.

    Raises
    ------
    ExportError
        If a grid can't be computed or expressed, or a file can't be written; then none is.
    Cancelled
    """
    progress.at("computing the grids", 0.0)
    state = PartlyQuantizedState(source.network, source.book, source.arrays, source.step)
    tensors, notes = encoded_tensors(state)
    version = options["encodings_version"]
    content, beside = files_of(tensors, state.plan, version)
    grids = read_json(content, str(path))
    progress.at("building the evaluation graph", 0.1)
    images = inner_examples(source.held_out().images)
    tallies = {tensor.name: Tally() for tensor in tensors}
    counts = dict.fromkeys(tallies, 0)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        for start in range(0, len(images), _BATCH):
            progress.at("comparing the codes", 0.2 + 0.75 * start / len(images))
            found = graph.rounded(images[start : start + _BATCH])
            for tensor in tensors:
                if (tensor.kind == WEIGHTS and start) or tensor.kind == BIAS:
                    continue
                _compare(state, tensor, grids.get(tensor.name), found, tallies, counts)
    _compare_biases(state, tensors, grids, tallies, counts)
    about = {"format": f"AIMET encodings {version}", "version": version, "network": source.network.name}
    report = EncodingsReport(
        dict(source.metadata, **about),
        len(images),
        tuple(_agreement(tensor, grids.get(tensor.name), tallies, counts) for tensor in tensors),
        {"file": len(content) + sum(map(len, beside.values())), "float32 parameters": _float_bytes(state)},
        tuple(notes + _about(state, tensors, version)),
    )
    progress.at("writing the files", 0.98)
    guide = Guide(
        source,
        f"AIMET encodings {version}",
        ("The model that the encodings belong to is fed these values.",),
        (),
        (
            "aimet-onnx: export the run as onnx-float, too, and load both: `sim = "
            f"QuantizationSimModel(onnx.load(model))`, `load_encodings_to_sim(sim, '{path.name}', strict=False)`.",
            "aimet-torch: `sim.load_encodings(file, partial=False)` with the file "
            f"`{path.stem}{SUFFIX}`; modules need the names of the layers, with batch norm folded.",
        ),
    )
    return Written(write_export(path, content, report, source.book, beside, guide), report)


def _compare(
    state: PartlyQuantizedState,
    tensor: EncodedTensor,
    grid: Optional[AffineGrid],
    found: Dict[str, Rounded],
    tallies: Dict[str, Tally],
    counts: Dict[str, int],
) -> None:
    """Compare the codes of a quantizer's input on the file's grid with the codes of its output."""
    name = tensor.name if tensor.kind == WEIGHTS else _quantizer(state, tensor.layer)
    if tensor.grid is None or grid is None or name not in found:
        return
    before, after = (part.reshape(-1, max(tensor.grid.scale.size, 1)) for part in found[name])
    tallies[tensor.name].add(codes_of(after, tensor.grid), quantize(before, grid))
    counts[tensor.name] += before.size


def _compare_biases(
    state: PartlyQuantizedState,
    tensors: Sequence[EncodedTensor],
    grids: Dict[str, Optional[AffineGrid]],
    tallies: Dict[str, Tally],
    counts: Dict[str, int],
) -> None:
    known = {tensor.name: tensor.grid for tensor in tensors if tensor.kind == BIAS}
    for unit in state.plan.units:
        name = unit.name + ".bias"
        own, read = known.get(name), grids.get(name)
        if unit.owns_weights and own is not None and read is not None:
            bias = state.folded(unit).bias
            tallies[name].add(
                bias_codes(bias, own.scale).astype(np.int64), bias_codes(bias, read.scale).astype(np.int64)
            )
            counts[name] += bias.size


def _quantizer(state: PartlyQuantizedState, layer: str) -> str:
    """Return the name of the quantizer of a layer's own output, which does not exist if the layer copies codes."""
    if layer in state.network.input_names:
        return layer + ".activations"
    unit = next(unit for unit in state.plan.units if unit.output == layer)
    return unit.name + ".activations"


def _agreement(
    tensor: EncodedTensor, grid: Optional[AffineGrid], tallies: Dict[str, Tally], counts: Dict[str, int]
) -> TensorAgreement:
    if grid is None:
        return TensorAgreement(tensor.name, tensor.kind, None, 0)
    found = tallies[tensor.name].result() if counts[tensor.name] else None
    return TensorAgreement(tensor.name, tensor.kind, grid.num_bits, max(grid.scale.size, 1), counts[tensor.name], found)


def _float_bytes(state: PartlyQuantizedState) -> int:
    folded = [state.folded(unit) for unit in state.plan.units if unit.owns_weights]
    return 4 * sum(int(part.weights.size + part.bias.size) for part in folded)


def _about(state: PartlyQuantizedState, tensors: Sequence[EncodedTensor], version: str) -> List[str]:
    notes = [
        "tensors have the names of the layers that produce them; weights and biases are <layer>.weights and "
        "<layer>.bias, as in the exports to ONNX; channels are output channels. aimet-onnx loads the file into the "
        "model of the export onnx-float: load_encodings_to_sim(sim, file, strict=False)",
        f"aimet-torch loads *{SUFFIX} into a model whose modules have the names of the layers: "
        "sim.load_encodings(file, partial=False)",
        "its size is that of both files",
    ]
    if any(isinstance(layer, BatchNorm) for layer in state.network.layers):
        notes.append("weight grids are those of weights with batch norm folded in: fold it into your model first")
    activations = [tensor.grid for tensor in tensors if tensor.kind == ACTIVATIONS and tensor.grid is not None]
    if any(grid.num_bits > NARROW_BITS for grid in activations):
        notes.append(
            f"activations have more than {NARROW_BITS} bits: evaluation here computes TFLite's int16 kernels, whose "
            "multipliers have 15 bits; AIMET simulates in float; codes can differ by about one of 65,536 per layer"
        )
    narrow = [tensor.name for tensor in tensors if tensor.grid is not None and tensor.grid.narrow_range]
    if narrow and version != "0.6.1":
        notes.append(
            f"{len(narrow)} of {len(tensors)} tensors have a narrow range, which this version can't express; no value "
            "gets their lowest code"
        )
    return notes
