"""Export to ``.npz`` and ``.json``."""

import tempfile
from pathlib import Path

from qatviz.errors import ExportError
from qatviz.export.formats import Options, Written
from qatviz.export.guide.expected import NUMPY, Check, Expected
from qatviz.export.guide.guide import Guide, input_codes, input_texts, output_texts, values_of_codes
from qatviz.export.integers.lowering import exported_model
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import run_codes
from qatviz.export.npz.format import SCHEMA, SUFFIX, to_files
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import ROUNDED_ONCE
from qatviz.export.proof.report import Exported, prove
from qatviz.export.source import ExportSource

#: Name of the runtime in the proof.
RUNTIME = "the integer simulator, as read back from the files"


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as arrays and their description, with the proof.

    The proof reads the files back. Safe on any thread; uses a session of its own.

    Raises
    ------
    ExportError
        If there is no integer model, or a file can't be written; then none is.
    Cancelled
    """
    if path.suffix.lower() == SUFFIX:
        raise ExportError(
            f"{path}: is the name of the description, which is written beside the arrays; expected a name "
            "that ends in .npz"
        )
    progress.at("computing the integer model", 0.0)
    model = exported_model(source)
    progress.at("writing the arrays", 0.05)
    arrays, described = to_files(model)
    found = _read_back(arrays, described)
    tensors = [op.output for op in found.ops]
    exported = Exported(
        f"NumPy arrays ({SCHEMA})",
        RUNTIME,
        lambda codes: run_codes(found, codes, found.outputs),
        lambda codes: run_codes(found, codes, tensors),
        len(arrays) + len(described),
        ROUNDED_ONCE,
        ("its size is that of both files",),
    )
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = prove(model, exported, graph, *source.held_out(), progress.part(0.2, 0.98))
    progress.at("writing the files", 0.98)
    guide = Guide(
        source,
        "NumPy arrays and JSON",
        input_texts(model, lambda tensor: (input_codes(tensor, "integers"),)),
        output_texts(source, model, lambda head: values_of_codes(head.logits.scale, head.logits.zero_point)),
        (f"The description, *{SUFFIX}, says how each layer is computed; the check program is an evaluator of it.",),
        Check("npz", NUMPY, "images", (Expected("simulator_output", "the integers of the network", 1.0, 0.0),)),
    )
    return Written(write_export(path, arrays, report, source.book, {SUFFIX: described}, guide), report)


def _read_back(arrays: bytes, described: bytes) -> IntegerModel:
    with tempfile.TemporaryDirectory(prefix="qatviz-npz-") as name:
        path = Path(name) / "model.npz"
        path.write_bytes(arrays)
        path.with_suffix(SUFFIX).write_bytes(described)
        return load_integer_model(path)
