"""Export to ONNX in float."""

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, named_values, prove_simulation
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide, images_in_layout, real_check
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.newer_python import NewerPython
from qatviz.export.onnx.description import input_texts, port_text
from qatviz.export.onnx.file import onnx_package
from qatviz.export.onnx.limits import NCHW, OPSET_13
from qatviz.export.onnx.runtime import OnnxSession, find_newer, onnxruntime_package, runtime_name
from qatviz.export.onnx_float.lowering import TITLE, FloatFile, float_file, shipped_file
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.values import ValueReport
from qatviz.export.source import ExportSource
from qatviz.network.checks import INPUT
from qatviz.network.inputs import NetworkInput

_NOTE = (
    "not quantized: tensors have the names of the export as AIMET encodings, which gives their scales and offsets; "
    "batch norm is folded into weights and biases"
)


class OnnxFloatRunner:
    """Runner of a float file in onnxruntime. One thread at a time; use as a context manager.

    Parameters
    ----------
    file : FloatFile
    newer : NewerPython, optional
        Run it in this Python's onnxruntime.
    inputs : sequence of NetworkInput
        Inputs of the network.

    Raises
    ------
    ExportError
        If onnxruntime is missing or refuses the file.
    """

    def __init__(self, file: FloatFile, newer: Optional[NewerPython] = None, inputs: Sequence[NetworkInput] = ()):
        self._file, self._inputs = file, inputs
        self._session = OnnxSession(file.content, newer=newer)

    def __enter__(self) -> "OnnxFloatRunner":
        return self

    def __exit__(self, *_: Any) -> None:
        self._session.close()

    def values(self, images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        """Return the float32 values of the named outputs for float32 ``images`` ``[n] + input shape``."""
        found = self._session.run(images, self._file.layout, self._file.channels_last, self._inputs)
        return named_values(self._file.outputs, found, names)


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a float ONNX file, with its proof.

    Safe on any thread; uses a session of its own. The proof compares logits, whatever the file's output is.

    Raises
    ------
    ExportError
        If an array or a package is missing, or a file can't be written; then none is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    for package in (onnx_package, onnxruntime_package):
        package()
    model = fake_quant_model(source.network, source.book, source.arrays, source.step, False, source.metadata)
    progress.at("writing the operations", 0.05)
    file = shipped_file(model, source, options)
    newer, opset, notes = _runtime(options["opset"])
    file_of_logits = float_file(model, layout=options["layout"], opset=opset)
    with OnnxFloatRunner(file_of_logits, newer, source.network.inputs) as logits:
        simulation = Simulation("ONNX float", runtime_name(newer), logits.values, len(file.content), notes)
        report = prove_simulation(model, simulation, source, False, progress.part(0.1, 0.98))
    assert isinstance(report, ValueReport)
    report = report.with_golden(_vectors(report.golden, options))
    progress.at("writing the files", 0.98)
    guide = Guide(
        source,
        TITLE,
        input_texts(source.network, file.layout, INPUT),
        tuple(port_text(port, shape, file.layout) for port, shape in zip(file.ports, source.network.output_shapes)),
        ("Tensors have the names of the export as AIMET encodings.",),
        real_check(report, "onnx", "onnxruntime", level="ORT_ENABLE_ALL"),
    )
    return Written(write_export(path, file.content, report, source.book, guide=guide), report)


def _runtime(opset: str) -> Tuple[Optional[NewerPython], str, Tuple[str, ...]]:
    """Return the newer Python to prove a file in (None for this one), the operator set that it runs, and notes."""
    if opset == OPSET_13:
        return None, opset, (_NOTE,)
    newer = find_newer()
    if isinstance(newer, NewerPython):
        return newer, opset, (_NOTE,)
    unrun = (
        f"the same operations were run in operator set {OPSET_13}, and the file was not: there is no onnxruntime for "
        f"operator set {opset}: {newer}"
    )
    return None, OPSET_13, (_NOTE, unrun)


def _vectors(golden: Mapping[str, np.ndarray], options: Options) -> Dict[str, np.ndarray]:
    """Return golden vectors in the file's own layout and with its own output."""
    outputs = {name: array for name, array in golden.items() if name.startswith("expected_output")}
    if options["softmax"]:
        outputs = {name: softmax_of(array) for name, array in outputs.items()}
    arrays = {key.replace("images", "file_input"): golden[key] for key in golden if key.startswith("images")}
    arrays.update(outputs)
    return {name: images_in_layout(array, options["layout"] == NCHW) for name, array in arrays.items()}
