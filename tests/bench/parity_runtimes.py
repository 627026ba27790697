"""Exported forms of a network and their runtimes in this Python and its compilers, for the parity table.

A form's name is ``FORMAT/RUNTIME``. A form runs the content of its export, from codes to codes.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.fake_quant import proof as fake_quant_proof
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.formats import FORMATS
from qatviz.export.graphs import frozen, savedmodel
from qatviz.export.graphs.export import EXACT, graph_about
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.graphs.runtime import RUNTIME, GraphRunner
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.export.proof.parity import ROUNDED_ONCE, Agreement, Runtime
from qatviz.export.source import ExportSource

#: Number of digits and of random inputs; fewer in TensorFlow 1.15's interpreter, which does some 150 million
#: multiplications a second.
EXAMPLES, FEW_EXAMPLES = 1000, 250
#: Compiler whose programs run in QEMU.
_AARCH64 = Path(__file__).resolve().parents[1] / "export" / "aarch64-cc"


class Loaded(NamedTuple):
    """A file, ready to run.

    Attributes
    ----------
    runtime : str
        Name with version.
    run : callable
        Function from codes of the input to codes of the output, by name.
    reached : Agreement
        Agreement known for the runtime in networks of a few layers.
    nbytes : int
        Size of the file; None if there is none.
    """

    runtime: str
    run: Runtime
    reached: Agreement
    nbytes: Optional[int] = None


class Form(NamedTuple):
    """Form of an export: format (None for the simulator), its options, loader, number of examples, batch size."""

    format: Any
    options: Dict[str, Any]
    load: Callable
    examples: int = EXAMPLES
    batch: int = 250


@contextmanager
def loaded(form: Form, source: ExportSource, model: IntegerModel) -> Iterator[Loaded]:
    """Yield a form of the model of ``source``; raise :class:`ExportError` with the reason if there is none."""
    options = {}
    if form.format is not None:
        chosen = FORMATS[form.format]
        options = chosen.with_defaults(form.options)
        refusals = chosen.limits(source.network, source.book, source.step, options)
        if refusals:
            raise ExportError.refused(*refusals)
    with form.load(source, model, options) as found:
        yield found


class NotRun(Exception):
    """A runtime is missing on this machine."""


@contextmanager
def _simulator(source, model, options):
    reached = Agreement(0.995, 1, 1.0)
    yield Loaded("integer simulator", lambda codes: run_codes(model, codes, [model.output]), reached)


def tflite_file(model, options):
    """Return the TFLite file of a model."""
    from qatviz.export.tflite.lowering import tflite_model

    return tflite_model(
        model,
        multiply_codes=not options["plain_codes"],
        int4=options["int4"],
        int16=options["int16"],
        double_rounding=options["double_rounding"],
        int4_all=options["int4_all"],
    )


@contextmanager
def _interpreter(source, model, options):
    from qatviz.export.tflite.runtime import RUNTIME, TfliteRunner, reached

    file = tflite_file(model, options)
    if file.only_litert:
        raise ExportError(f"{RUNTIME}: lacks kernels of the file")
    yield Loaded(RUNTIME, TfliteRunner(file).run, reached(model), len(file.content))


def litert_kernels(kernels=None):
    """Return the loader of a file in LiteRT, with other kernels than by default if named."""

    @contextmanager
    def load(source, model, options):
        from qatviz.export.tflite import litert
        from qatviz.export.tflite.runtime import reached as reached_with_double_rounding

        file = tflite_file(model, options)
        try:
            found = litert.find_litert()
        except litert.LitertMissing as missing:
            raise NotRun(str(missing)) from missing
        reached = litert.reached(file)
        if kernels == litert.BUILTIN and file.dtype != np.int16:
            reached = reached_with_double_rounding(model)
        with litert.LitertRunner(found, file, kernels or litert.XNNPACK) as runner:
            yield Loaded(found.name, runner.run, reached, len(file.content))

    return load


def onnx_file(model, options):
    """Return the ONNX file of a model."""
    from qatviz.export.onnx.lowering import onnx_model

    return onnx_model(model, **{name: options[name] for name in ("layout", "storage", "exact")})


@contextmanager
def _onnxruntime(source, model, options):
    from qatviz.export.onnx.runtime import OnnxRunner, runtime_name

    file = onnx_file(model, options)
    yield Loaded(runtime_name(), OnnxRunner(model, file).run, ROUNDED_ONCE, len(file.content))


def _c(command=None, flags=()):
    """Return the loader of C, compiled by the machine's compiler, or by the one named, with more flags."""

    @contextmanager
    def load(source, model, options):
        from qatviz.export.c.lowering import c_model
        from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler

        golden = quantize_input(model, source.held_out().images[:1])
        written = c_model(model, golden, run_codes(model, golden, [model.output])[model.output], options["pack_int4"])
        try:
            compiler = find_compiler(dict(os.environ, CC=command) if command else None)
        except NoCompiler as missing:
            raise NotRun(str(missing)) from missing
        with CRunner(written, compiler, flags=flags) as runner:
            yield Loaded(compiler.version, runner.run, ROUNDED_ONCE, written.constants)

    return load


