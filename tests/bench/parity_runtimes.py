"""Exported forms of a network and their runtimes, for the parity table.

A form's name is ``FORMAT/RUNTIME``. A form runs the content of its export, from codes to codes.
"""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import dequantize, quantize_input, run_codes
from qatviz.export.proof.parity import Agreement, Runtime, codes_of
from qatviz.export.source import ExportSource

#: Number of digits and of random inputs; fewer in TensorFlow 1.15's interpreter, which does some 150 million
#: multiplications a second.
EXAMPLES, FEW_EXAMPLES = 1000, 250


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
    """Form of an export: format (None for the simulator), its options, loader, number of examples."""

    format: Any
    options: Dict[str, Any]
    load: Callable
    examples: int = EXAMPLES


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


def _tflite_model(model, options):
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

    file = _tflite_model(model, options)
    yield Loaded(RUNTIME, TfliteRunner(file).run, reached(model), len(file.content))


@contextmanager
def _litert(source, model, options):
    from qatviz.export.tflite.litert import LitertMissing, LitertRunner, find_litert, reached

    file = _tflite_model(model, options)
    try:
        litert = find_litert()
    except LitertMissing as missing:
        raise NotRun(str(missing)) from missing
    with LitertRunner(litert, file) as runner:
        yield Loaded(litert.name, runner.run, reached(file), len(file.content))


def _onnx_model(model, options):
    from qatviz.export.onnx.lowering import onnx_model

    return onnx_model(model, **{name: options[name] for name in ("layout", "storage", "exact")})


@contextmanager
def _onnxruntime(source, model, options):
    from qatviz.export.onnx.runtime import REACHED, OnnxRunner, runtime_name

    file = _onnx_model(model, options)
    yield Loaded(runtime_name(), OnnxRunner(model, file).run, REACHED, len(file.content))


@contextmanager
def _newer_onnxruntime(source, model, options):
    import newer_onnxruntime

    from qatviz.export.onnx.runtime import REACHED

    file, newer = _onnx_model(model, options), newer_onnxruntime.find()
    if newer is None:
        raise NotRun(newer_onnxruntime.MISSING)
    with tempfile.TemporaryDirectory(prefix="qatviz-onnx-") as directory:

        def run(codes):
            images = dequantize(model.tensor(model.input), codes)
            ((logits,),) = newer_onnxruntime.run_files(newer, Path(directory), images, file)
            return {model.output: codes_of(logits, model.logits)}

        yield Loaded(f"onnxruntime {newer.version}", run, REACHED, len(file.content))


@contextmanager
def _c(source, model, options):
    from qatviz.export.c.lowering import c_model
    from qatviz.export.c.runner import REACHED, CRunner, NoCompiler, find_compiler

    golden = quantize_input(model, source.held_out().images[:1])
    written = c_model(model, golden, run_codes(model, golden, [model.output])[model.output], options["pack_int4"])
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        raise NotRun(str(missing)) from missing
    with CRunner(written, compiler) as runner:
        yield Loaded(compiler.version, runner.run, REACHED, written.constants)


@contextmanager
def _npz(source, model, options):
    from qatviz.export.npz.export import REACHED, RUNTIME, SUFFIX
    from qatviz.export.npz.format import to_files
    from qatviz.export.npz.reader import load_integer_model

    arrays, described = to_files(model)
    with tempfile.TemporaryDirectory(prefix="qatviz-npz-") as directory:
        path = Path(directory) / "model.npz"
        path.write_bytes(arrays)
        path.with_suffix(SUFFIX).write_bytes(described)
        found = load_integer_model(path)
    yield Loaded(RUNTIME, lambda codes: run_codes(found, codes, [found.output]), REACHED, len(arrays) + len(described))


@contextmanager
def _in_tensorflow(source, model, options, packing):
    from qatviz.export.fake_quant.model import fake_quant_model
    from qatviz.export.fake_quant.proof import REACHED, codes_runtime
    from qatviz.export.graphs.export import EXACT, graph_about
    from qatviz.export.graphs.lowering import inference_graph
    from qatviz.export.graphs.runtime import RUNTIME, GraphRunner

    parts = fake_quant_model(source.network, source.book, source.arrays, source.step, True, source.metadata)
    about = graph_about(source, options["form"])
    graph = inference_graph(parts, about, exact=options["form"] == EXACT)
    packed = packing._packed(graph, about)
    with GraphRunner(packed.definition, graph.tensors) as runner:
        yield Loaded(RUNTIME, codes_runtime(model, runner.values, [model.output]), REACHED, packed.nbytes)


def _frozen(source, model, options):
    from qatviz.export.graphs import frozen

    return _in_tensorflow(source, model, options, frozen)


def _savedmodel(source, model, options):
    from qatviz.export.graphs import savedmodel

    return _in_tensorflow(source, model, options, savedmodel)


#: Forms of the table by name; the simulator is the reference.
FORMS = {
    "simulator": Form(None, {}, _simulator),
    "npz/simulator": Form("npz", {}, _npz),
    "c/compiled": Form("c", {}, _c),
    "tflite/interpreter": Form("tflite", {}, _interpreter, FEW_EXAMPLES),
    "tflite-double-rounding/interpreter": Form("tflite", {"double_rounding": True}, _interpreter, FEW_EXAMPLES),
    "tflite/litert": Form("tflite", {}, _litert),
    "onnx/onnxruntime": Form("onnx", {}, _onnxruntime),
    "onnx/newer-onnxruntime": Form("onnx", {}, _newer_onnxruntime),
    "onnx-exact/onnxruntime": Form("onnx", {"exact": True}, _onnxruntime),
    "savedmodel/tensorflow": Form("savedmodel", {}, _savedmodel),
    "frozen/tensorflow": Form("frozen", {}, _frozen),
    "frozen-exact/tensorflow": Form("frozen", {"form": "exact"}, _frozen),
}
#: Forms with options of TFLite.
MORE_FORMS = {
    "tflite-int4/litert": Form("tflite", {"int4": True}, _litert),
    "tflite-int4-all/litert": Form("tflite", {"int4": True, "int4_all": True}, _litert),
    "tflite-int16/litert": Form("tflite", {"int16": True}, _litert),
}
