"""Export to C: sources with golden vectors, proven by the machine's compiler and measured in it."""

from pathlib import Path
from typing import Dict, Union

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.c.arrays import golden_count
from qatviz.export.c.calls import output_offsets
from qatviz.export.c.footprint import footprints
from qatviz.export.c.lowering import CModel, c_model
from qatviz.export.c.runner import Compiler, CRunner, NoCompiler, find_compiler
from qatviz.export.formats import Options, Written
from qatviz.export.guide.expected import Check, Expected
from qatviz.export.guide.guide import Guide, input_codes, input_texts, output_texts, values_of_codes
from qatviz.export.integers.input_formula import values_formula
from qatviz.export.integers.lowering import exported_model
from qatviz.export.integers.model import IntegerModel, IntegerTensor
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import ROUNDED_ONCE, Runtime
from qatviz.export.proof.report import GOLDEN_EXAMPLES, Exported, ParityReport, prove
from qatviz.export.proof.unrun import UnrunReport, no_runtime, prove_unrun
from qatviz.export.source import ExportSource, HeldOut
from qatviz.inputs import row_length
from qatviz.network.layer import element_count
from qatviz.quant.softmax_codes import softmax_codes

_Report = Union[ParityReport, UnrunReport]
#: Advice in the proof if there is no compiler.
_ADVICE = (
    "To check the compiled C, run `make test` on a machine with a C compiler, or export again there (CC can name\n"
    "the compiler)."
)


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as C, with its proof.

    The proof compiles and runs the sources with the machine's C compiler; without one, the report says so
    (:class:`qatviz.export.proof.unrun.UnrunReport`). Safe on any thread; uses a session of its own.

    Raises
    ------
    ExportError
        If there is no integer model, if the compiler refuses the sources or they fail their self test, or if a file
        can't be written; then none is.
    Cancelled
    """
    progress.at("computing the integer model", 0.0)
    model = exported_model(source)
    held_out = source.held_out()
    progress.at("writing the source", 0.05)
    written = _source(model, held_out, options, values_formula(source.dataset))
    compiler = _compiler()
    progress.at("building the evaluation graph", 0.1)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        report = _proof(model, written, compiler, graph, held_out, progress.part(0.2, 0.97))
    report = _measured(report, written, compiler, progress.part(0.97, 0.98))
    if options["softmax"]:
        logit_codes = report.golden["simulator_output"].astype(np.int32)
        found = softmax_codes(logit_codes, model.logits.scale).astype(written.output.dtype)
        report = report.with_golden({"output": found})
    progress.at("writing the files", 0.98)
    guide = _guide(source, model, written)
    return Written(write_export(path, written.files, report, source.book, guide=guide), report)


def _guide(source: ExportSource, model: IntegerModel, written: CModel) -> Guide:
    """Return the statements on the sources for the README, and the check that runs the golden vectors in them."""
    key, what = ("output", "probability") if written.softmax else ("simulator_output", "logit")
    exact = Expected(key, "the integers of the network, exactly", 1.0, 0.0)
    ends = [offset + element_count(tensor.shape) for offset, tensor in zip(output_offsets(model), written.outputs)]
    slices = ", ".join(f"slice({offset}, {end})" for offset, end in zip(output_offsets(model), ends))
    part = f"[:, [{slices}][output]]" if model.further else ""
    values = (("dtype", written.dtype.name), ("part", part))
    check = Check("c", "a C compiler (CC names it, or else cc)", "input", (exact,), values=values)
    return Guide(
        source,
        "C99",
        input_texts(model, lambda tensor: (input_codes(tensor, tensor.dtype.name),)),
        output_texts(source, model, lambda head: _values(written.output if written.softmax else head.logits, what)),
        written.use,
        check,
    )


def _values(output: IntegerTensor, what: str) -> str:
    return values_of_codes(output.scale, output.zero_point, what)


def _source(model: IntegerModel, held_out: HeldOut, options: Options, values: str) -> CModel:
    """Return the sources with golden vectors of the first held-out examples; ``values`` is that of :func:`c_model`."""
    count = golden_count(GOLDEN_EXAMPLES, row_length([(tensor.name, tensor.shape) for tensor in model.inputs]))
    codes = quantize_input(model, held_out.images[:count])
    computed = run_codes(model, codes, model.outputs)
    found = computed[model.output]
    if model.further:
        found = np.concatenate([computed[name].reshape(len(codes), -1) for name in model.outputs], axis=1)
    if options["softmax"]:
        found = softmax_codes(found, model.logits.scale)
    return c_model(model, codes, found, options["pack_int4"], values, options["softmax"], options["library"])


def _compiler() -> Union[Compiler, NoCompiler]:
    """Return the machine's compiler, or the reason why there is none."""
    try:
        return find_compiler()
    except NoCompiler as missing:
        return missing


def _proof(
    model: IntegerModel,
    written: CModel,
    compiler: Union[Compiler, NoCompiler],
    graph: EvaluationGraph,
    held_out: HeldOut,
    progress: Progress,
) -> _Report:
    """Return the proof, of the compiled sources if there is a compiler."""
    if isinstance(compiler, NoCompiler):
        unrun = _exported(written, "nothing", no_runtime)
        return prove_unrun(model, unrun, str(compiler), _ADVICE, graph, *held_out, progress)

    def check() -> None:
        progress.at("compiling", 0.0)

    check()
    with CRunner(written, compiler, check=check) as runner, CRunner(written, compiler, True, check=check) as dumping:

        def logits_below_softmax(codes: np.ndarray) -> Dict[str, np.ndarray]:
            return _checked_logits(model, dumping.run(codes), runner.run(codes)[written.output.name])

        run = logits_below_softmax if written.softmax else runner.run
        exported = _exported(written, compiler.version, run)._replace(run_layers=dumping.run)
        return prove(model, exported, graph, *held_out, progress)


def _measured(report: _Report, written: CModel, compiler: Union[Compiler, NoCompiler], progress: Progress) -> _Report:
    """Return a report with sizes of the compiled code."""

    def check() -> None:
        progress.at("measuring the compiled code", 0.0)

    check()
    sizes = footprints(written, None if isinstance(compiler, NoCompiler) else compiler, check)
    return report.with_footprints(sizes.found).with_notes((*report.notes, *sizes.notes))


def _checked_logits(model: IntegerModel, layers: Dict[str, np.ndarray], found: np.ndarray) -> Dict[str, np.ndarray]:
    """Return the codes of all layers if those of the probabilities follow from the logits; raise otherwise."""
    different = np.count_nonzero(found != softmax_codes(layers[model.output], model.logits.scale))
    if different:
        raise ExportError(
            f"the compiled softmax differs from LiteRT's in {different:,} of {found.size:,} codes; expected equal "
            "ones, from a compiler that follows IEEE 754"
        )
    return layers


def _exported(written: CModel, runtime: str, run: Runtime) -> Exported:
    text = sum(map(len, written.files.values()))
    note = "its size is that of its constants; {:,} bytes of RAM are for the layers, and {:,} bytes of source are text"
    notes = [note.format(written.arena, text)]
    if written.softmax:
        notes.append("its output is probabilities: LiteRT's softmax (that of x86-64) of the logits compared here")
    return Exported("C", runtime, run, run, written.constants, ROUNDED_ONCE, tuple(notes))
