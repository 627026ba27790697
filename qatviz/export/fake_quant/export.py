"""Export to a float TFLite file that simulates quantization."""

from pathlib import Path
from typing import Dict, Sequence

import numpy as np

from qatviz.export.fake_quant.lowering import FakeQuantFile, fake_quant_file, shipped_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, named_values, prove_simulation, with_real_vectors
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide, real_check
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.source import ExportSource
from qatviz.export.tflite.file import SIGNATURE
from qatviz.export.tflite.metadata import reading_texts
from qatviz.export.tflite.runtime import RUNTIME, Interpreter

_NOTE = (
    "a simulation: computed in float, with FAKE_QUANT operations that round to the values of the codes; as large "
    "and as slow as a float file"
)


class FakeQuantRunner:
    """Runner of a float TFLite file in TensorFlow 1.15's own interpreter. One thread at a time.

    Raises
    ------
    ExportError
        If the interpreter refuses the file.
    """

    def __init__(self, file: FakeQuantFile):
        self._file, self._interpreter = file, Interpreter(file.content, file.single)

    def values(self, images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        """Return the float32 values of the named outputs for float32 ``images`` ``[n] + input shape``."""
        return named_values(self._file.outputs, self._interpreter.run(images), names)


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a float TFLite file with FAKE_QUANT operations, with its proof.

    Safe on any thread; uses a session of its own. The proof compares logits, whatever the file's output is.

    Raises
    ------
    ExportError
        If an array is missing, no ranges were observed yet, or a file can't be written; then none is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    model = fake_quant_model(source.network, source.book, source.arrays, source.step, metadata=source.metadata)
    progress.at("writing the operations", 0.05)
    file = shipped_file(model, source, options)
    logits, outputs = FakeQuantRunner(fake_quant_file(model)), list(source.network.outputs)
    layers = FakeQuantRunner(
        fake_quant_file(model, outputs=list(dict.fromkeys(part.unit.output for part in model.units)))
    )

    def values(images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        return (logits if list(names) == outputs else layers).values(images, names)

    simulation = Simulation("TFLite float with FAKE_QUANT (a simulation)", RUNTIME, values, len(file.content), (_NOTE,))
    report = prove_simulation(model, simulation, source, True, progress.part(0.1, 0.98))
    report = with_real_vectors(report, options["softmax"])
    progress.at("writing the files", 0.98)
    guide = Guide(
        source,
        "TensorFlow Lite, float with FAKE_QUANT",
        tuple(
            f"Tensor `{name}`: {source.network.input_type(name)} {['batch', *shape]}."
            for name, shape in source.network.inputs
        ),
        tuple(
            f"Tensor `{tensor}`: float32 {['batch', *shape]}: {'probabilities' if options['softmax'] else 'logits'}."
            for tensor, shape in zip(file.tensors, source.network.output_shapes)
        ),
        reading_texts(source, SIGNATURE, source.network.input_names, file.tensors),
        real_check(report, "tflite", "LiteRT (ai-edge-litert), tflite_runtime or TensorFlow", options["softmax"]),
    )
    return Written(write_export(path, file.content, report, source.book, guide=guide), report)