@contextmanager
def _npz(source, model, options):
    from qatviz.export.npz.export import RUNTIME
    from qatviz.export.npz.format import SUFFIX, to_files
    from qatviz.export.npz.reader import load_integer_model

    arrays, described = to_files(model)
    with tempfile.TemporaryDirectory(prefix="qatviz-npz-") as directory:
        path = Path(directory) / "model.npz"
        path.write_bytes(arrays)
        path.with_suffix(SUFFIX).write_bytes(described)
        found = load_integer_model(path)
    yield Loaded(
        RUNTIME, lambda codes: run_codes(found, codes, [found.output]), ROUNDED_ONCE, len(arrays) + len(described)
    )


def packed_graph(source, options, kind):
    """Return a "savedmodel" or "frozen" graph, packed, and the agreement known for it in TensorFlow."""
    packed, _ = _graph(source, options, kind)
    return packed, fake_quant_proof.REACHED


def _graph(source, options, kind):
    about = graph_about(source, options["form"])
    parts = fake_quant_model(source.network, source.book, source.arrays, source.step, True, source.metadata)
    graph = inference_graph(parts, about, exact=options["form"] == EXACT)
    return {"savedmodel": savedmodel, "frozen": frozen}[kind].packed(graph, about), graph


def _in_tensorflow(kind):
    @contextmanager
    def load(source, model, options):
        packed, graph = _graph(source, options, kind)
        with GraphRunner(packed.definition, graph.tensors, graph.inputs) as runner:
            run = fake_quant_proof.codes_runtime(model, runner.values, [model.output])
            yield Loaded(RUNTIME, run, fake_quant_proof.REACHED, packed.nbytes)

    return load


#: Forms of the table by name; the simulator is the reference.
FORMS = {
    "simulator": Form(None, {}, _simulator),
    "npz/simulator": Form("npz", {}, _npz),
    "c/compiled": Form("c", {}, _c()),
    "tflite/interpreter": Form("tflite", {}, _interpreter, FEW_EXAMPLES),
    "tflite-double-rounding/interpreter": Form("tflite", {"double_rounding": True}, _interpreter, FEW_EXAMPLES),
    "tflite/litert": Form("tflite", {}, litert_kernels()),
    "onnx/onnxruntime": Form("onnx", {}, _onnxruntime),
    "onnx-exact/onnxruntime": Form("onnx", {"exact": True}, _onnxruntime),
    "savedmodel/tensorflow": Form("savedmodel", {}, _in_tensorflow("savedmodel")),
    "frozen/tensorflow": Form("frozen", {}, _in_tensorflow("frozen")),
    "frozen-exact/tensorflow": Form("frozen", {"form": "exact"}, _in_tensorflow("frozen")),
}
#: C by other compilers and for other targets.
C_FORMS = {
    "c/gcc": Form("c", {}, _c("gcc")),
    "c/clang": Form("c", {}, _c("clang")),
    "c/gcc-m32": Form("c", {}, _c("gcc -m32")),
    "c/aarch64": Form("c", {}, _c(str(_AARCH64)), FEW_EXAMPLES),
    "c/sanitized": Form("c", {}, _c("gcc", ("-fsanitize=address,undefined", "-fno-sanitize-recover")), FEW_EXAMPLES),
}
#: Forms with options of TFLite.
MORE_FORMS = {
    "tflite-int4/litert": Form("tflite", {"int4": True}, litert_kernels()),
    "tflite-int4-all/litert": Form("tflite", {"int4": True, "int4_all": True}, litert_kernels()),
    "tflite-int16/litert": Form("tflite", {"int16": True}, litert_kernels()),
}
